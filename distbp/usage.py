"""The text of ``distbp --help``. Meanings are the comments beside the keys in the YAML files: they are written once."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import indent, wrap
from typing import Any

import yaml

from distbp.arguments import VERBS, options
from distbp.config import Loader, defaults
from distbp.refusal import shown
from distbp.schema import leaves

WIDTH = 116
PATTERNS = "groups.rates."  # what lies there are patterns, no keys
EXAMPLES = """\
distbp train workers=2
distbp train workers=4 shards=4 seed=1 optimizer=sgd optimizer.lr=0.1
mpirun -n 4 distbp train
distbp train -m optimizer.lr=0.1,0.01 seed='range(0,3)'
distbp evaluate resume=runs/vision/digits_mlp/2026-01-31_12-00-00
distbp data list"""


def text(loader: Loader, name: str) -> str:
    """Verbs, groups with their choices, keys with their defaults and meanings, options, examples."""
    composed = defaults(loader, name)
    parts = {
        "distbp VERB key=value ...": "Trains a PyTorch model on one to many workers.",
        "Verbs": table(VERBS.items()),
        "Groups (group=choice; * marks the default)": table(groups(loader, composed)),
        "Keys (key=default)": table(keys(loader, name, composed)),
        "Options": table(options()),
        "Examples": EXAMPLES,
    }
    return "\n\n".join(f"{title}\n{indent(body, '  ')}" for title, body in parts.items())


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns, the second one wrapped."""
    lines = []
    for left, right in rows:
        first, *rest = wrap(right, WIDTH - 34) or [""]
        lines += [f"{left:<31} {first}", *(" " * 32 + line for line in rest)]
    return "\n".join(lines)


def groups(loader: Loader, composed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each group with its choices."""
    for group, choices in loader.groups.items():
        chosen = chosen_in(group, composed)
        yield group, ", ".join(f"{choice}*" if choice == chosen else choice for choice in choices)


def keys(loader: Loader, name: str, composed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key with its default and its meaning; one that the default choice lacks, with those that have it."""
    values = dict(leaves(composed))
    found: dict[str, dict[str, list[str]]] = {}  # by key and meaning, the choices that have it
    for file, prefix, choice in files(loader, name, composed):
        for key, meaning in meanings(file, prefix):
            if key.startswith(PATTERNS):
                continue
            found.setdefault(key, {}).setdefault(meaning, []).append(choice)
    for key, by_meaning in found.items():
        meaning, choices = next(iter(by_meaning.items()))
        if key in values:
            yield f"{key}={shown(values[key])}", meaning
        else:
            yield key, f"{', '.join(choices)}: {meaning}"


def files(loader: Loader, name: str, composed: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """The YAML files: the primary one, and of each group the default choice before the others."""
    for group, choices in {"": [name], **loader.groups}.items():
        chosen = chosen_in(group, composed)
        for choice in sorted(choices, key=lambda choice: choice != chosen):
            file = loader.file(f"{group}/{choice}")
            if file is not None:
                prefix = "" if "@package _global_" in file.read_text() or not group else f"{group}."
                yield file, prefix, choice


def chosen_in(group: str, composed: Mapping[str, Any]) -> Any:
    """The choice that a composed configuration has made of a group."""
    return composed.get(group, {}).get("name")


def meanings(file: Path, prefix: str) -> Iterator[tuple[str, str]]:
    """Each dotted key of a YAML file that has a comment on its line, and the comment."""
    lines = file.read_text().splitlines()
    with file.open() as source:  # a stream has a name, which an error of YAML says
        root = yaml.compose(source)
    for dotted, line in key_lines(root, prefix):
        _, mark, meaning = lines[line].partition(" # ")
        if mark:
            yield dotted, meaning.strip()


def key_lines(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, int]]:
    """Each dotted key under a node of YAML, and the number of its line."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield prefix + key.value, key.start_mark.line
            yield from key_lines(value, f"{prefix}{key.value}.")
