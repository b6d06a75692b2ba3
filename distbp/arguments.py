"""What stands on the command line: options, a verb, its operands, and the overrides ``key=value``."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from distbp.config import CONFIG
from distbp.errors import RequestError, nearest

VERBS = {
    "train": "train the workload; the verb that is meant where none is given",
    "evaluate": "loss and metrics of the checkpoint that resume=PATH names",
    "explain": "the model's mappings as a table, then its passes as Python; output=FILE: a file that runs by itself",
    "check": "mappings, gradients and workers held to the law; exit code 3, and the first bad layer, if one fails",
    "find_lr": "a short training at rising rates: the curve of its loss, and the optimizer.lr that it proposes",
    "bench": "engines: time and memory of a step with each engine, model by model; reduction: time of a sum over the "
    "workers, each way, beside a copy in memory; race: time of their whole steps, beside DistributedDataParallel's; "
    "rows: time of a step with tables of more and more rows",
    "data": "list: data sets that can be fetched; fetch NAME: fetch one now",
    "doctor": "what this machine has: cores, MPI, GPUs, and how quickly workers can talk",
}
OPERANDS = ("bench", "data")  # verbs that are followed by words of their own
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass(frozen=True)
class Arguments:
    """The command line, taken apart."""

    verb: str
    operands: list[str]
    overrides: list[str]
    help: bool
    version: bool
    multirun: bool
    cfg: str | None
    resolve: bool
    info: str | None
    hydra_help: bool
    config_dir: str | None
    config_name: str

    @classmethod
    def parse(cls, argv: Sequence[str]) -> "Arguments":
        """The arguments in ``argv``. Raises RequestError for an option or a verb that does not exist."""
        found, unknown = parser().parse_known_intermixed_args(list(argv))
        if unknown:
            close = nearest(unknown[0], parser().names())
            raise RequestError("option", unknown[0], "distbp --help lists the options", nearest=close)
        if found.resolve and not found.cfg:
            raise RequestError("option", "--resolve", "it goes with --cfg")
        return cls(*split(found.__dict__.pop("words")), **vars(found))


def split(words: list[str]) -> tuple[str, list[str], list[str]]:
    """The verb, its operands and the overrides: the verb is the first word, if that is not an override."""
    if not words or is_override(words[0]):
        return "train", [], words
    verb, *rest = words
    if verb not in VERBS:
        raise RequestError("verb", verb, f"one of {', '.join(VERBS)} is allowed", nearest=nearest(verb, VERBS))
    operands = [word for word in rest if not is_override(word)] if verb in OPERANDS else []
    return verb, operands, [word for word in rest if word not in operands]


def is_override(word: str) -> bool:
    """Whether a word is meant to set, add or delete a key."""
    return "=" in word or word.startswith(("~", "+"))


class Parser(ArgumentParser):
    """argparse without its habit of printing the usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise RequestError("option", message.removeprefix("argument ").split(":")[0], message.split(": ", 1)[-1])

    def names(self) -> list[str]:
        """Every long option."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


def parser() -> Parser:
    """The options: Hydra's own, but those that would change where distbp's configuration lies."""
    made = Parser(prog="distbp", add_help=False, allow_abbrev=False)
    add = made.add_argument
    add("words", nargs="*", help=SUPPRESS)
    add("--help", "-h", action="store_true", help="this text")
    add("--version", action="store_true", help="distbp's version")
    add("--multirun", "-m", action="store_true", help="a job for each choice of values: key=1,2,3 or key=range(1,4)")
    add("--cfg", "-c", choices=["job", "hydra", "all"], help="show the configuration and run nothing")
    add("--resolve", action="store_true", help="with --cfg: show what interpolations come to")
    add("--info", "-i", nargs="?", const="all", choices=INFO, help="show how the configuration is composed")
    add("--hydra-help", action="store_true", help="Hydra's own help")
    add("--config-dir", "-cd", metavar="FOLDER", help="a folder of your own YAML")
    add("--config-name", "-cn", metavar="NAME", default=CONFIG, help="another primary configuration")
    return made


def options() -> list[tuple[str, str]]:
    """Each option with its meaning."""
    return [
        (", ".join(action.option_strings), str(action.help)) for action in parser()._actions if action.option_strings
    ]
