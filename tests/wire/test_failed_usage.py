"""What an error says was used all the same: only an error, only counts that make sense, and never an exception."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.wire.format import WireFormat
from tollhouse.wire.registry import FORMATS

COUNTS = {"prompt_tokens": 9, "completion_tokens": 4, "input_tokens": 9, "output_tokens": 4, "total_tokens": 13}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_usage_beside_an_error_and_inside_of_it(form: WireFormat) -> None:
    beside = {"error": {"message": "no"}, "usage": COUNTS}
    inside = {"type": "error", "error": {"message": "no", "usage": COUNTS}}
    for body in (beside, inside):
        usage = form.failed_usage(json.dumps(body).encode())
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens) == (9, 4)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize(
    "body",
    [
        {"choices": [], "usage": COUNTS},
        {"error": None, "usage": COUNTS},
        {"error": "no"},
        {"error": "no", "usage": "much"},
        {"error": "no", "usage": COUNTS | {"completion_tokens": -1, "output_tokens": -1}},
        [COUNTS],
        None,
    ],
)
def test_anything_else_has_used_nothing(form: WireFormat, body: object) -> None:
    assert form.failed_usage(json.dumps(body).encode()) is None


@given(body=st.binary(max_size=200))
def test_no_body_raises(body: bytes) -> None:
    assert all(form.failed_usage(body) is None for form in FORMATS)
