"""Every kind of fault in the envelopes of HyperInfer's other formats, against golden files and against the contract."""

import json
from pathlib import Path

import pytest

from support.dialect_samples import ATTEMPTS, HYPERINFER, REQUEST_ID, sample_fault
from support.golden import check_golden
from support.hyperinfer_voices import COUNT, MESSAGES, RESPONSES
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.relay.call import Voice, Worded

GOLDEN = Path(__file__).parent / "golden"
CLASSES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def word(voice: Voice, kind: FaultKind) -> Worded:
    return voice.word(sample_fault(kind), REQUEST_ID, "/api/v1/messages", ATTEMPTS)


@pytest.mark.row(47, 58, 59, 91, 92)
@pytest.mark.parametrize(("voice", "name"), [(RESPONSES, "responses"), (MESSAGES, "messages")])
def test_every_kind_is_worded_as_agreed(voice: Voice, name: str) -> None:
    blocks: list[str] = []
    for kind in FaultKind:
        answer = word(voice, kind)
        assert answer == word(voice, kind)
        head = "".join(f"{field.decode()}: {value.decode()}\n" for field, value in answer.headers)
        blocks.append(f"### {kind.value}\nHTTP {answer.status}\n{head}\n{answer.body.decode()}\n")
    check_golden(GOLDEN / f"hyperinfer.{name}.errors.txt", "\n".join(blocks))


@pytest.mark.row(91, 92)
@pytest.mark.parametrize("kind", FaultKind)
def test_status_code_and_waits_are_the_same_in_every_envelope(kind: FaultKind) -> None:
    fault = sample_fault(kind)
    plain = HYPERINFER.word(fault, REQUEST_ID, "/api/v1/chat/completions")
    assert word(RESPONSES, kind) == plain
    assert word(COUNT, kind) == word(MESSAGES, kind)
    answer = word(MESSAGES, kind)
    assert (answer.status, answer.headers) == (plain.status, plain.headers)
    told, error = json.loads(answer.body), json.loads(plain.body)["error"]
    assert set(told) == {"type", "error", "request_id"}
    assert (told["type"], told["request_id"]) == ("error", REQUEST_ID)
    assert set(told["error"]) == {"type", "code", "message"}
    assert told["error"]["code"] == error["code"]
    if kind is not FaultKind.INVALID_KEY:
        assert told["error"]["message"] == error["message"]
    assert told["error"]["type"] == CLASSES.get(answer.status, "invalid_request_error")


@pytest.mark.row(140)
@pytest.mark.parametrize("kind", FaultKind)
def test_no_secret_and_no_detail_is_ever_shown(kind: FaultKind) -> None:
    answer = word(MESSAGES, kind)
    assert b"secret" not in answer.body
    assert all(b"secret" not in value for _, value in answer.headers)


@pytest.mark.row(47)
def test_a_key_refusal_names_both_headers_and_is_always_the_same() -> None:
    answers = {
        MESSAGES.word(Fault(kind=FaultKind.INVALID_KEY, message=why), REQUEST_ID, "").body
        for why in ("unknown", "revoked", "expired", "missing")
    }
    assert len(answers) == 1
    assert b"`Authorization: Bearer` or `x-api-key`" in answers.pop()
