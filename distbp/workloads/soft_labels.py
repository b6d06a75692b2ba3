"""Labels that are not certain: smoothed over all classes, or shared between two samples that are blended."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from distbp.workloads.base import Workload
from distbp.workloads.mixup import Mixed

Alpha = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class SoftCrossEntropy:
    """``-sum_n sum_c q_nc log softmax(x_n)_c`` and N, ``q = (1 - e) [c = y_n] + e / C``.   (N, C), target -> ().

    Of a target ``(y, z, l)`` q is that of y with the share l, and that of z with the rest (Zhang et al. 2018). e is the
    label smoothing (Szegedy et al. 2016, section 7), as torch's.
    """

    def __init__(self, label_smoothing: float) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, output: Tensor, target: Tensor | tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, int]:
        """The sum and the count."""
        e = self.label_smoothing
        if isinstance(target, Tensor):
            return F.cross_entropy(output, target, reduction="sum", label_smoothing=e), len(target)
        labels, others, share = target
        own, partners = (F.cross_entropy(output, y, reduction="none", label_smoothing=e) for y in (labels, others))
        return (share * own + (1 - share) * partners).sum(), len(labels)


def softened(workload: Workload, *, label_smoothing: float, mixup: float) -> Workload:
    """A workload of single labels, trained with smoothed ones and on blended samples; 0 and 0: as it is."""
    if mixup:
        workload = replace(workload, training=Mixed(workload.training, mixup))
    if mixup or label_smoothing:
        workload = replace(workload, loss=SoftCrossEntropy(label_smoothing))
    return workload
