"""Follow-up: whether what came back to the upstream after a tool call carries the id of that very call."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

_PATHS = {"/chat/completions": "chat", "/responses": "responses", "/messages": "messages"}


def upstream_of(request: dict[str, Any]) -> str | None:
    """The format of a recorded request; None for a count of tokens and the like."""
    return next((name for suffix, name in _PATHS.items() if request["path"].endswith(suffix)), None)


def follow_up_failures(requests: Sequence[dict[str, Any]]) -> dict[tuple[str, str], str | None]:
    """For each (upstream, model) whose script calls a tool once: None when a request came after the first that offers
    tools, with the call and its result under the id that the upstream gave; else what is wrong."""
    played: dict[tuple[str, str], list[str]] = defaultdict(list)
    for request in requests:
        upstream = upstream_of(request)
        body = json.loads(request["body"]) if upstream else {}
        if upstream and "/once/" in str(body.get("model")) and body.get("tools"):
            played[upstream, body["model"]].append(request["body"])
    return {key: _failure(key[0], bodies) for key, bodies in played.items()}


def _failure(upstream: str, bodies: Sequence[str]) -> str | None:
    calls: set[str] = set()
    results: set[str] = set()
    given: set[str] = set()
    for body in bodies:
        # The simulator's ids of calls follow from the request that they answer.
        digest = hashlib.sha256(body.encode()).hexdigest()
        call_id = "call_" + hashlib.sha256(f"{digest}/0".encode()).hexdigest()[:24]
        given.add(f"toolu_{call_id}" if upstream == "messages" else call_id)
        for kind, found in _ids(json.loads(body)):
            (calls if kind == "call" else results).add(found)
    if not results:
        return "no result of a tool came back"
    if not results <= given:
        return f"results came back for {sorted(results - given)}, which the upstream never called"
    return None if results <= calls else "a result came back without its call"


def _ids(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The ids of calls and results that a request of any format holds."""
    for item in body.get("input") or ():
        if item.get("type") in ("function_call", "custom_tool_call"):
            yield "call", item["call_id"]
        elif item.get("type") in ("function_call_output", "custom_tool_call_output"):
            yield "result", item["call_id"]
    for message in body.get("messages") or ():
        for call in message.get("tool_calls") or ():
            yield "call", call["id"]
        if message.get("role") == "tool":
            yield "result", message["tool_call_id"]
        for block in message["content"] if isinstance(message.get("content"), list) else ():
            if block.get("type") == "tool_use":
                yield "call", block["id"]
            elif block.get("type") == "tool_result":
                yield "result", block["tool_use_id"]
