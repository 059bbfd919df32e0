"""Token counts from byte counts alone: a hard upper bound, and an estimate where nobody counted."""

from collections.abc import Sequence

_FILE_STRING_BYTES = 4096
FILE_TOKENS = 1500
"""What a file inside of a request counts."""

PICTURE_MOST_TOKENS = 16_000
"""What a vendor makes of a picture at most."""
# PNG, JPEG, GIF and WebP in base64, and any picture as a data URL.
_PICTURE_STARTS = (b"data:image/", b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"UklGR")


def most_tokens(utf8_bytes: int) -> int:
    """No byte-level tokenizer makes more tokens than bytes."""
    return utf8_bytes


def likely_tokens(utf8_bytes: int) -> int:
    """What a text of this size comes to on average, rounded up in the provider's favour: three bytes to a token."""
    return -(-utf8_bytes // 3)


def likely_prompt_tokens(body: bytes) -> int:
    """What a request of this JSON body comes to on average. A file inside of it (a long string of ASCII without a
    space, as base64 is) counts 1,500 tokens, about what vendors take for a large picture, whatever its size."""
    files = [text for text in body.split(b'"') if is_file(text)]
    return likely_tokens(len(body) - sum(map(len, files))) + FILE_TOKENS * len(files)


def most_prompt_tokens(body: bytes) -> int:
    """More than a request of this JSON body can have: a token for each byte, but of a file inside of it what a vendor
    may make of it at most: of a picture 16,000 tokens whatever its size, of another file a token for four bytes."""
    _, files = texts_and_files(body)
    return len(body) - sum(map(len, files)) + most_file_tokens(files)


def texts_and_files(body: bytes) -> tuple[list[bytes], list[bytes]]:
    """What stands between the quotes of a JSON body: texts, syntax included, and files."""
    texts: list[bytes] = []
    files: list[bytes] = []
    for piece in body.split(b'"'):
        (files if is_file(piece) else texts).append(piece)
    return texts, files


def most_file_tokens(files: Sequence[bytes]) -> int:
    """What vendors may make of them at most."""
    return sum(min(len(text), PICTURE_MOST_TOKENS if _is_picture(text) else len(text) // 4) for text in files)


def _is_picture(text: bytes) -> bool:
    return text.startswith(_PICTURE_STARTS)


def is_file(text: bytes) -> bool:
    """Whether a string of a request is a file: long, ASCII, and without a space, as base64 is."""
    return len(text) >= _FILE_STRING_BYTES and text.isascii() and b" " not in text
