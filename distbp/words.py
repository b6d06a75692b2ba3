"""The words of a request, ``key=value`` each, and what is refused of them before any configuration is composed."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distbp.errors import RequestError, nearest
from distbp.refusal import shown, unknown

# What of Hydra's own part a word may set. The rest decides where YAML comes from or what is logged, called or written.
HYDRA = ("hydra/launcher", "hydra/sweeper", "hydra.launcher.", "hydra.sweeper.", "hydra.sweep.", "hydra.mode")


@dataclass(frozen=True)
class Word:
    """One word, parsed. Its ``values`` are several if it ``sweeps``; its ``sign`` is ``+ ++ ~`` or nothing."""

    line: str
    sign: str
    key: str
    package: str | None
    values: tuple[Any, ...]
    sweeps: bool

    @property
    def typed(self) -> str:
        """The value as it was typed."""
        return self.line.partition("=")[2]


def unreadable(line: str) -> RequestError:
    """The refusal of a word that does not parse."""
    key, equals, value = line.partition("=")
    if not equals or not key.lstrip("+~"):
        return RequestError("argument", shown(line), "key=value is allowed after the verb")
    return RequestError(
        key, shown(value), f"a value that can be read is needed; a text with special signs in quotes: \"{key}='...'\""
    )


def check(words: Sequence[Word], groups: Mapping[str, Sequence[str]], *, may_sweep: bool) -> None:
    """Refuse a key that is given twice, what only YAML may say, and a choice that no group of ``groups`` has."""
    for key, times in Counter(word.key for word in words).items():
        if times > 1:
            values = " and ".join(shown(word.typed) for word in words if word.key == key)
            raise RequestError(key, values, f"it is given {times} times; once is allowed")
    for word in words:
        _check_hydra(word)
        _check_calls(word)
        _check_choice(word, groups)
        if word.sweeps and not may_sweep:
            raise RequestError(
                word.key, word.typed, f"one value is allowed, or a list {word.key}=[...]; -m runs a job for each"
            )


def _check_hydra(word: Word) -> None:
    if word.key.split(".")[0].split("/")[0] == "hydra" and not word.key.startswith(HYDRA):
        ours = {"hydra.run.dir": "run_dir", "hydra.searchpath": "--config-dir"}
        allowed = ", ".join(name.rstrip(".") for name in HYDRA[:-1])
        raise RequestError(
            word.key, word.typed, f"of Hydra's own keys {allowed} are allowed", nearest=ours.get(word.key)
        )


def _check_calls(word: Word) -> None:
    keys = [*word.key.replace("/", ".").split("."), *(key for value in word.values for key in _keys(value))]
    for key in keys:
        if key.startswith("_") and key.endswith("_"):
            raise RequestError(word.key, word.typed, f"{key} is read from YAML files only, never from an override")


def _check_choice(word: Word, groups: Mapping[str, Sequence[str]]) -> None:
    group, _, last = word.key.rpartition(".")
    if last == "name" and group in groups:
        choice = nearest(word.typed, groups[group])
        raise RequestError(
            word.key,
            shown(word.typed),
            f"a choice is made by {group}=...: {_listed(groups[group])} is allowed",
            nearest=choice and f"{group}={choice}",
        )
    if "/" in word.key and word.key not in groups:
        raise unknown(word.key, word.typed, list(groups))
    if word.key not in groups or (word.sign == "~" and not word.typed):
        return
    if word.package is not None:
        raise RequestError(f"{word.key}@{word.package}", word.typed, f"{word.key}=... is allowed, without @")
    for value in word.values or (word.typed,):
        if value not in groups[word.key]:
            close = nearest(str(value), groups[word.key])
            raise RequestError(word.key, shown(value), f"{_listed(groups[word.key])} is allowed", nearest=close)


def explained(words: Sequence[Word], known: Sequence[str], groups: Iterable[str], message: str) -> RequestError:
    """Why ``words`` do not compose with a configuration that has the ``known`` dotted keys."""
    for word in words:
        if word.key in groups and word.sign == "+":
            return RequestError(
                f"+{word.key}", word.typed, f"the choice exists; {word.key}={word.typed} without + is allowed"
            )
        if word.key in groups or word.key.startswith("hydra") or not known:
            continue
        if word.key not in known:
            return unknown(word.key, word.typed, [*known, *groups])
        if any(isinstance(value, Mapping) for value in word.values) and not word.sign:
            allowed = f"only entries that are there may be named; +{word.key}={{...}} adds others after them"
            return RequestError(word.key, word.typed, allowed)
        if word.sign == "+":
            return RequestError(
                f"+{word.key}", word.typed, f"the key exists; {word.key}={word.typed} without + is allowed"
            )
    return RequestError("overrides", " ".join(word.line for word in words), " ".join(message.split()))


def resolved(line: str, key: str, run: Mapping[str, Any]) -> str:
    """A word of a ``run``: what it interpolates, as ``seed=${hydra:job.num}`` does, is what it was then."""
    if "${" not in line:
        return line
    value: Any = run
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return line
        value = value[name]
    return f"{key}={_said(value)}"


def _said(value: Any) -> str:
    """A value of JSON in Hydra's grammar, in which a backslash is one but before a quote."""
    if isinstance(value, str):
        return "'" + re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + "\\'" * bool(m[2]), value) + "'"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_said(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_said, value)) + "]"
    return "null" if value is None else str(value).lower()


def _keys(value: Any) -> Iterator[str]:
    """Every key at any depth of ``value``."""
    if isinstance(value, Mapping):
        yield from map(str, value)
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _keys(item)


def _listed(choices: Sequence[str]) -> str:
    return choices[0] if len(choices) == 1 else "one of " + ", ".join(choices)
