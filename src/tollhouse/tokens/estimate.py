"""Estimate: what was sent and received in tokens, where no provider says so that it can be believed."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tollhouse.tokens.bounds import FILE_TOKENS, likely_prompt_tokens, likely_tokens, texts_and_files
from tollhouse.tokens.encodings import BYTES, Encoding

# So much is counted at once, on the event loop: four slices take some 0.3 ms, and of the worst text (one letter over
# and over) 3 ms (o200k_base, 2026-11). What is longer is judged by slices from its beginning, middle and end.
_SLICE_BYTES: Final = 4096
_SLICES: Final = 4
# A short text says little of its language; so much of an average one is added to it.
_AVERAGE_TOKENS: Final = 100
_AVERAGE_BYTES: Final = 300
# Published vocabularies stay between these, Chinese in one not made for it and indented code in one made for it.
_FEWEST_BYTES: Final = 1
_MOST_BYTES: Final = 6

_ESCAPE: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{4}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|.)", re.DOTALL)


class Estimate(msgspec.Struct, frozen=True):
    """The tokens of a request, and what its text tells of texts like it: `tokens_of` so many bytes."""

    prompt_tokens: int
    tokens_of: Callable[[int], int]


def estimate(body: bytes, coding: Encoding) -> Estimate:
    """Of a request with this JSON body.

    Its texts are counted in the model's vocabulary, all of them or slices; a file inside of it counts as in
    `likely_prompt_tokens`. An answer is taken to be as dense as they are, since it is mostly in the same language.
    Three bytes are a token where the vocabulary is not published, or is not loaded yet.
    """
    if coding.name == BYTES or not coding.is_loaded:
        return Estimate(likely_prompt_tokens(body), likely_tokens)
    texts, files = texts_and_files(body)
    text = b'"'.join(texts) if files else body
    sample = [_unescaped(each) for each in _slices(text)]
    counted = sum(coding.count_text(each.decode("utf-8", "ignore")) for each in sample)
    read_bytes, sent_bytes = sum(map(len, sample)), min(len(text), _SLICES * _SLICE_BYTES)
    prompt_tokens = -(-len(text) * counted // max(1, sent_bytes)) + FILE_TOKENS * len(files)
    tokens, size = counted + _AVERAGE_TOKENS, read_bytes + _AVERAGE_BYTES

    def tokens_of(size_bytes: int) -> int:
        found = -(-size_bytes * tokens // size)
        return min(max(found, -(-size_bytes // _MOST_BYTES)), size_bytes // _FEWEST_BYTES)

    return Estimate(prompt_tokens, tokens_of)


def _slices(text: bytes) -> Sequence[bytes]:
    if len(text) <= _SLICES * _SLICE_BYTES:
        return [text[start : start + _SLICE_BYTES] for start in range(0, len(text), _SLICE_BYTES)]
    step = (len(text) - _SLICE_BYTES) // (_SLICES - 1)
    return [text[start : start + _SLICE_BYTES] for start in range(0, step * _SLICES, step)]


def _unescaped(text: bytes) -> bytes:
    r"""What JSON's escapes stand for: a program may write any letter as \uXXXX, six bytes for one or two tokens."""
    return _ESCAPE.sub(_letter, text) if b"\\" in text else text


def _letter(found: re.Match[bytes]) -> bytes:
    try:
        return msgspec.json.decode(b'"%b"' % found[0], type=str).encode()
    except (msgspec.DecodeError, UnicodeError):
        return b"?"
