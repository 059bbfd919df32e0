"""Token bounds from byte counts."""

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.tokens.bounds import likely_prompt_tokens, likely_tokens, most_tokens


@given(st.integers(0, 10**9))
def test_the_estimate_stays_within_the_bound_and_is_never_zero_for_something(size: int) -> None:
    assert likely_tokens(size) <= most_tokens(size)
    assert (likely_tokens(size) > 0) == (size > 0)


@given(st.binary(max_size=200), st.integers(0, 3), st.integers(5000, 100_000))
def test_a_file_in_a_prompt_counts_the_same_whatever_its_size(text: bytes, files: int, size: int) -> None:
    words = b'{"text":"' + b"a few words " * 1000 + text + b'"}'
    body = words + b'"' + b'data:;base64,xx","'.ljust(size, b"Q") * files
    small, large = likely_prompt_tokens(words), likely_prompt_tokens(body)
    assert small <= large <= small + 1 + files * 1600
