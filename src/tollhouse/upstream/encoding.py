"""Content encodings of answers: gzip and deflate, unpacked piece by piece and guarded against bombs."""

import zlib

# What one call of `take` gives out at most.
_PIECE_BYTES = 256 * 1024
# Text packs to a tenth, very even text to a hundredth; a bomb to a thousandth. Small answers may be as even as they
# like.
_MAX_RATIO = 200
_FREE_BYTES = 4 * 1024 * 1024
# Whether zlib's header is there can be told from so much.
_TELLING_BYTES = 2
_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class EncodingError(Exception):
    """The body cannot be unpacked: an unknown encoding, broken or unfinished data, or a bomb."""


class Decoder:
    """Unpacks one body. `feed` what came, then `take` until it gives nothing; `finish` at the end of the body."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._inflate = zlib.decompressobj(window_bits)
        self._packed = b""
        self._begun = False
        self._packed_bytes = 0
        self._unpacked_bytes = 0

    def feed(self, data: bytes) -> None:
        """Packed bytes, as they came."""
        self._packed += data
        self._packed_bytes += len(data)

    def take(self) -> bytes:
        """Unpacked bytes, 256 KB at most; b"" when more must be fed first. Raises EncodingError."""
        if not self._begun and len(self._packed) < _TELLING_BYTES:
            return b""
        while True:
            before = len(self._packed)
            out = self._step()
            if out:
                self._unpacked_bytes += len(out)
                if self._unpacked_bytes > max(_FREE_BYTES, self._packed_bytes * _MAX_RATIO):
                    raise EncodingError("unpacks to far more than came")
                return out
            if len(self._packed) == before:
                return b""

    def finish(self) -> None:
        """The body is complete. Raises EncodingError when what is packed is not; an empty body is fine."""
        if (self._begun or self._packed) and not self._inflate.eof:
            raise EncodingError("ends too early")

    def _step(self) -> bytes:
        if self._inflate.eof:
            # A gzip body may be several in a row.
            if not self._packed:
                return b""
            if self._window_bits != _GZIP:
                raise EncodingError("goes on after its end")
            self._inflate = zlib.decompressobj(_GZIP)
        packed = self._packed
        try:
            out = self._inflate.decompress(packed, _PIECE_BYTES)
        except zlib.error as error:
            if self._begun or self._window_bits != _ZLIB:
                raise EncodingError("is broken") from error
            # "deflate" means zlib's format, but some senders leave its header out.
            self._window_bits = _RAW
            self._inflate = zlib.decompressobj(_RAW)
            return self._step()
        self._begun = True
        self._packed = self._inflate.unused_data or self._inflate.unconsumed_tail
        return out


def decoder_for(headers: tuple[tuple[str, str], ...]) -> Decoder | None:
    """The decoder that the headers (names in lower case) ask for, None for a plain body. Raises EncodingError."""
    names = [value.strip().lower() for name, value in headers if name == "content-encoding"]
    if not names:
        return None
    match [name for name in names if name not in {"", "identity"}]:
        case []:
            return None
        case ["gzip" | "x-gzip"]:
            return Decoder(_GZIP)
        case ["deflate"]:
            return Decoder(_ZLIB)
        case _:
            raise EncodingError("has an encoding that was not asked for")
