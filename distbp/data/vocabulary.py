"""The units of a text (characters, bytes, words or tokens) and their numbers."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

Unit = Literal["characters", "bytes", "words", "tokens"]
TOKEN = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
UNKNOWN = "<unk>"  # whatever the training text does not have, or has too rarely
END = "<eos>"  # of a line, among words


def words(text: str) -> list[str]:
    """The words of a text in lower case, between white space; each line ends with one of its own."""
    return [word for line in text.lower().splitlines() for word in (*line.split(), END)]


def tokens(text: str) -> list[str]:
    """The words of a text in lower case, such as ``don't``, and each other sign by itself; no end of a line."""
    return TOKEN.findall(text.lower())


def octets(text: str) -> list[str]:
    """The bytes of a text in UTF-8, each as a character of the same number."""
    return list(text.encode().decode("latin-1"))


def lines(symbols: Sequence[str]) -> str:
    """Words as a text again, in which each line ends where its own word says so."""
    return "\n".join(line.strip() for line in " ".join(symbols).split(END))


def from_octets(symbols: Sequence[str]) -> str:
    """The text whose bytes these are; what is no UTF-8 is shown as such, and so is a byte that is not known."""
    known = (symbol if len(symbol) == 1 else "?" for symbol in symbols)
    return "".join(known).encode("latin-1").decode(errors="replace")


UNITS: Mapping[Unit, Callable[[str], Sequence[str]]] = {
    "characters": list,
    "bytes": octets,
    "words": words,
    "tokens": tokens,
}
TEXTS: Mapping[Unit, Callable[[Sequence[str]], str]] = {
    "characters": "".join,
    "bytes": from_octets,
    "words": lines,
    "tokens": " ".join,
}
"""From a text to its units, and back."""


class Vocabulary:
    """The units that the training text has at least ``least`` times, the most frequent first, after ``<unk>``.

    Units that are equally frequent stand in the order of their code points, so that the text alone decides.
    """

    def __init__(self, training: str, unit: Unit, *, least: int = 1) -> None:
        self._units, self._text = UNITS[unit], TEXTS[unit]
        counts = Counter(self._units(training))
        kept = [symbol for symbol, count in counts.items() if count >= least and symbol != UNKNOWN]
        self.symbols = [UNKNOWN, *sorted(kept, key=lambda symbol: (-counts[symbol], symbol))]
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str) -> np.ndarray:
        """The numbers of a text's units.   -> (n) int64, below the size of the vocabulary."""
        return np.fromiter((self._numbers.get(unit, 0) for unit in self._units(text)), np.int64)

    def decode(self, codes: Iterable[int]) -> str:
        """The text of these numbers."""
        return self._text([self.symbols[code] for code in codes])
