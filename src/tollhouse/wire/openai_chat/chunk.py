"""Chunks and answers of Chat Completions as plain values: what a pipe has to see of them."""

from collections.abc import Iterable
from typing import cast

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.usage import Usage
from tollhouse.wire.openai_chat.usage import decode_usage
from tollhouse.wire.openai_fault import decode_stream_fault

Plain = dict[str, object]

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")

_object_decoder = msgspec.json.Decoder(dict[str, object])


def broken(message: str) -> FaultError:
    """The provider's answer is no sound answer of this format."""
    return FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message))


def read_chunk(data: bytes) -> Plain:
    """One chunk of a stream. Raises FaultError when it is no JSON object, or when it reports an error."""
    chunk = _read_object(data, "an event")
    if error := chunk.get("error"):
        raise FaultError(decode_stream_fault(error))
    return chunk


def read_answer(body: bytes) -> Plain:
    """A whole answer. Raises FaultError when it is no chat completion."""
    answer = _read_object(body, "an answer")
    if isinstance(answer.get("choices"), list):
        return answer
    if error := answer.get("error"):
        raise FaultError(decode_stream_fault(error))
    raise broken("The provider sent an answer that is no chat completion: it has no choices.")


def _read_object(data: bytes, what: str) -> Plain:
    try:
        return _object_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise broken(f"The provider sent {what} that is no JSON object.") from None


def choices_of(chunk: Plain) -> list[Plain]:
    """The choices of a chunk or an answer; what is no object is left out."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return []
    return [cast("Plain", choice) for choice in cast("list[object]", choices) if isinstance(choice, dict)]


def part_of(choice: Plain, name: str) -> Plain:
    """`delta` or `message` of a choice; empty when it is none."""
    part = choice.get(name)
    return cast("Plain", part) if isinstance(part, dict) else {}


def generated_bytes(part: Plain) -> int:
    """How many UTF-8 bytes of text, reasoning and tool arguments a delta or message holds."""
    size = 0
    for name in _TEXTS:
        value = part.get(name)
        if isinstance(value, str):
            size += len(value.encode())
        elif isinstance(value, list) and value:
            size += len(msgspec.json.encode(value))
    if "tool_calls" not in part and "function_call" not in part:
        return size
    for call in _calls(part):
        for name in ("name", "arguments", "input"):
            if isinstance(value := call.get(name), str):
                size += len(value.encode())
    return size


def is_content(part: Plain) -> bool:
    """Whether a delta or message holds something that was generated."""
    return any(part.get(name) for name in (*_TEXTS, "tool_calls", "function_call", "audio", "images"))


def calls_tools(part: Plain) -> bool:
    """Whether a delta or message asks for a tool, the older `function_call` included."""
    return bool(part.get("tool_calls") or part.get("function_call"))


def tier_of(chunk: Plain) -> str | None:
    """The service tier that a chunk or an answer says it was made in."""
    tier = chunk.get("service_tier")
    return tier if isinstance(tier, str) and tier else None


def find_usage(chunk: Plain) -> tuple[Plain | None, Usage | None]:
    """The usage that a chunk or answer reports, wherever it may stand, and what can be trusted of it."""
    usage = chunk.get("usage")
    # Groq reports it in a field of its own on streams (recorded 2025).
    groq = chunk.get("x_groq")
    if not usage and isinstance(groq, dict):
        usage = cast("Plain", groq).get("usage")
    if not usage or not isinstance(usage, dict):
        return None, None
    told = cast("Plain", usage)
    return told, decode_usage(told)


def _calls(part: Plain) -> Iterable[Plain]:
    """The functions, custom tools and the older function call that a delta or message asks for."""
    calls = part.get("tool_calls")
    for call in cast("list[object]", calls) if isinstance(calls, list) else ():
        if isinstance(call, dict):
            yield part_of(cast("Plain", call), "function")
            yield part_of(cast("Plain", call), "custom")
    yield part_of(part, "function_call")
