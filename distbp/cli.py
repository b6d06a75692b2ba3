"""The command line: ``distbp VERB key=value ...``, entered through Hydra, ended by one line and an exit code."""

import gc
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from distbp import launcher, usage
from distbp.arguments import Arguments
from distbp.comm.kin import die_with_parent
from distbp.comm.world import World, speaks
from distbp.config import Loader, plain, search_path
from distbp.data.sources import Listed, fetch, listing
from distbp.errors import DistbpError, RequestError, StoppedError, nearest
from distbp.garbage import search_seldom
from distbp.output import refuse_unwritable, write
from distbp.refusal import MISSING
from distbp.schema import Request, from_config
from distbp.words import resolved

INTERRUPTED = 128 + 2  # SIGINT, as a shell says it
READER_LEFT = 128 + 13  # SIGPIPE
BENCHES = ("engines", "reduction", "race", "rows")
ALONE = ("explain", "bench engines")  # verbs that look at one process
TOGETHER = {
    "bench reduction": "sums over workers",
    "bench race": "steps of several workers",
    "bench rows": "steps of several workers",
}
PLACEMENT = (
    "workers", "shards", "comm", "device", "threads", "run_dir", "resume", "resume_allow", "output", "bench",
    "data.cache", "hydra",
)  # fmt: skip
"""Keys that say where a job runs and what it writes: an evaluation does not take them over from the run."""


class Ended(BaseException):
    """A job ended badly. It is no Exception, so that no launcher of Hydra's goes on to the next job of a sweep."""

    def __init__(self, line: str, exit_code: int) -> None:
        super().__init__(line, exit_code)
        self.line, self.exit_code = line, exit_code

    def __str__(self) -> str:
        return self.line


class Task:
    """What Hydra calls with the configuration of each job."""

    def __init__(self, verb: str, world: World) -> None:
        self.verb, self.world, self.jobs = verb, world, 0

    def __call__(self, config: DictConfig) -> float | None:
        """Run the job; its main figure, the first metric, is what a sweeper sees."""
        self.jobs += 1
        try:
            request = job(config)
            refuse_number(self.verb, request.workers or self.world.size)
            if request.output:
                refuse_unwritable(request.output)
            if self.verb.startswith("bench ") and request.device == "auto":
                request = request.model_copy(update={"device": "cpu"})  # where all that they compare runs
            result = launcher.run(self.verb, request, self.world)
        except DistbpError as error:
            raise Ended(str(error), error.exit_code) from error
        return next(iter(result.get("metrics", {}).values()), None)


def job(config: DictConfig) -> Request:
    """The request of the job that Hydra is about to run. A job of a multirun has a folder of its own."""
    hydra = HydraConfig.get()
    request = from_config(plain(config), list(hydra.overrides.task))
    if hydra.mode is not RunMode.MULTIRUN:
        for line in hydra.overrides.hydra:
            key, _, value = line.partition("=")
            raise RequestError(key, value, "it goes with -m")
        return request
    for line in hydra.overrides.hydra:
        key, _, value = line.partition("=")
        if key == "hydra.sweep.dir" and request.run_dir:
            raise RequestError(key, value, f"run_dir={request.run_dir} says already where the folders of the jobs are")
    gc.collect()  # what the job before has left in circles, its data perhaps
    print(f"job {hydra.job.num}:", *hydra.overrides.task, flush=True)
    return request.model_copy(update={"run_dir": str(Path(hydra.sweep.dir) / hydra.sweep.subdir)})


def main(argv: Sequence[str] | None = None) -> int:
    """Answer ``argv`` and return the exit code. Under a launcher rank 0 alone reads it and speaks."""
    search_seldom()
    try:
        world = World.detect()
        if world.launcher != "none":
            die_with_parent()
            launcher.enter(world)
    except RequestError as error:
        return refuse(str(error), error.exit_code) if speaks() else error.exit_code
    if world.launcher == "none":
        return answer(sys.argv[1:] if argv is None else argv, world)
    if world.rank > 0:
        return launcher.follow(world)
    exit_code = 1
    try:
        exit_code = answer(sys.argv[1:] if argv is None else argv, world)
    finally:
        launcher.finish(world, exit_code)
    return exit_code


def answer(argv: Sequence[str], world: World) -> int:
    """Do what ``argv`` says; say in one line what was wrong; return the exit code."""
    try:
        act(Arguments.parse(argv), world)
        sys.stdout.flush()
    except (DistbpError, Ended) as error:
        return refuse(str(error), error.exit_code)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:  # of plugins, and of what --cfg resolves
        return refuse(str(error), RequestError.exit_code)
    except SystemExit as stop:  # of the launcher, which was told to stop, or of Hydra's own options
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still in the buffer has no reader
        return READER_LEFT
    return 0


def refuse(line: str, exit_code: int) -> int:
    """Say what was wrong with the request in one line, or how the job failed or was stopped."""
    opening = StoppedError.opening if exit_code == StoppedError.exit_code else DistbpError.opening
    print(opening, " ".join(line.split()) if exit_code == RequestError.exit_code else line, file=sys.stderr)
    return exit_code


def act(arguments: Arguments, world: World) -> None:
    """Show what an option asks for, or do the verb."""
    loader = Loader(search_path(arguments.config_dir))
    name, overrides, hydra = arguments.config_name, arguments.overrides, Hydra("distbp", loader)
    if arguments.version:
        print("distbp", version("distbp"))
    elif arguments.help:
        print(usage.text(loader, name))
    elif arguments.hydra_help:
        hydra.hydra_help(name, get_args_parser(), arguments)
    elif arguments.info:
        hydra.show_info(arguments.info, name, overrides)
    elif arguments.cfg:
        overrides = asked_for(arguments, hydra, loader)
        hydra.show_cfg(name, overrides, arguments.cfg, package=None, resolve=arguments.resolve)
    elif arguments.verb == "data":
        config = hydra.compose_config(name, overrides, RunMode.RUN)
        data(arguments.operands, from_config(plain(config), overrides))
    else:
        verb = benchmark(arguments.operands) if arguments.verb == "bench" else arguments.verb
        run(hydra, arguments, asked_for(arguments, hydra, loader), Task(verb, world))


def asked_for(arguments: Arguments, hydra: Hydra, loader: Loader) -> list[str]:
    """The overrides; an evaluation has those of its run, too."""
    if arguments.verb != "evaluate":
        return arguments.overrides
    return [*of_checkpoint(hydra, loader, arguments.config_name, arguments.overrides), *arguments.overrides]


def run(hydra: Hydra, arguments: Arguments, overrides: list[str], task: Task) -> None:
    """Run one job, or with -m one for each choice of values."""
    if not arguments.multirun:
        hydra.run(arguments.config_name, task, overrides, with_log_configuration=False)
        return
    overrides = [*overrides, "hydra.mode=MULTIRUN"]
    try:
        hydra.multirun(arguments.config_name, task, overrides, with_log_configuration=False)
    except OSError as error:
        raise RequestError(
            "run_dir", error.filename, f"a folder that can be written is needed ({error.strerror})"
        ) from error
    if not task.jobs:
        raise RequestError("-m", " ".join(arguments.overrides), "a choice of no values makes no job")


def of_checkpoint(hydra: Hydra, loader: Loader, name: str, overrides: list[str]) -> list[str]:
    """The overrides of the run whose checkpoint ``resume`` names, where ``overrides`` do not say otherwise."""
    from distbp.training.shelf import configuration_of

    words = {word.key: word for word in map(loader.word, overrides)}
    where = [words[key] for key in ("resume", "run_dir") if key in words]
    if "resume" not in words or any(word.sweeps for word in where):
        allowed = "evaluate needs one checkpoint: resume=PATH, or resume=latest and run_dir=PATH"
        raise RequestError("resume", words["resume"].typed if "resume" in words else MISSING, allowed)
    lines = [word.line for word in where]
    asked = from_config(plain(hydra.compose_config(name, lines, RunMode.RUN)), lines)
    if asked.resume is None:
        raise RequestError("resume", None, "evaluate needs the checkpoint: the path of a run or of a checkpoint")
    run = configuration_of(asked.resume, asked.run_dir)
    recorded = [str(line) for line in run.get("overrides", ())]
    keys = [loader.word(line).key for line in recorded]
    return [
        resolved(line, key, run)
        for key, line in zip(keys, recorded, strict=True)
        if not {key, re.split("[./]", key)[0]} & {*words, *PLACEMENT}
    ]


def data(operands: Sequence[str], request: Request) -> None:
    """``data list`` and ``data fetch NAME``: what can be fetched, and fetching it."""
    match list(operands):
        case ["list"]:
            write("\n".join(map(described, listing(request.data.cache))), request.output)
        case ["fetch", name]:
            write(str(fetch(name, request.data.cache, lambda line: print(line, file=sys.stderr))), request.output)
        case _:
            words = " ".join(operands)
            close = nearest(words.split(" ")[0], ["list", "fetch"])
            raise RequestError("data", words or MISSING, "list or fetch NAME is allowed", nearest=close)


def benchmark(operands: Sequence[str]) -> str:
    """What workers know ``bench`` with its operand by."""
    words = " ".join(operands)
    if words not in BENCHES:
        close = nearest(words, BENCHES)
        raise RequestError("bench", words or MISSING, f"{', '.join(BENCHES)} is allowed", nearest=close)
    return f"bench {words}"


def refuse_number(verb: str, workers: int) -> None:
    """RequestError for several workers where one process is looked at, and for one that would sum alone."""
    if verb in ALONE and workers > 1:
        does = "explains" if verb == "explain" else "measures"
        raise RequestError("workers", workers, f"1 is allowed: {verb} {does} one process")
    if verb in TOGETHER and workers == 1:
        raise RequestError("workers", workers, f"2 or more are needed: {verb} measures {TOGETHER[verb]}")


def described(source: Listed) -> str:
    """A data set, in three lines."""
    where = "cached" if source.cached else "not cached"
    return f"{source.name}  {source.version}  {source.size:,} bytes  {where}\n  {source.about}\n  {source.licence}"
