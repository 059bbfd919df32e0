"""The grammar of Chat Completions streams as the contracts have it, checked without our own decoder."""

import json
from typing import Any

_FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}


def check_chat_stream(data: bytes) -> list[dict[str, Any]]:
    """Role frame, deltas, a finish frame per choice, at most one usage-only frame, `[DONE]`; gives the chunks."""
    assert data.endswith(b"\n\n")
    frames = data.decode().split("\n\n")[:-1]
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
    assert frames[-1] == "data: [DONE]"
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-1]]
    heads = {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks}
    assert len(heads) == 1, f"the head changes: {heads}"
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert all(chunk["choices"] for chunk in chunks[:-1]), "a frame without choices before the end"
    assert all("usage" not in chunk for chunk in chunks if chunk["choices"]), "usage beside choices"
    open_choices: dict[int, dict[int, str]] = {}
    finished: set[int] = set()
    for chunk in chunks:
        for choice in chunk["choices"]:
            _check_choice(choice, open_choices, finished)
    assert open_choices.keys() == finished, "a choice has no finish frame"
    return chunks


def _check_choice(choice: dict[str, Any], open_choices: dict[int, dict[int, str]], finished: set[int]) -> None:
    index, delta, reason = choice["index"], choice["delta"], choice["finish_reason"]
    assert index not in finished, "a frame after the finish frame"
    if index not in open_choices:
        assert delta == {"role": "assistant", "content": ""}, "the first frame is no role frame"
        assert reason is None
        open_choices[index] = {}
        return
    assert "role" not in delta
    for call in delta.get("tool_calls", ()):
        _check_call(call, open_choices[index])
    if reason is not None:
        assert reason in _FINISH_REASONS
        assert not {"content", "reasoning", "refusal", "tool_calls"} & delta.keys(), "content in the finish frame"
        if reason in ("stop", "tool_calls"):
            assert (reason == "tool_calls") == bool(open_choices[index]), "the reason does not fit what was emitted"
        finished.add(index)


def _check_call(call: dict[str, Any], calls: dict[int, str]) -> None:
    if call["index"] not in calls:
        assert call["index"] == len(calls), "tool calls are not numbered 0, 1, …"
        kind = call["type"]
        assert call["id"]
        assert call[kind]["name"]
        calls[call["index"]] = kind
    else:
        kind = calls[call["index"]]
        assert call.keys() == {"index", kind}
        assert isinstance(call[kind]["input" if kind == "custom" else "arguments"], str)
