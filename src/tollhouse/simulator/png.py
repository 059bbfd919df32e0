"""PNG: a picture of two colours as a file (W3C, Portable Network Graphics, third edition)."""

import struct
import zlib
from typing import Final

from tollhouse.simulator.picture import Picture

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PALETTE: Final = 3


def png(picture: Picture, *, transparent: bool = False) -> bytes:
    """The picture with a palette of paper and ink, one bit a pixel; `transparent` paper lets through what is behind."""
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 1, _PALETTE, 0, 0, 0)
    line_bytes = -(-picture.width // 8)
    # Each line begins with the number of its filter: 0, none.
    lines = b"".join(
        b"\0" + int(row.ljust(8 * line_bytes, "0"), 2).to_bytes(line_bytes) for row in picture.pixel_rows()
    )
    chunks = [(b"IHDR", header), (b"PLTE", bytes((*picture.paper, *picture.ink)))]
    if transparent:
        chunks.append((b"tRNS", b"\0\xff"))
    chunks += [(b"IDAT", zlib.compress(lines, 6)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
