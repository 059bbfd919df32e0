"""The grammar of Messages streams as the contract has it, checked without our own decoder."""

import json
from typing import Any

_STOP_REASONS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"}
_DELTAS = {
    "text": {"text_delta": "text", "citations_delta": "citation"},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "tool_use": {"input_json_delta": "partial_json"},
}
_EMPTY = {"text": ("text", ""), "thinking": ("thinking", ""), "tool_use": ("input", {})}
_COUNTERS = ("input_tokens", "output_tokens")


def check_messages_stream(data: bytes) -> list[dict[str, Any]]:
    """message_start, blocks 0, 1, … one after the other, one message_delta, message_stop; gives the events."""
    assert data.endswith(b"\n\n")
    events = [_event(frame) for frame in data.decode().split("\n\n")[:-1]]
    told = [event for event in events if event["type"] != "ping"]
    assert [event["type"] for event in (told[0], *told[-2:])] == ["message_start", "message_delta", "message_stop"]
    _check_start(told[0]["message"])
    open_block: dict[str, Any] | None = None
    blocks: list[str] = []
    for event in told[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert open_block is None, "a block starts inside of another"
                assert event["index"] == len(blocks), "blocks are not numbered 0, 1, …"
                open_block = event["content_block"]
                blocks.append(open_block["type"])
                _check_block(open_block)
            case "content_block_delta":
                assert open_block is not None, "a delta outside of a block"
                assert event["index"] == len(blocks) - 1
                _check_delta(open_block["type"], event["delta"])
            case "content_block_stop":
                assert open_block is not None, "a block stops that has not started"
                assert event["index"] == len(blocks) - 1
                open_block = None
            case other:
                raise AssertionError(f"{other} between message_start and message_delta")
    assert open_block is None, "a block is open at the end"
    _check_delta_of_message(told[-2], calls="tool_use" in blocks)
    assert told[-1] == {"type": "message_stop"}
    return events


def _event(frame: str) -> dict[str, Any]:
    name, data = frame.split("\n")
    event = json.loads(data.removeprefix("data: "))
    assert name == f"event: {event['type']}", "the event's name is not its type"
    return event


def _check_start(message: dict[str, Any]) -> None:
    assert (message["type"], message["role"], message["content"]) == ("message", "assistant", [])
    assert message["stop_reason"] is None
    assert message["stop_sequence"] is None
    assert isinstance(message["id"], str)
    assert isinstance(message["model"], str)
    assert all(type(message["usage"][name]) is int for name in _COUNTERS)


def _check_block(block: dict[str, Any]) -> None:
    kind = block["type"]
    assert isinstance(kind, str)
    if kind in _EMPTY:
        name, value = _EMPTY[kind]
        assert block[name] == value, f"a block of {kind} does not start empty"
    if kind == "tool_use":
        assert isinstance(block["id"], str)
        assert block["name"]
    if kind == "redacted_thinking":
        assert isinstance(block["data"], str)


def _check_delta(kind: str, delta: dict[str, Any]) -> None:
    key = _DELTAS[kind][delta["type"]]
    assert delta.keys() == {"type", key}
    assert isinstance(delta[key], dict if key == "citation" else str)


def _check_delta_of_message(event: dict[str, Any], *, calls: bool) -> None:
    assert all(type(event["usage"][name]) is int for name in _COUNTERS)
    delta = event["delta"]
    assert delta["stop_sequence"] is None or isinstance(delta["stop_sequence"], str)
    reason = delta["stop_reason"]
    assert reason in _STOP_REASONS
    if reason in ("end_turn", "tool_use"):
        assert (reason == "tool_use") == calls, "the reason does not fit what was emitted"
