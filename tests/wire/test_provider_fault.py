"""Faults of providers: every shape of error body, and nothing secret in what is passed on."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.wire.openai_fault import decode_fault
from tollhouse.wire.provider_faults import MAX_MESSAGE_CHARS, redact, retry_after

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def fault(status: int, body: object = b"", *headers: tuple[str, str]) -> Fault:
    return decode_fault(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def openai(message: str, **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **members}}


@pytest.mark.fault(45, 46)
@pytest.mark.row(92)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, FaultKind.PROVIDER_AUTH),
        (403, FaultKind.PROVIDER_AUTH),
        (407, FaultKind.PROVIDER_AUTH),
        (402, FaultKind.PROVIDER_UNAVAILABLE),
        (404, FaultKind.PROVIDER_UNAVAILABLE),
        (408, FaultKind.PROVIDER_TIMEOUT),
        (504, FaultKind.PROVIDER_TIMEOUT),
        (413, FaultKind.BODY_TOO_LARGE),
        (429, FaultKind.PROVIDER_RATE_LIMIT),
        (503, FaultKind.PROVIDER_OVERLOADED),
        (529, FaultKind.PROVIDER_OVERLOADED),
        (500, FaultKind.PROVIDER_UNAVAILABLE),
        (502, FaultKind.PROVIDER_UNAVAILABLE),
        (599, FaultKind.PROVIDER_UNAVAILABLE),
        (302, FaultKind.PROVIDER_UNAVAILABLE),
    ],
)
def test_statuses_that_speak_for_themselves(status: int, kind: FaultKind) -> None:
    got = fault(status, openai("our account acme-7 broke"))
    assert (got.kind, got.source, got.upstream_status) == (kind, "provider", status)
    assert "acme" not in got.message
    assert got.upstream_code == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (openai("Bad value", param="messages[0].role", code="invalid_value"), FaultKind.INVALID_REQUEST),
        (openai("This model's maximum context length is 8192 tokens"), FaultKind.CONTEXT_LENGTH),
        (openai("x", code="context_length_exceeded"), FaultKind.CONTEXT_LENGTH),
        (openai("prompt too long; exceeded max context length by 9 tokens"), FaultKind.CONTEXT_LENGTH),
        (openai("The total length", type="too_many_prompt_tokens", code=400), FaultKind.CONTEXT_LENGTH),
        (openai("The response was filtered", code="content_filter"), FaultKind.CONTENT_FILTER),
        (openai("x", code="content_policy_violation"), FaultKind.CONTENT_FILTER),
    ],
)
def test_what_blames_the_request_is_passed_on(body: dict[str, Any], kind: FaultKind) -> None:
    got = fault(400, body)
    assert got.kind is kind
    assert got.message == body["error"]["message"]
    assert got.param == body["error"]["param"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "plain words"}, "plain words"),
        ([{"error": {"code": 400, "message": "from a list", "status": "INVALID_ARGUMENT"}}], "from a list"),
        ({"detail": "from FastAPI"}, "from FastAPI"),
        ({"detail": [{"loc": ["body"], "msg": "field required"}, {"msg": "too big"}]}, "field required; too big"),
        ({"detail": {"message": "nested"}}, "nested"),
        ({"message": "bare", "code": "c"}, "bare"),
        ({"object": "error", "message": "vLLM", "type": "BadRequestError", "code": 400}, "vLLM"),
        ({"errors": ["one", "two"]}, "one; two"),
        ("just a string", "just a string"),
    ],
)
def test_every_shape_of_body(body: object, message: str) -> None:
    assert fault(422, body).message == message


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    "body", [b"", b"<html>nginx</html>", b"\xff\xfe", b"null", b"[]", b"7", b'{"error":null}', b"["]
)
def test_bodies_that_say_nothing(body: bytes) -> None:
    got = fault(400, body)
    assert got.kind is FaultKind.INVALID_REQUEST
    assert got.message
    assert "html" not in got.message


def test_a_filtered_prompt_may_come_as_403() -> None:
    got = fault(403, openai("Blocked by the content filter", code="content_filter"))
    assert got.kind is FaultKind.CONTENT_FILTER


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_our_own_empty_account_is_no_rate_limit(code: str) -> None:
    got = fault(429, openai("You exceeded your current quota", code=code))
    assert got.kind is FaultKind.PROVIDER_UNAVAILABLE
    assert "current quota" not in got.message


@pytest.mark.row(13)
def test_a_rate_limit_is_passed_on_with_what_it_says() -> None:
    got = fault(429, openai("Limit 10 per minute for organization org-acme12345678. Try again in 6s."))
    assert got.kind is FaultKind.PROVIDER_RATE_LIMIT
    assert got.message.endswith("It says: Limit 10 per minute for organization [redacted]. Try again in 6s.")
    assert fault(429).message == "The provider's rate limit is reached. Try again later."


def test_a_request_that_is_too_large_for_the_provider_hears_how_large_it_may_be() -> None:
    got = fault(413, openai("Request exceeds the maximum size of 32 MB"))
    assert got.kind is FaultKind.BODY_TOO_LARGE
    assert got.message.endswith("Send less. It says: Request exceeds the maximum size of 32 MB")
    assert "It says" not in fault(413).message


@pytest.mark.parametrize("words", ["(ref: {})", "quote the request id {} to support", "Request ID: {}"])
def test_the_name_of_a_request_is_no_name_of_an_account(words: str) -> None:
    name = "96164522-08b2-4cbf-886e-e5a38961a688"
    assert redact(words.format(name)) == words.format(name)
    assert redact(f"tenant {name}") == "tenant [redacted]"


@pytest.mark.fault(45)
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("1.5", 1.5),
        ("9" * 30, 3600.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Sat, 21 Nov 2099 11:00:00 GMT", 3600.0),
        ("Sat, 21 Nov 2026 12:00:30 -0000", 30.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("NaN", None),
        ("1e9", None),
        ("²", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after([("Retry-After", value)], NOW) == seconds


def test_retry_after_reaches_the_fault_where_waiting_helps() -> None:
    assert fault(429, b"", ("retry-after", "3")).retry_after_s == 3.0
    assert fault(503, b"", ("Retry-After", "Sat, 21 Nov 2026 12:00:30 GMT")).retry_after_s is None
    assert fault(400, b"", ("retry-after", "3")).retry_after_s is None


@pytest.mark.fault(49)
@pytest.mark.row(140)
@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcDEF123456",
        "sk-ant-api03-x_y-z",
        "th-0123456789abcdef",
        "Bearer eyJhbGciOi.abc.def",
        "bearer abc",
        "gsk_abcdefg",
        "AIzaSyA1234567890abcdef",
        "https://acme-prod.openai.azure.com/openai/deployments/x?api-key=1",
        "wss://user:pw@host/path",
        "org-AbC123xyz",
        "proj_12345678",
        "ops@acme.example.com",
        "bad-key-**********test",
        "0123456789abcdef0123456789abcdef",
        "96164522-08b2-4cbf-886e-e5a38961a688",
    ],
)
def test_secrets_are_redacted(secret: str) -> None:
    for text in (f"Wrong: {secret}", f"'{secret}', see docs", f'{{"key":"{secret}"}}'):
        got = fault(400, openai(text))
        assert secret not in got.message
        assert secret.rsplit(" ", 1)[-1] not in got.message
        assert secret not in (got.detail or "")
        assert "[redacted]" in got.message


def test_ordinary_words_are_left_alone() -> None:
    text = (
        "Unsupported value: 'messages[0].role' does not support 'developer' with gpt-4o-mini-2024-07-18 (max_tokens)."
    )
    assert redact(text) == text


@pytest.mark.fault(11)
def test_messages_are_bounded_and_on_one_line() -> None:
    got = fault(400, openai("a\r\nb\x1b[31m\u0000" + "x " * 5000))
    assert len(got.message) <= MAX_MESSAGE_CHARS
    assert got.message.isprintable()
    assert len(fault(400, openai("x", code="c" * 5000, param="p" * 5000)).upstream_code or "") <= 100


@given(
    st.integers(300, 599),
    st.binary(max_size=80),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "param", "detail", "msg"]), inner)
        ),
        max_leaves=9,
    ),
)
def test_it_never_raises(status: int, garbage: bytes, body: object) -> None:
    assert fault(status, garbage).message
    assert fault(status, body).message


def test_deep_bodies_are_no_trouble() -> None:
    assert fault(400, b"[" * 100_000).message
    assert fault(400, b'{"error":' * 5000 + b"1" + b"}" * 5000).message
