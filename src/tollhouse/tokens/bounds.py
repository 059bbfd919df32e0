"""Token counts from byte counts alone: a hard upper bound, and an estimate where nobody counted."""


def most_tokens(utf8_bytes: int) -> int:
    """No byte-level tokenizer makes more tokens than bytes."""
    return utf8_bytes


def likely_tokens(utf8_bytes: int) -> int:
    """What a text of this size comes to on average, rounded up in the provider's favour: three bytes to a token."""
    return -(-utf8_bytes // 3)
