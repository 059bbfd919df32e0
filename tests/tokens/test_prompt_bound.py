"""The bound of a prompt that was counted: above what a model reads, below its bytes where there is prose."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tollhouse.tokens.bounds import most_prompt_tokens
from tollhouse.tokens.encodings import encoding
from tollhouse.tokens.prompt_bound import most_counted_tokens

O200K = encoding("o200k_base")
texts = st.one_of(
    st.text(max_size=300),
    st.text(alphabet='ab \n{}"\\', max_size=300),
    st.text(alphabet="日本語テ", max_size=99),
)


@settings(max_examples=150, deadline=None)
@given(turns=st.lists(texts, min_size=1, max_size=8), escaped=st.booleans())
def test_it_is_above_what_the_model_reads(turns: list[str], escaped: bool) -> None:
    """Each turn with the four tokens that vendors put around it."""
    asked = {"model": "m", "messages": [{"role": "user", "content": text} for text in turns]}
    body = json.dumps(asked, ensure_ascii=escaped).encode("utf-8", "replace")
    read = sum(O200K.count_text(text) + 4 for text in turns)
    assert read <= most_counted_tokens(body, O200K)


def test_prose_counts_a_quarter_of_its_bytes_and_files_what_they_may_come_to() -> None:
    said = {"role": "user", "content": "Words are counted where bytes say too little. " * 200}
    prose = json.dumps({"messages": [said]})
    assert most_counted_tokens(prose.encode(), O200K) < len(prose) / 3
    picture = prose[:-1].encode() + b',"image":"' + b"iVBORw0KGgo" * 100_000 + b'"}'
    more = most_counted_tokens(picture, O200K) - most_counted_tokens(prose.encode(), O200K)
    assert 16_000 <= more <= 16_020
    assert most_counted_tokens(picture, O200K) < most_prompt_tokens(picture)
