"""The memory of one step, in a process of its own: ``python -m distbp.bench.memory MODEL ENGINE PRECISION SEED DEVICE``
prints JSON.

A step's memory is what stands at its high-water mark beyond what every engine needs: the parameters, the buffers, their
gradients, the optimizer's state and the batch. Whatever an engine keeps between its steps, its arena above all, counts;
what it needs to lower a program, before the measured steps, does not.
"""

import ctypes
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from distbp.bench.contenders import Autograd, Contender, Manual
from distbp.bench.setting import Setting
from distbp.comm.kin import die_with_parent
from distbp.precision import Precision

ENGINES: dict[str, Callable[..., Contender]] = {"manual": Manual, "autograd": partial(Autograd, keep=True)}
WARM_UP = 2  # steps: the first lowers, makes the optimizer's state and fills the caches
STEPS = 3  # of which the process's high-water mark is taken
MARK = "measured step"


class Memory(TypedDict):
    """Bytes: ``held`` by any engine, and beyond it at the ``peak`` of a step, as allocated and as ``resident``."""

    held: int
    peak: int
    resident: int | None  # null where /proc does not tell, and of a GPU


def memory(model: str, engine: str, setting: Setting) -> Memory:
    """The memory of one step, measured in a fresh process."""
    told = [setting.precision.name, str(setting.seed), str(setting.device)]
    command = [sys.executable, "-m", "distbp.bench.memory", model, engine, *told]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with exit code {done.returncode}:\n{done.stderr}")
    found: Memory = json.loads(done.stdout)
    return found


def measure(model: str, engine: str, setting: Setting) -> Memory:
    """The memory of one step on one thread, in this process."""
    torch.set_num_threads(1)
    kind = partial(ENGINES[engine], precision=setting.precision)
    warm(kind(setting.case(model, batch=2)))  # the kernels' code and the libraries' own tables
    make = lambda: kind(setting.case(model))  # noqa: E731 - made anew for each of the two
    if setting.device.type == "cuda":
        held, peak = peak_on_gpu(make, setting.device)
        return {"held": held, "peak": peak, "resident": None}
    resident = resident_peak(make)
    held, peak = allocated_peak(make)
    return {"held": held, "peak": peak, "resident": resident}


def allocated_peak(make: Callable[[], Contender]) -> tuple[int, int]:
    """The bytes that a contender holds, and those beyond at the peak of a step: what torch's allocator has given out.

    Exact, and the same in every run. It does not see what kernels allocate past torch (oneDNN's scratch memory), nor
    the gaps between blocks in the heap. The profiler watches from before the contender is made, or else it would not
    know of what that keeps.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        contender = warm(make())
        with record_function(MARK):
            contender.step()
    held = size(contender.held())
    return held, highest(profiler) - held


def peak_on_gpu(make: Callable[[], Contender], device: torch.device) -> tuple[int, int]:
    """The same two figures of a GPU's allocator, beyond what it had given out before."""
    before = torch.cuda.memory_allocated(device)
    contender = warm(make())
    torch.cuda.reset_peak_memory_stats(device)
    contender.step()
    held = size(contender.held())
    return held, torch.cuda.max_memory_allocated(device) - before - held


def highest(profiler: profile) -> int:
    """The largest sum of bytes that were allocated at once during the marked step."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        profiler.export_chrome_trace(file.name)
        events = json.loads(Path(file.name).read_text())["traceEvents"]
    (step,) = (event for event in events if event.get("name") == MARK and event["ph"] == "X")
    changes = sorted((event for event in events if event.get("name") == "[memory]"), key=lambda event: event["ts"])
    total = peak = 0
    for event in changes:  # torch's own total counts on from profile to profile, blind to what is freed between them
        if event["ts"] > step["ts"] + step["dur"]:
            break
        total += int(event["args"]["Bytes"])
        peak = total if event["ts"] < step["ts"] else max(peak, total)
    return peak


def resident_peak(make: Callable[[], Contender]) -> int | None:
    """The high-water mark of the process during steps, over what it had before and what the contender holds.

    Real: page by page, with the kernels' scratch memory and what the heap does not give back, but no two runs agree.
    The heap is trimmed before each reading, for glibc keeps what a twin, lowering or the first steps have freed.
    """
    calm()
    before = kilobytes("VmRSS")
    contender = warm(make())
    calm()
    if before is None or not forget_high_water():
        return None
    for _ in range(STEPS):
        contender.step()
    after = kilobytes("VmHWM")
    return None if after is None else max(0, 1024 * (after - before) - size(contender.held()))


def warm(contender: Contender) -> Contender:
    """The contender after its first steps."""
    for _ in range(WARM_UP):
        contender.step()
    return contender


def size(tensors: Iterable[Tensor]) -> int:
    """The bytes of the memory that ``tensors`` lie in; what several share counts once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def calm() -> None:
    """Give back to the kernel what nobody uses."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


def kilobytes(name: str) -> int | None:
    """A figure of ``/proc/self/status``; None where there is none."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def forget_high_water() -> bool:
    """Have the kernel begin the high-water mark anew, from what is resident now; whether it did."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    die_with_parent()
    _, model, engine, precision, seed, device = sys.argv
    print(json.dumps(measure(model, engine, Setting(int(seed), Precision(precision), torch.device(device)))))
