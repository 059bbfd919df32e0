"""Every kind of fault in every dialect's words, byte for byte against golden files, and what holds for all of them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.dialect_samples import (
    ATTEMPTS,
    DIALECTS,
    HPP,
    HYPERINFER,
    REQUEST_ID,
    VOLTAGE,
    sample_fault,
)
from support.golden import check_golden
from tollhouse.dialects.dialect import Dialect
from tollhouse.ir.fault import Fault, FaultKind

GOLDEN = Path(__file__).parent / "golden"
ENDPOINT = "/v1/chat/completions"
KINDS = tuple(FaultKind)
PROVIDER_KINDS = tuple(kind for kind in KINDS if kind.value.startswith("provider_"))

# behaviour.md, D10: status on HPP, HyperInfer, VoltageGPU, and HyperInfer's code.
D10 = {
    FaultKind.INVALID_REQUEST: (400, 400, 400, "invalid_request"),
    FaultKind.UNKNOWN_MODEL: (400, 400, 400, "invalid_request"),
    FaultKind.CONTEXT_LENGTH: (400, 400, 400, "context_length_exceeded"),
    FaultKind.CONTENT_FILTER: (400, 400, 400, "content_filter"),
    FaultKind.SMART_ROUTING: (400, 400, 400, "invalid_request"),
    FaultKind.NOT_FOUND: (404, 404, 404, "invalid_request"),
    FaultKind.METHOD_NOT_ALLOWED: (405, 405, 405, "invalid_request"),
    FaultKind.BODY_TOO_LARGE: (413, 413, 413, "payload_too_large"),
    FaultKind.HEADERS_TOO_LARGE: (431, 431, 431, "invalid_request"),
    FaultKind.REQUEST_TIMEOUT: (408, 408, 408, "invalid_request"),
    FaultKind.UNSUPPORTED_ENCODING: (415, 415, 415, "invalid_request"),
    FaultKind.INVALID_KEY: (401, 401, 401, "invalid_api_key"),
    FaultKind.MODEL_NOT_ALLOWED: (400, 403, 403, "model_not_allowed"),
    FaultKind.WORKSPACE_LOCKED: (429, 403, 403, "workspace_locked"),
    FaultKind.INSUFFICIENT_BALANCE: (429, 402, 403, "insufficient_credits"),
    FaultKind.KEY_LIMIT: (429, 402, 403, "key_limit_exceeded"),
    FaultKind.RATE_LIMIT: (429, 429, 429, "rate_limit_exceeded"),
    FaultKind.PROVIDER_RATE_LIMIT: (429, 429, 429, "provider_rate_limit"),
    FaultKind.PROVIDER_OVERLOADED: (500, 529, 500, "provider_overloaded"),
    FaultKind.PROVIDER_TIMEOUT: (500, 504, 500, "provider_timeout"),
    FaultKind.PROVIDER_UNAVAILABLE: (500, 502, 500, "provider_unavailable"),
    FaultKind.PROVIDER_AUTH: (500, 502, 500, "provider_auth"),
    FaultKind.BOOKS_UNAVAILABLE: (503, 500, 500, "internal_error"),
    FaultKind.BUSY: (503, 500, 500, "internal_error"),
    FaultKind.INTERNAL: (500, 500, 500, "internal_error"),
}
CODES = {
    "provider_auth", "provider_rate_limit", "provider_overloaded", "context_length_exceeded", "content_filter",
    "provider_timeout", "provider_unavailable", "insufficient_credits", "key_limit_exceeded", "model_not_allowed",
    "invalid_api_key", "workspace_locked", "rate_limit_exceeded", "invalid_request", "payload_too_large",
    "internal_error",
}  # fmt: skip


def worded(dialect: Dialect, fault: Fault) -> tuple[int, dict[str, Any], dict[bytes, bytes]]:
    attempts = ATTEMPTS if fault.from_provider else ()
    answer = dialect.word(fault, REQUEST_ID, ENDPOINT, attempts)
    return answer.status, json.loads(answer.body), dict(answer.headers)


@pytest.mark.row(3, 12, 13, 119, 134, 139)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_every_kind_is_worded_as_agreed(dialect: Dialect) -> None:
    blocks: list[str] = []
    for kind in KINDS:
        fault = sample_fault(kind)
        attempts = ATTEMPTS if fault.from_provider else ()
        answer = dialect.word(fault, REQUEST_ID, ENDPOINT, attempts)
        again = dialect.word(fault, REQUEST_ID, ENDPOINT, attempts)
        assert answer == again
        head = "".join(f"{name.decode()}: {value.decode()}\n" for name, value in answer.headers)
        blocks.append(f"### {kind.value}\nHTTP {answer.status}\n{head}\n{answer.body.decode()}\n")
    check_golden(GOLDEN / f"{dialect.name}.errors.txt", "\n".join(blocks))


@pytest.mark.parametrize("kind", KINDS)
def test_statuses_and_codes_are_those_of_the_table(kind: FaultKind) -> None:
    answers = [worded(dialect, sample_fault(kind)) for dialect in DIALECTS]
    assert (*(status for status, _, _ in answers), answers[1][1]["error"]["code"]) == D10[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_no_secret_and_no_detail_is_ever_shown(dialect: Dialect, kind: FaultKind) -> None:
    answer = dialect.word(sample_fault(kind), REQUEST_ID, ENDPOINT, ATTEMPTS)
    for secret in (b"secret", b"user:"):
        assert secret not in answer.body
        assert all(secret not in value for _, value in answer.headers)


@pytest.mark.row(3)
def test_an_hpp_key_refusal_is_the_simple_envelope() -> None:
    status, body, _ = worded(HPP, sample_fault(FaultKind.INVALID_KEY))
    assert status == 401
    assert body["error"] == "unauthorized"
    assert body["message"].startswith("Invalid API key")
    assert set(body) == {"error", "message"}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_a_key_refusal_is_the_same_whatever_was_wrong_with_the_key(dialect: Dialect) -> None:
    answers = {
        dialect.word(Fault(kind=FaultKind.INVALID_KEY, message=why), REQUEST_ID, ENDPOINT).body
        for why in ("unknown", "revoked", "expired", "missing")
    }
    assert len(answers) == 1


@pytest.mark.row(12, 13)
@pytest.mark.parametrize("kind", PROVIDER_KINDS)
def test_a_providers_failure_is_the_structured_hpp_envelope(kind: FaultKind) -> None:
    _, body, _ = worded(HPP, sample_fault(kind))
    error = body["error"]
    assert set(error) == {"message", "type", "code", "provider", "upstream_status", "retryable"}
    assert error["type"] == "upstream_error"
    assert error["provider"] == "first"
    assert error["retryable"] is (kind is not FaultKind.PROVIDER_AUTH)


@pytest.mark.parametrize(
    ("kind", "answered", "shown"),
    [
        (FaultKind.PROVIDER_OVERLOADED, 529, 529),
        (FaultKind.PROVIDER_OVERLOADED, 503, 503),
        (FaultKind.PROVIDER_OVERLOADED, 200, 503),
        (FaultKind.PROVIDER_TIMEOUT, None, 504),
        (FaultKind.PROVIDER_TIMEOUT, 408, 504),
        (FaultKind.PROVIDER_UNAVAILABLE, None, 502),
        (FaultKind.PROVIDER_UNAVAILABLE, 200, 502),
        (FaultKind.PROVIDER_UNAVAILABLE, 500, 500),
        (FaultKind.PROVIDER_AUTH, 403, 403),
        (FaultKind.PROVIDER_AUTH, None, 502),
        (FaultKind.PROVIDER_RATE_LIMIT, None, 429),
    ],
)
def test_upstream_status_says_what_the_provider_did(kind: FaultKind, answered: int | None, shown: int) -> None:
    _, body, _ = worded(HPP, Fault(kind=kind, message="x", upstream_status=answered))
    assert body["error"]["upstream_status"] == shown
    assert "provider" not in body["error"]


@pytest.mark.row(13)
def test_a_providers_429_differs_from_quota_and_from_our_rate_limit_on_hpp() -> None:
    of_provider = worded(HPP, sample_fault(FaultKind.PROVIDER_RATE_LIMIT))[1]["error"]
    quota = worded(HPP, sample_fault(FaultKind.INSUFFICIENT_BALANCE))[1]["error"]
    rate = worded(HPP, sample_fault(FaultKind.RATE_LIMIT))[1]["error"]
    assert (of_provider["code"], quota, rate) == ("rate_limited", "quota_exceeded", "rate_limit_exceeded")


@pytest.mark.parametrize("kind", KINDS)
def test_hyperinfer_uses_the_sixteen_codes_and_the_classes_of_their_statuses(kind: FaultKind) -> None:
    status, body, _ = worded(HYPERINFER, sample_fault(kind))
    error = body["error"]
    assert set(error) == {"message", "type", "code", "param", "request_id"}
    assert error["code"] in CODES
    assert error["request_id"] == REQUEST_ID
    classes = {
        401: "authentication_error",
        402: "insufficient_credits",
        403: "permission_error",
        429: "rate_limit_error",
    }
    assert error["type"] == ("api_error" if status >= 500 else classes.get(status, "invalid_request_error"))


def test_hyperinfer_names_the_field() -> None:
    assert worded(HYPERINFER, sample_fault(FaultKind.INVALID_REQUEST))[1]["error"]["param"] == "temperature"
    assert worded(HYPERINFER, sample_fault(FaultKind.UNKNOWN_MODEL))[1]["error"]["param"] == "model"
    assert worded(HYPERINFER, sample_fault(FaultKind.RATE_LIMIT))[1]["error"]["param"] is None


@pytest.mark.row(134)
@pytest.mark.parametrize("kind", KINDS)
def test_voltage_errors_carry_a_string_the_status_and_the_endpoint(kind: FaultKind) -> None:
    status, body, headers = worded(VOLTAGE, sample_fault(kind))
    assert isinstance(body["error"], str)
    assert body["details"]["status"] == status
    assert body["details"]["endpoint"] == ENDPOINT
    assert str(body["details"].get("retry_after", "")) == headers.get(b"retry-after", b"").decode()


@pytest.mark.row(120, 139)
@pytest.mark.parametrize("path", ["/v1/nothing", "/api/voltage/v1/nothing"])
def test_voltage_names_an_unknown_path_alike_under_both_mounts(path: str) -> None:
    answer = VOLTAGE.word(sample_fault(FaultKind.NOT_FOUND), REQUEST_ID, path)
    assert json.loads(answer.body)["details"]["endpoint"] == "/v1/nothing"


def test_voltage_lists_the_attempts_without_credentials() -> None:
    _, body, _ = worded(VOLTAGE, sample_fault(FaultKind.PROVIDER_UNAVAILABLE))
    assert body["details"]["attempts"] == [
        {
            "step": "first:model-a",
            "url": "https://api.first.example:8443/v1/chat/completions",
            "status": 503,
            "latency_ms": 120,
        },
        {
            "step": "second:model-b",
            "url": "https://api.second.example/v1/chat/completions",
            "status": 0,
            "latency_ms": 10_000,
        },
    ]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize(
    ("seconds", "header"),
    [(0.0, b"1"), (-3.0, b"1"), (1.0, b"1"), (1.01, b"2"), (59.5, b"60"), (1e300, b"86400"), (float("inf"), b"86400")],
)
def test_retry_after_is_whole_seconds_within_a_day(dialect: Dialect, seconds: float, header: bytes) -> None:
    fault = Fault(kind=FaultKind.RATE_LIMIT, message="Too fast.", retry_after_s=seconds)
    assert dialect.word(fault, REQUEST_ID, ENDPOINT).headers == ((b"retry-after", header),)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_what_passes_soon_always_names_a_wait(dialect: Dialect) -> None:
    for kind in (FaultKind.BOOKS_UNAVAILABLE, FaultKind.BUSY):
        for seconds in (None, float("nan")):
            fault = Fault(kind=kind, message="Retry soon.", retry_after_s=seconds)
            assert dialect.word(fault, REQUEST_ID, ENDPOINT).headers == ((b"retry-after", b"1"),)
    assert dialect.word(Fault(kind=FaultKind.INTERNAL, message="x"), REQUEST_ID, ENDPOINT).headers == ()


def test_worded_bodies_are_json_objects() -> None:
    for dialect in DIALECTS:
        for kind in KINDS:
            msgspec.json.decode(dialect.word(sample_fault(kind), REQUEST_ID, ENDPOINT).body, type=dict)


def test_the_documented_table_of_errors_is_true() -> None:
    text = (Path(__file__).parents[2] / "docs" / "apis.md").read_text(encoding="utf-8")
    table = text.split("## Errors")[1].split("|---|---|---|---|\n")[1].split("\n\n")[0]
    documented = {tuple(cell.strip().replace("`", "") for cell in row.split("|")[2:5]) for row in table.split("\n")}
    said: set[tuple[str, ...]] = set()
    for kind in KINDS:
        (hpp, hpp_body, _), (hyper, hyper_body, _), (voltage, _, _) = (
            worded(dialect, sample_fault(kind)) for dialect in DIALECTS
        )
        error = hpp_body["error"]
        code = error["code"] if isinstance(error, dict) else error
        said.add((f"{hpp} {code}", f"{hyper} {hyper_body['error']['code']}", str(voltage)))
    assert documented == said
