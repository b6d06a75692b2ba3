"""How long a fresh process takes to its first step: lowering is worth waiting for, but not for long."""

import subprocess
import sys

ALLOWED = 3.0  # seconds of the processor's time, which other jobs on the machine do not lengthen,
TAPE = 1.5  # where the tape takes so many; on a slower machine in proportion

FIRST_STEP = """
import sys, time
from distbp.garbage import search_seldom
search_seldom()  # as the command does
import torch
torch.set_num_threads(1)
from distbp.bench.contenders import Manual
from distbp.bench.models.table import build
from distbp.training.data_parallel import ENGINES
Manual(build("gpt_small", seed=0), engine=ENGINES[sys.argv[1]]).step()
print(time.process_time(), not sys.modules.keys().isdisjoint({"torch._dynamo", "sympy"}))
"""


def first_step(engine: str) -> tuple[float, bool]:
    """What the process spends from its beginning to the end of the first update, and whether it loads the compiler."""
    command = [sys.executable, "-c", FIRST_STEP, engine]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    seconds, compiler = done.stdout.split()
    return float(seconds), compiler == "True"


def test_a_program_costs_little_more_than_the_tape_before_the_first_step() -> None:
    """Neither loads more than it needs: the tape has no use for torch's compiler, of which export is a part."""
    (manual, _), (autograd, compiler) = first_step("manual"), first_step("autograd")
    assert not compiler
    assert manual - autograd < ALLOWED * max(1, autograd / TAPE)
