"""Token bounds from byte counts."""

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.tokens.bounds import likely_tokens, most_tokens


@given(st.integers(0, 10**9))
def test_the_estimate_stays_within_the_bound_and_is_never_zero_for_something(size: int) -> None:
    assert likely_tokens(size) <= most_tokens(size)
    assert (likely_tokens(size) > 0) == (size > 0)
