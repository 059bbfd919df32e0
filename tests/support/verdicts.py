"""Whether what a caller got is an answer, a stream or a refusal as its API has it: by status, envelope and grammar."""

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from support.chat_grammar import check_chat_stream
from support.messages_grammar import check_messages_stream
from support.responses_grammar import check_responses_stream

_REQUEST_ID = re.compile(r"^[0-9a-zA-Z_-]{16,64}$")


class Door(msgspec.Struct, frozen=True):
    """One way in: an API and a format."""

    name: str
    path: str
    key_header: str
    form: str


DOORS = (
    Door("hpp", "/llm/v1/chat/completions", "apikey", "chat"),
    Door("hyperinfer", "/api/v1/chat/completions", "authorization", "chat"),
    Door("hyperinfer", "/api/v1/responses", "authorization", "responses"),
    Door("hyperinfer", "/api/v1/messages", "authorization", "messages"),
    Door("voltage", "/v1/chat/completions", "x-voltagegpu-key", "chat"),
    Door("voltage", "/v1/embeddings", "x-voltagegpu-key", "embeddings"),
)
_GRAMMARS: dict[str, Callable[[bytes], Any]] = {
    "chat": check_chat_stream,
    "responses": check_responses_stream,
    "messages": check_messages_stream,
}
# What a provider's failure or the gateway's own state may be told as; a fault of the gateway's own (internal_error) is
# none of them.
_CODES = {
    "provider_unavailable": 502,
    "provider_overloaded": 529,
    "provider_timeout": 504,
    "provider_rate_limit": 429,
    "provider_auth": 502,
}
_HPP_STATUSES = {429, 500}


def check_answer(door: Door, status: int, headers: dict[str, str], body: bytes, *, stream: bool) -> str:
    """`ok`, `failed` (a stream that ends in an error) or `refused`; anything else fails."""
    assert _REQUEST_ID.match(headers["x-request-id"])
    if status != 200:
        assert headers["content-type"] == "application/json"
        _check_error(door, json.loads(body), status, headers["x-request-id"])
        return "refused"
    if not stream:
        assert headers["content-type"] == "application/json"
        _check_whole(door.form, json.loads(body))
        return "ok"
    assert headers["content-type"].startswith("text/event-stream")
    events = read_events(body)
    error = _error_in(events[-1][1])
    if error is None:
        _check_stream(door, events)
        return "ok"
    _check_error(door, error, None, headers["x-request-id"])
    _check_begun(door.form, events[:-1])
    return "failed"


def read_events(body: bytes) -> list[tuple[str, str]]:
    """Names and data of the events of a stream, read as the standard says; comments and other fields are skipped."""
    *blocks, rest = body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    assert rest == "", "the stream ends inside of an event"
    found: list[tuple[str, str]] = []
    for block in blocks:
        fields = [line.partition(":") for line in block.split("\n") if not line.startswith(":")]
        data = [value.removeprefix(" ") for name, _, value in fields if name == "data"]
        name = next((value.removeprefix(" ") for name, _, value in fields if name == "event"), "")
        if data:
            found.append((name, "\n".join(data)))
    return found


def _check_stream(door: Door, events: list[tuple[str, str]]) -> None:
    if door.name != "hyperinfer":
        _check_chat(events)
        return
    heads = (f"event: {name}\n" if name else "" for name, _ in events)
    # A line break between two members of an object says nothing.
    frames = (
        f"{head}data: {data}\n\n".replace("data: {\n", "data: {") for head, (_, data) in zip(heads, events, strict=True)
    )
    _GRAMMARS[door.form]("".join(frames).encode())


def _check_chat(events: list[tuple[str, str]]) -> None:
    """Where an API leaves a provider's chunks as they are: one answer, which ends once."""
    assert events[-1] == ("", "[DONE]")
    chunks = [json.loads(data) for _, data in events[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [reason is not None for reason in reasons] == [False] * (len(reasons) - 1) + [True]


def text_of(door: Door, body: bytes, *, stream: bool) -> str:
    """The text that was handed out."""
    if not stream:
        return _whole_text(door.form, json.loads(body))
    events = [json.loads(data) for _, data in read_events(body) if data != "[DONE]"]
    match door.form:
        case "chat":
            choices = [choice for event in events for choice in event.get("choices", ())]
            return "".join(choice["delta"].get("content") or "" for choice in choices)
        case "responses":
            return "".join(one["delta"] for one in events if one["type"] == "response.output_text.delta")
        case _:
            deltas = [one["delta"] for one in events if one["type"] == "content_block_delta"]
            return "".join(delta.get("text", "") for delta in deltas)


def _whole_text(form: str, answer: Any) -> str:
    match form:
        case "chat":
            return answer["choices"][0]["message"]["content"] or ""
        case "responses":
            parts = [part for item in answer["output"] if item["type"] == "message" for part in item["content"]]
            return "".join(part.get("text", "") for part in parts)
        case _:
            return "".join(block.get("text", "") for block in answer["content"])


def _check_whole(form: str, answer: Any) -> None:
    match form:
        case "chat":
            assert answer["object"] == "chat.completion"
            (choice,) = answer["choices"]
            assert choice["finish_reason"] in {"stop", "length", "tool_calls"}
            assert choice["message"]["role"] == "assistant"
            assert {"prompt_tokens", "completion_tokens"} <= answer["usage"].keys()
        case "embeddings":
            assert [len(entry["embedding"]) > 1 for entry in answer["data"]] == [True, True]
            assert answer["usage"]["prompt_tokens"] >= 0
        case "responses":
            assert (answer["object"], answer["status"] in {"completed", "incomplete"}) == ("response", True)
            assert answer["usage"]["output_tokens"] >= 0
        case _:
            assert (answer["type"], answer["role"]) == ("message", "assistant")
            assert answer["stop_reason"] in {"end_turn", "max_tokens", "tool_use"}
            assert answer["usage"]["input_tokens"] >= 0


def _error_in(data: str) -> Any:
    """What an error frame says; None for another one."""
    if data == "[DONE]":
        return None
    value = json.loads(data)
    # A whole answer of Responses has a member of that name, which is null.
    return value if value.get("error") and value.get("type") in (None, "error") else None


def _check_begun(form: str, events: list[tuple[str, str]]) -> None:
    """What comes before an error: whole events, in the format's order as far as they go, and no end."""
    for name, data in events:
        assert data != "[DONE]"
        value = json.loads(data)
        assert not value.get("error")
        assert name == ("" if form == "chat" else value["type"])
    names = [name for name, _ in events]
    if names and form != "chat":
        assert names[0] in {"response.created", "message_start"}
        assert not {"response.completed", "message_stop", "message_delta"} & set(names)


def _check_error(door: Door, body: Any, status: int | None, request_id: str) -> None:
    """`status` is None for an error inside of a stream."""
    match door.name, door.form:
        case "hpp", _:
            error = body["error"]
            assert {"message", "type", "code", "provider", "upstream_status", "retryable"} <= error.keys()
            assert status is None or status in _HPP_STATUSES
        case "voltage", _:
            assert isinstance(body["error"], str)
            assert body["details"]["endpoint"] == door.path
            assert body["details"]["status"] == (status or body["details"]["status"])
            assert body["details"]["attempts"]
        case _, "messages":
            assert body["type"] == "error"
            assert body["request_id"] == request_id
            assert status is None or status == _CODES[body["error"]["code"]]
            assert body["error"].keys() >= {"type", "code", "message"}
        case _:
            assert body["error"]["request_id"] == request_id
            assert body["error"].keys() >= {"message", "type", "code", "param"}
            assert status is None or status == _CODES[body["error"]["code"]]
