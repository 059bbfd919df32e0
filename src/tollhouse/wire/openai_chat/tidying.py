"""Tidying: deltas, messages and finish reasons as the contract's closed lists have them, from any vendor's."""

from collections.abc import Mapping
from typing import cast

import msgspec

from tollhouse.wire.openai_chat.finish import decode_finish, encode_finish

RawObject = dict[str, msgspec.Raw]

_EMPTY = frozenset({b"null", b'""', b"[]", b"{}"})
_NULL = msgspec.Raw(b"null")

objects_decoder = msgspec.json.Decoder(list[RawObject])
object_decoder = msgspec.json.Decoder(RawObject)


def tidy_reason(raw: str | None, *, calls_tools: bool) -> str:
    """One of stop, length, tool_calls and content_filter; it follows from what was emitted, and then from `raw`.
    Raises FaultError when `raw` says that the provider failed."""
    return encode_finish(decode_finish(raw, has_tool_calls=calls_tools), has_tool_calls=calls_tools)


def tidy_delta(delta: RawObject) -> RawObject:
    """A delta without its role and without empty members; reasoning under the contract's name."""
    kept = {name: value for name, value in delta.items() if name != "role" and bytes(value) not in _EMPTY}
    return _plain_texts(kept)


def tidy_message(message: RawObject) -> RawObject:
    """A message with role and content always there; reasoning under the contract's name."""
    tidy: RawObject = {"role": msgspec.Raw(b'"assistant"'), "content": _NULL}
    tidy.update(message)
    for name in ("reasoning", "reasoning_content", "tool_calls"):
        if name in tidy and bytes(tidy[name]) == b"null":
            del tidy[name]
    return _plain_texts(tidy)


def raw_objects(raw: msgspec.Raw | None) -> list[RawObject]:
    """The objects of a list, each cut into its members; empty for anything else."""
    if raw is None:
        return []
    try:
        return objects_decoder.decode(raw)
    except msgspec.DecodeError:
        return []


def raw_object(raw: msgspec.Raw | None) -> RawObject:
    """An object cut into its members; empty for anything else."""
    if raw is None or not bytes(raw).startswith(b"{"):
        return {}
    return object_decoder.decode(raw)


def encoded(value: object) -> msgspec.Raw:
    """A value of ours among the provider's."""
    return msgspec.Raw(msgspec.json.encode(value))


def _plain_texts(part: RawObject) -> RawObject:
    """Text and reasoning as two strings: DeepSeek and others say `reasoning_content`; Mistral sends text and thinking
    as a list of parts (both recorded 2025)."""
    if "reasoning_content" in part:
        other = part.pop("reasoning_content")
        part.setdefault("reasoning", other)
    content = part.get("content")
    if content is None or not bytes(content).startswith(b"["):
        return part
    text, thinking = _flattened(msgspec.json.decode(content))
    if thinking:
        part["reasoning"] = encoded(thinking)
    if text or not thinking:
        part["content"] = encoded(text)
    else:
        del part["content"]
    return part


def _flattened(parts: object) -> tuple[str, str]:
    """The text and the thinking of a list of parts."""
    texts: list[str] = []
    thinking: list[str] = []
    for part in cast("list[object]", parts) if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        fields = cast("Mapping[str, object]", part)
        if isinstance(text := fields.get("text"), str):
            texts.append(text)
        thought = fields.get("thinking")
        if isinstance(thought, str):
            thinking.append(thought)
        elif isinstance(thought, list):
            thinking.append(_flattened(cast("object", thought))[0])
    return "".join(texts), "".join(thinking)
