"""Vectors: the direction of a text, made of hashed words and letter triples; similar texts point in similar ones."""

import hashlib
import math
import re
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Final

_WORD: Final = re.compile(r"\w+")
# Places in the vector that one feature touches: enough for a dense vector, few enough to be quick.
_PLACES: Final = 16
_WORD_WEIGHT: Final = 2.0


def vector(text: str, dimensions: int) -> list[float]:
    """The unit vector of `text`, each component as a 32-bit float has it; the same text has the same vector."""
    sums = [0.0] * dimensions
    for feature, weight in _features(text).items():
        digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=4 * _PLACES).digest()
        for (number,) in struct.iter_unpack("<I", digest):
            sums[(number >> 1) % dimensions] += weight if number & 1 else -weight
    length = math.hypot(*sums)
    if length == 0:
        sums[0] = length = 1.0
    packed = struct.pack(f"<{dimensions}f", *(value / length for value in sums))
    return list(struct.unpack(f"<{dimensions}f", packed))


def packed(values: list[float]) -> bytes:
    """The components as 32-bit floats, little-endian."""
    return struct.pack(f"<{len(values)}f", *values)


def _features(text: str) -> dict[str, float]:
    counted = Counter(_split(text.casefold()))
    return {
        feature: (_WORD_WEIGHT if feature[0] == "w" else 1.0) * (1 + math.log(number))
        for feature, number in counted.items()
    }


def _split(text: str) -> Iterator[str]:
    words = _WORD.findall(text)
    if not words:
        yield "t" + text
    for word in words:
        yield "w" + word
        padded = f" {word} "
        for start in range(len(padded) - 2):
            yield "t" + padded[start : start + 3]
