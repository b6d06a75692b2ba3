"""The bucket in which each parameter's gradient travels."""

from torch import Tensor

from distbp.program.program import Program
from distbp.reduction.layout import plan


def buckets(program: Program, *, bucket_bytes: int) -> dict[str, int]:
    """The number of its bucket for each trainable parameter, in the order in which the buckets are complete."""
    slots = {slot.name: slot for slot in program.graph.slots.values()}
    tensors: list[tuple[str, Tensor]] = [(name, slots[name].read()) for name in program.emissions]
    found: dict[str, int] = {}
    before = 0
    for layout in plan(tensors, bucket_bytes=bucket_bytes, size=1):
        for span in layout.spans:
            bounds = enumerate(layout.buckets)
            number = next((n for n, (start, stop) in bounds if start <= span.start < stop), len(layout.buckets) - 1)
            found[span.name] = before + max(number, 0)
        before += len(layout.buckets)
    return found
