"""Glyphs: a face of five by seven pixels in capitals, for the text in the simulator's pictures."""

import unicodedata
from typing import Final

WIDTH: Final = 5
HEIGHT: Final = 7

_CHARACTERS: Final = "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`{|}~"
# Seven rows for each character in turn; a row is a digit to the base of 32, a bit for each pixel.
_ROWS: Final = """
4444004 aa00000 aavavaa 4fke5u4 pp248jj cik8lid 4400000 2444442 0844448 04lel40 044v440 0000c48 000v000 00000cc 11248gg
ehjlphe 4c4444e eh1248v v2421he 26aiv22 vgu11he 68guhhe v124444 ehhehhe ehhf12c 0cc0cc0 0cc0c48 248g842 00v0v00 8421248
eh12404 ehnlnge ehhvhhh uhhuhhu ehggghe uhhhhhu vgguggv vgguggg ehgnhhe hhhvhhh e44444e 72222ic hikokih ggggggv hrllhhh
hplljhh ehhhhhe uhhuggg ehhhlid uhhukih fgge11u v444444 hhhhhhe hhhhha4 hhhllrh hha4ahh hha4444 v1248gv e88888e gg84211
e22222e 4ah0000 000000v 8400000 2448442 4444444 8442448 008l200
"""
_GLYPHS: Final = {
    character: tuple(f"{int(digit, 32):05b}" for digit in rows)
    for character, rows in zip(_CHARACTERS, _ROWS.split(), strict=True)
} | {" ": ("00000",) * HEIGHT}
_UNKNOWN: Final = ("11111", "10001", "10001", "10001", "10001", "10001", "11111")


def plain(text: str) -> str:
    """`text` in the characters of the face: capitals without accents; a character it lacks stays as it is."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character)).upper()


def glyph(character: str) -> tuple[str, ...]:
    """The rows of a character of `plain` text, each five of `0` and `1`; a box for one that the face lacks."""
    return _GLYPHS.get(character, _UNKNOWN)
