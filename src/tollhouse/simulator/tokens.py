"""The simulator's own tokenizer: a word or a mark with the blanks before it, the same for prompts and answers."""

import re
from collections.abc import Iterator
from typing import Final

_PIECE: Final = re.compile(r"\s*(?:\w+|[^\w\s])|\s+$")
_WORDS: Final = re.findall(
    r"\w+",
    "a quick coin rolls down to the old toll gate where every cart waits its turn while the clerk counts each one "
    "and writes the sum with care",
)

MESSAGE_OVERHEAD: Final = 3
IMAGE_TOKENS: Final = 85


def pieces(text: str) -> list[str]:
    """The tokens of `text`, which join to exactly `text`."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens `text` has."""
    return sum(1 for _ in _PIECE.finditer(text))


def words(number: int) -> Iterator[str]:
    """`number` tokens of plain text, the same each time."""
    for index in range(number):
        yield ("" if index == 0 else " ") + _WORDS[index % len(_WORDS)]


def endless_words() -> Iterator[str]:
    """Tokens of plain text without end."""
    index = 0
    while True:
        yield " " + _WORDS[index % len(_WORDS)]
        index += 1
