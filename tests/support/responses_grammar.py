"""The grammar of Responses streams as the contract has it, checked without our own decoder."""

import json
from typing import Any

_STATUSES = {"completed", "incomplete"}
_CHANNELS = {
    "response.output_text": ("text", "content_index"),
    "response.refusal": ("refusal", "content_index"),
    "response.reasoning_text": ("text", "content_index"),
    "response.reasoning_summary_text": ("text", "summary_index"),
    "response.function_call_arguments": ("arguments", None),
    "response.custom_tool_call_input": ("input", None),
}
_OF_KIND = {
    "message": ("response.output_text", "response.refusal"),
    "reasoning": ("response.reasoning_text", "response.reasoning_summary_text"),
    "function_call": ("response.function_call_arguments",),
    "custom_tool_call": ("response.custom_tool_call_input",),
}


def check_responses_stream(data: bytes) -> list[dict[str, Any]]:
    """created, in_progress, items that open, grow and close once, and the whole answer; gives the events."""
    assert data.endswith(b"\n\n")
    events = [_event(text) for text in data.decode().split("\n\n")[:-1]]
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == "response.completed"
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(len(events))), f"the events are not numbered 0, 1, …: {numbers}"
    answers = [event["response"] for event in (*events[:2], events[-1])]
    assert len({(answer["id"], answer["created_at"], answer["model"]) for answer in answers}) == 1
    assert all(answer["status"] == "in_progress" and answer["output"] == [] for answer in answers[:2])
    items: dict[int, _Item] = {}
    for event in events[2:-1]:
        _check_event(event, items)
    _check_end(answers[-1], items)
    return events


def _event(text: str) -> dict[str, Any]:
    name, data = text.split("\n")
    assert name.startswith("event: ")
    assert data.startswith("data: ")
    event = json.loads(data.removeprefix("data: "))
    assert event["type"] == name.removeprefix("event: ")
    return event


def _check_end(answer: dict[str, Any], items: dict[int, "_Item"]) -> None:
    assert answer["object"] == "response"
    assert answer["status"] in _STATUSES
    assert (answer["status"] == "incomplete") == (answer["incomplete_details"] is not None)
    for required in ("error", "output", "parallel_tool_calls", "tool_choice", "tools", "metadata", "usage"):
        assert required in answer
    if answer["usage"] is not None:
        assert "cached_tokens" in answer["usage"]["input_tokens_details"]
        assert "reasoning_tokens" in answer["usage"]["output_tokens_details"]
    assert all(item.done is not None for item in items.values()), "an item is open at the end"
    assert [items[place].done for place in sorted(items)] == answer["output"], "the output is not what was streamed"


class _Item:
    def __init__(self, added: dict[str, Any]) -> None:
        self.added = added
        self.kind = added["type"]
        self.done: dict[str, Any] | None = None
        self.grown: dict[tuple[str, int | None], str] = {}
        self.closed: set[tuple[str, int | None]] = set()
        self.parts: dict[tuple[str, int], str] = {}
        self.ended: set[tuple[str, int]] = set()
        self.annotations: dict[int, list[Any]] = {}


def _check_event(event: dict[str, Any], items: dict[int, _Item]) -> None:
    name, place = event["type"], event["output_index"]
    if name == "response.output_item.added":
        assert place == len(items), "items are not numbered 0, 1, …"
        items[place] = _Item(event["item"])
        return
    item = items[place]
    assert item.done is None, f"{name} after the item was done"
    if name == "response.output_item.done":
        _check_done(item, event["item"])
        return
    assert event["item_id"] == item.added["id"]
    channel, _, what = name.rpartition(".")
    if channel.endswith("_part"):
        _check_part(event, item, channel, what)
    elif what == "added":
        assert channel == "response.output_text.annotation"
        assert event["annotation_index"] == len(item.annotations.setdefault(event["content_index"], []))
        item.annotations[event["content_index"]].append(event["annotation"])
    else:
        _check_growth(event, item, channel, what)


def _check_part(event: dict[str, Any], item: _Item, channel: str, what: str) -> None:
    index = event["summary_index" if "summary" in channel else "content_index"]
    key = (channel, index)
    part = event["part"]
    said = part.get("text", part.get("refusal"))
    if what == "added":
        assert said == ""
        assert index == sum(1 for other, _ in item.parts if other == channel), "parts are not numbered 0, 1, …"
        item.parts[key] = part["type"]
        return
    assert what == "done"
    assert key not in item.ended
    item.ended.add(key)
    assert part["type"] == item.parts[key]
    texts = [text for (_, place), text in item.grown.items() if place == index and _same_part(channel, _)]
    assert said == "".join(texts)


def _same_part(channel: str, grown: str) -> bool:
    return ("summary" in channel) == ("summary" in grown)


def _check_growth(event: dict[str, Any], item: _Item, channel: str, what: str) -> None:
    assert channel in _OF_KIND[item.kind], f"{channel} in a {item.kind}"
    whole, index_name = _CHANNELS[channel]
    key = (channel, None if index_name is None else event[index_name])
    if index_name is not None:
        part = "response.reasoning_summary_part" if "summary" in channel else "response.content_part"
        assert (part, event[index_name]) in item.parts, "a text grows before its part was added"
    assert key not in item.closed
    if what == "delta":
        item.grown[key] = item.grown.get(key, "") + event["delta"]
    else:
        assert what == "done"
        item.closed.add(key)
        assert event[whole] == item.grown.get(key, ""), "what is done is not what has grown"


def _check_done(item: _Item, done: dict[str, Any]) -> None:
    item.done = done
    assert (done["type"], done.get("id")) == (item.kind, item.added.get("id")), "the item has changed its identity"
    assert item.ended == item.parts.keys(), "a part was not done"
    assert item.closed >= item.grown.keys()
    assert done.get("status") in (None, *_STATUSES) or item.kind not in _OF_KIND
    match item.kind:
        case "message":
            _check_message(item, done)
        case "reasoning":
            assert [part["text"] for part in done["summary"]] == _grown(item, "response.reasoning_summary_text")
        case "function_call" | "custom_tool_call":
            assert done["call_id"] == item.added["call_id"]
            key = "arguments" if item.kind == "function_call" else "input"
            assert item.closed, "a call has no done event"
            assert done[key] == "".join(item.grown.values())
        case _:
            assert done == item.added


def _check_message(item: _Item, done: dict[str, Any]) -> None:
    assert (done["role"], item.added["content"]) == ("assistant", [])
    if not all(part["type"] in ("output_text", "refusal") for part in done["content"]):
        return  # what nobody knows comes whole
    assert len(done["content"]) == len(item.parts)
    for place, part in enumerate(done["content"]):
        channel = "response.refusal" if part["type"] == "refusal" else "response.output_text"
        assert part["refusal" if part["type"] == "refusal" else "text"] == item.grown.get((channel, place), "")
        if part["type"] == "output_text":
            assert part["annotations"] == item.annotations.get(place, [])


def _grown(item: _Item, channel: str) -> list[str]:
    places = sorted(place for part, place in item.parts if part == "response.reasoning_summary_part")
    return [item.grown.get((channel, place), "") for place in places]
