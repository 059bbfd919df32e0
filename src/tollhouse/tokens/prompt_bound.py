"""Prompt bound: the most tokens that a prompt can have, counted in the model's own vocabulary."""

from typing import Final

from tollhouse.tokens.bounds import most_file_tokens, texts_and_files
from tollhouse.tokens.encodings import Encoding

# What vendors put around turns and tools is shorter than the JSON that is counted here; this is for what is not.
_SPARE_SHARE: Final = 20
_SPARE_TOKENS: Final = 64


def most_counted_tokens(body: bytes, coding: Encoding) -> int:
    """More than a request of this JSON body can have for a model with this vocabulary: all of its text, syntax and
    escapes included, a twentieth and 64 tokens more, and of a file what a vendor may make of it at most. Takes time in
    proportion to the text, so mind OFF_LOOP_BYTES."""
    texts, files = texts_and_files(body)
    counted = coding.count_text(b'"'.join(texts).decode("utf-8", "replace"))
    return counted + counted // _SPARE_SHARE + _SPARE_TOKENS + most_file_tokens(files)
