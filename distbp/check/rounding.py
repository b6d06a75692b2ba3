"""A program in the dtype that it trains in: how far rounding takes its gradients, and how far it takes torch's."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from distbp.check.finding import Finding, layer_of
from distbp.check.model import Runner, far
from distbp.check.reference import Reference
from distbp.data.part import Part
from distbp.program.program import Program

ROUNDING = "rounding"
LAWS = {ROUNDING: "each gradient in the workload's own dtype against that in float64"}
LEAST = 1e-5  # of an error that is always allowed
AUTOGRAD = 10  # times autograd's own: rounding alone decides the sign of some ReLUs, in each engine of others
NOTHING = 0.1  # from this error of autograd's on, a gradient is nothing but rounding


def findings(
    module: nn.Module, program: Program, reference: Reference, part: Part, exact: Mapping[str, Tensor]
) -> Iterator[Finding]:
    """What holds of each gradient; ``exact`` are those of the same module in float64."""
    theirs = reference.taped(part).gradients
    ours = Runner(program, part, theirs).run().gradients
    for name in (*program.emissions, *program.tables):
        error = far(theirs[name].double(), exact[name])
        if error < NOTHING:
            allowed = max(LEAST, AUTOGRAD * error)
            yield Finding(layer_of(name, module), name, ROUNDING, far(ours[name].double(), exact[name]), allowed)
