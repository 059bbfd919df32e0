"""Anthropic Messages as a provider speaks them, and the count of a prompt's tokens."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from tollhouse.simulator import tokens
from tollhouse.simulator.answer import Answer, Question, Tool, Usage
from tollhouse.simulator.format import Event, RequestError
from tollhouse.simulator.script import Script

Json = Any
JsonObject = dict[str, Any]

_ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_CHOICES: Final = {"any": "required", "none": "none", "auto": "auto"}


class AnthropicMessages:
    """The format `anthropic_messages`; see the API reference, "Create a Message" and "Streaming Messages"."""

    suffix = "/messages"

    def read(self, body: JsonObject, digest: str) -> Question:
        """What the request asks for. Raises RequestError where Anthropic would answer 400."""
        question = read_prompt(body, digest)
        limit = body.get("max_tokens")
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise RequestError("max_tokens: Field required, an integer of at least 1")
        choice = _object(body.get("tool_choice"))
        wanted = _object(_object(body.get("output_config")).get("format"))
        return Question(
            model=question.model,
            digest=digest,
            roles=question.roles,
            last_user_text=question.last_user_text,
            last_tool_result=question.last_tool_result,
            has_tool_results=question.has_tool_results,
            images=question.images,
            files=question.files,
            tools=question.tools,
            prompt_tokens=question.prompt_tokens,
            tool_choice=str(choice.get("name") or _CHOICES.get(str(choice.get("type")), "auto")),
            parallel=choice.get("disable_parallel_tool_use") is not True,
            max_tokens=limit,
            stop=tuple(str(text) for text in _list(body.get("stop_sequences"))),
            stream=body.get("stream") is True,
            json_mode=wanted.get("type") == "json_schema",
            schema=wanted.get("schema"),
        )

    def whole(self, answer: Answer, script: Script) -> str:
        """The answer as one `message`."""
        message = _head(answer)
        message["content"] = [block for block, _ in _blocks(answer, script)]
        message["stop_reason"] = None if script.no_finish else _stop_reason(answer)
        message["stop_sequence"] = answer.stopped_by
        if script.usage != "none":
            message["usage"] = _usage(answer.usage, script)
        return _text(message)

    def events(self, answer: Answer, question: Question, script: Script) -> Iterator[Event]:
        """The answer from `message_start` to `message_stop`; usage comes at the start and, in full, at the end."""
        del question
        silent, early = script.usage == "none", script.usage_at == "first"
        message = _head(answer)
        if not silent:
            first = Usage(prompt=answer.usage.prompt, cached=answer.usage.cached, completion=1)
            message["usage"] = _usage(answer.usage if early else first, script)
        if not script.no_role:
            yield _event({"type": "message_start", "message": message})
        if script.leading:
            yield _event({"type": "ping"})
        for index, (block, deltas) in enumerate(_blocks(answer, script)):
            yield _event({"type": "content_block_start", "index": index, "content_block": _emptied(block)})
            for delta in deltas:
                yield _event({"type": "content_block_delta", "index": index, "delta": delta})
            yield _event({"type": "content_block_stop", "index": index})
        reason = None if script.no_finish else _stop_reason(answer)
        last: JsonObject = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": answer.stopped_by},
        }
        if not silent:
            usage = _usage(answer.usage, script)
            last["usage"] = _only_output(usage) if early else usage
        for _ in range(2 if script.finish_twice else 1):
            yield _event(last)
        if not script.no_done:
            yield _event({"type": "message_stop"})

    def error(self, status: int, message: str) -> str:
        """Anthropic's error object."""
        kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        return _text({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulator"})


class AnthropicTokenCount(AnthropicMessages):
    """`POST …/messages/count_tokens`: how many tokens the prompt has, without an answer."""

    suffix = "/messages/count_tokens"

    def read(self, body: JsonObject, digest: str) -> Question:
        """As for a message, but for the output limit, and never streamed."""
        return read_prompt(body, digest)

    def whole(self, answer: Answer, script: Script) -> str:
        """The count."""
        del script
        return _text({"input_tokens": answer.usage.prompt})


def read_prompt(body: JsonObject, digest: str) -> Question:
    """Model, turns and tools of a request. Raises RequestError."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RequestError("model: Field required")
    turns = _list(body.get("messages"))
    if not turns:
        raise RequestError("messages: at least one message is required")
    said = [_Said(_object(turn)) for turn in turns]
    tools = _list(body.get("tools"))
    system = _Said({"role": "system", "content": body.get("system")})
    prompt = sum(item.tokens for item in said) + sum(tokens.count(_text(tool)) for tool in tools)
    return Question(
        model=model,
        digest=digest,
        roles=tuple(item.role for item in ([system] if system.text else []) + said),
        last_user_text=next((item.text for item in reversed(said) if item.role == "user"), ""),
        last_tool_result=said[-1].result,
        has_tool_results=any(item.result is not None for item in said),
        images=sum(item.images for item in said),
        files=sum(item.files for item in said),
        tools=tuple(
            Tool(name=str(tool["name"]), schema=tool["input_schema"])
            for tool in map(_object, tools)
            if "name" in tool and "input_schema" in tool
        ),
        prompt_tokens=prompt + (system.tokens if system.text else 0),
    )


class _Said:
    """One turn of the request: its role, its text, and what else is in it."""

    def __init__(self, turn: JsonObject) -> None:
        self.role = str(turn.get("role", ""))
        blocks = _content(turn.get("content"))
        kinds = [block.get("type") for block in blocks]
        results = [block for block in blocks if block.get("type") == "tool_result"]
        self.text = _joined_text(blocks)
        self.result = _joined_text(_content(results[-1].get("content"))) if results else None
        self.images = kinds.count("image")
        self.files = kinds.count("document")
        others = sum(
            tokens.count(_text(block))
            for block in blocks
            if block.get("type") in ("tool_use", "tool_result", "thinking")
        )
        self.tokens = tokens.MESSAGE_OVERHEAD + tokens.count(self.text) + self.images * tokens.IMAGE_TOKENS + others


def _content(value: Json) -> list[JsonObject]:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    return [_object(block) for block in _list(value)]


def _joined_text(blocks: list[JsonObject]) -> str:
    return " ".join(str(block["text"]) for block in blocks if block.get("type") == "text" and "text" in block)


def _head(answer: Answer) -> JsonObject:
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _blocks(answer: Answer, script: Script) -> Iterator[tuple[JsonObject, Iterator[JsonObject]]]:
    """Each block whole, and the deltas that tell it."""
    if answer.reasoning and script.hidden:
        yield {"type": "redacted_thinking", "data": answer.seal}, iter(())
    elif answer.reasoning:
        block = {"type": "thinking", "thinking": "".join(answer.reasoning), "signature": answer.seal}
        yield block, _thinking(answer)
    text = answer.refusal or "".join(answer.text)
    if text or answer.endless or not answer.calls:
        pieces = tokens.pieces(answer.refusal) if answer.refusal else answer.text_pieces(script.chunk_tokens)
        yield {"type": "text", "text": text}, ({"type": "text_delta", "text": piece} for piece in pieces)
    for call in answer.calls:
        block = {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": _input(call.arguments)}
        yield block, _fragments(call.arguments)


def _thinking(answer: Answer) -> Iterator[JsonObject]:
    for piece in answer.reasoning:
        yield {"type": "thinking_delta", "thinking": piece}
    yield {"type": "signature_delta", "signature": answer.seal}


def _fragments(arguments: str) -> Iterator[JsonObject]:
    yield {"type": "input_json_delta", "partial_json": ""}
    for piece in tokens.pieces(arguments):
        yield {"type": "input_json_delta", "partial_json": piece}


def _emptied(block: JsonObject) -> JsonObject:
    """The block as a stream opens it."""
    empty: JsonObject = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {key: empty.get(key, value) for key, value in block.items()}


def _input(arguments: str) -> Json:
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def _stop_reason(answer: Answer) -> str:
    if answer.refusal and answer.finish == "stop":
        return "refusal"
    if answer.stopped_by is not None and answer.finish == "stop":
        return "stop_sequence"
    return _STOP_REASONS.get(answer.finish, answer.finish)


def _usage(usage: Usage, script: Script) -> Json:
    report: JsonObject = {
        "input_tokens": usage.prompt - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
        "service_tier": "standard",
    }
    if usage.reasoning:
        report["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    change = _ODD_USAGE.get(script.usage)
    return report if change is None else change(report)


def _only_output(report: Json) -> Json:
    return {"output_tokens": _object(report).get("output_tokens")}


def _counts(change: Callable[[int], Json]) -> Callable[[JsonObject], Json]:
    return lambda report: {**report, **{name: change(report[name]) for name in ("input_tokens", "output_tokens")}}


# The odd reports of `usage=…`, each from the honest one; a total is nothing that this format has.
_ODD_USAGE: Final[dict[str, Callable[[JsonObject], Json]]] = {
    "null": lambda _: None,
    "negative": _counts(lambda count: -count - 1),
    "huge": _counts(lambda _: 2**63),
    "string": _counts(str),
    "float": _counts(lambda count: count + 0.5),
    "nan": _counts(lambda _: math.nan),
    "zero": _counts(lambda _: 0),
    "partial": lambda report: {"input_tokens": report["input_tokens"]},
}


def _event(event: JsonObject) -> Event:
    return Event(_text(event), event["type"])


def _text(body: Json) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _list(value: Json) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []


def _object(value: Json) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, dict) else {}
