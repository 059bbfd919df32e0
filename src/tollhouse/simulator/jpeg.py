"""JPEG: a picture in greys as a baseline file (ITU-T T.81)."""

import functools
import math
import struct
from typing import Final

from tollhouse.simulator.picture import Colour, Picture

_SIDE: Final = 8
_JFIF: Final = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
# T.81, figure A.6: the order in which the 64 coefficients of a block are written, by row and column.
_ZIGZAG: Final = sorted(
    ((v, u) for v in range(_SIDE) for u in range(_SIDE)),
    key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]),
)
_BASIS: Final = [
    [math.sqrt(1 / 8 if u == 0 else 1 / 4) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(_SIDE)]
    for u in range(_SIDE)
]

# Huffman tables of our own, simple ones: what occurs most in flat blocks has one bit, all else the same length.
_DC_SYMBOLS: Final = list(range(12))
_DC_REST_BITS: Final = 5
_END_OF_BLOCK: Final = 0x00
_SIXTEEN_NOUGHTS: Final = 0xF0
_AC_SYMBOLS: Final = [
    _END_OF_BLOCK,
    _SIXTEEN_NOUGHTS,
    *(run << 4 | size for run in range(16) for size in range(1, 11)),
]
_AC_REST_BITS: Final = 9


def jpeg(picture: Picture) -> bytes:
    """The picture in the brightness of its two colours."""
    frame = struct.pack(">BHHBBBB", 8, picture.height, picture.width, 1, 1, 0x11, 0)
    tables = _table(0x00, _DC_SYMBOLS, _DC_REST_BITS) + _table(0x10, _AC_SYMBOLS, _AC_REST_BITS)
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, _JFIF),
            _segment(0xDB, b"\0" + b"\1" * _SIDE * _SIDE),
            _segment(0xC0, frame),
            _segment(0xC4, tables),
            _segment(0xDA, bytes((1, 1, 0, 0, 63, 0))),
            _scan(picture),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _table(number: int, symbols: list[int], rest_bits: int) -> bytes:
    lengths = [0] * 16
    lengths[0] = 1
    lengths[rest_bits - 1] = len(symbols) - 1
    return bytes((number, *lengths, *symbols))


def _codes(symbols: list[int], rest_bits: int) -> dict[int, str]:
    first = 1 << (rest_bits - 1)
    rest = {symbol: f"{first + place:0{rest_bits}b}" for place, symbol in enumerate(symbols[1:])}
    return {symbols[0]: "0", **rest}


_DC_CODES: Final = _codes(_DC_SYMBOLS, _DC_REST_BITS)
_AC_CODES: Final = _codes(_AC_SYMBOLS, _AC_REST_BITS)


def _scan(picture: Picture) -> bytes:
    across, down = -(-picture.width // _SIDE), -(-picture.height // _SIDE)
    rows = [row.ljust(across * _SIDE, row[-1]) for row in picture.pixel_rows()]
    rows += [rows[-1]] * (down * _SIDE - len(rows))
    levels = (_brightness(picture.paper) - 128, _brightness(picture.ink) - 128)
    coded: list[str] = []
    before = 0
    for top in range(0, len(rows), _SIDE):
        band = rows[top : top + _SIDE]
        for left in range(0, across * _SIDE, _SIDE):
            mean, rest = _block(tuple(row[left : left + _SIDE] for row in band), levels)
            difference = mean - before
            coded.append(_DC_CODES[difference.bit_length()] + _value_bits(difference))
            coded.append(rest)
            before = mean
    bits = "".join(coded)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")


@functools.lru_cache(maxsize=4096)
def _block(dots: tuple[str, ...], levels: tuple[int, int]) -> tuple[int, str]:
    """The first coefficient of a block, and the bits of the 63 others."""
    samples = [[levels[dot == "1"] for dot in row] for row in dots]
    half = [[sum(b * s for b, s in zip(basis, row, strict=True)) for basis in _BASIS] for row in samples]
    coefficients = [[round(sum(basis[y] * half[y][u] for y in range(_SIDE))) for u in range(_SIDE)] for basis in _BASIS]
    first, *others = (coefficients[v][u] for v, u in _ZIGZAG)
    coded: list[str] = []
    noughts = 0
    for value in others:
        if value == 0:
            noughts += 1
            continue
        coded += [_AC_CODES[_SIXTEEN_NOUGHTS]] * (noughts // 16)
        coded.append(_AC_CODES[noughts % 16 << 4 | value.bit_length()] + _value_bits(value))
        noughts = 0
    if noughts:
        coded.append(_AC_CODES[_END_OF_BLOCK])
    return first, "".join(coded)


def _value_bits(value: int) -> str:
    """T.81, F.1.2.1: the value's bits, of a negative one those of the value less one."""
    size = value.bit_length()
    if size == 0:
        return ""
    return f"{value if value > 0 else value + (1 << size) - 1:0{size}b}"


def _brightness(colour: Colour) -> int:
    red, green, blue = colour
    return round(0.299 * red + 0.587 * green + 0.114 * blue)
