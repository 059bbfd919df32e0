"""Picture: the prompt as text on coloured paper, the same for the same wish, in pixels of two colours."""

import hashlib
import textwrap

import msgspec

from tollhouse.simulator import glyphs

_MARGIN = 4
_LINE_GAP = 2
# The shorter side has about this many dots, so that small pictures hold as much text as large ones.
_DOTS_ACROSS = 128
_MARK_BITS = 48

Colour = tuple[int, int, int]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture shows, and how many pixels it has; wishes that differ in `seed` differ in colour and mark."""

    text: str
    width: int
    height: int
    seed: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A drawn picture: `rows` of dots, `0` for paper and `1` for ink; a dot is a square of `scale` pixels."""

    width: int
    height: int
    scale: int
    rows: tuple[str, ...]
    paper: Colour
    ink: Colour

    def pixel_rows(self) -> list[str]:
        """A text of `width` noughts and ones for each row of pixels."""
        wide = ["".join(dot * self.scale for dot in row)[: self.width] for row in self.rows]
        return [row for row in wide for _ in range(self.scale)][: self.height]


def draw(wish: Wish) -> Picture:
    """The picture of a wish: its text from the top, and below it a mark that tells wishes apart."""
    scale = max(1, min(wish.width, wish.height) // _DOTS_ACROSS)
    across, down = -(-wish.width // scale), -(-wish.height // scale)
    digest = hashlib.sha256(msgspec.json.encode(wish)).digest()
    rows = [row.ljust(across, "0")[:across] for row in _written(wish.text, across, down - 2 * _MARGIN)]
    blank = "0" * across
    rows = [*[blank] * _MARGIN, *rows]
    rows += [blank] * (down - _MARGIN - len(rows))
    mark = f"{int.from_bytes(digest[:8]):064b}"[:_MARK_BITS]
    rows += [(" " * _MARGIN + mark).replace(" ", "0").ljust(across, "0")[:across]] * _MARGIN
    paper = (192 + digest[8] % 64, 192 + digest[9] % 64, 192 + digest[10] % 64)
    ink = (digest[11] % 96, digest[12] % 96, digest[13] % 96)
    return Picture(width=wish.width, height=wish.height, scale=scale, rows=tuple(rows[:down]), paper=paper, ink=ink)


def _written(text: str, across: int, down: int) -> list[str]:
    columns = (across - 2 * _MARGIN) // (glyphs.WIDTH + 1)
    lines = down // (glyphs.HEIGHT + _LINE_GAP)
    if columns < 1 or lines < 1:
        return []
    wrapped = textwrap.wrap(glyphs.plain(text), columns)
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], (wrapped[lines - 1] + "...")[-columns:]]
    rows: list[str] = []
    for line in wrapped:
        drawn = [glyphs.glyph(character) for character in line]
        rows += ["0" * _MARGIN + "0".join(rows_of[y] for rows_of in drawn) for y in range(glyphs.HEIGHT)]
        rows += [""] * _LINE_GAP
    return rows
