"""Names that every module of the Messages format shares: the format's own, cache breakpoints, ids of tool calls."""

import re

from tollhouse.ir.parts import CacheControl, ReasoningOrigin
from tollhouse.wire.fields import Fields

NAME = "anthropic_messages"
ORIGIN = ReasoningOrigin(format=NAME)

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def decode_cache_control(fields: Fields) -> CacheControl | None:
    """The cache breakpoint of a block or tool, taken out of it."""
    control = fields.child("cache_control")
    if control is None:
        return None
    return CacheControl(type=control.text("type") or "ephemeral", ttl=control.text("ttl"), said_in=NAME)


def encode_cache_control(control: CacheControl | None) -> dict[str, object]:
    """The field of a block or tool that says `control`; nothing for none."""
    if control is None:
        return {}
    value: dict[str, object] = {"type": control.type}
    if control.ttl is not None:
        value["ttl"] = control.ttl
    return {"cache_control": value}


def request_id_of(call_id: str) -> str:
    """The id of a tool call as a request may have it: letters, digits, `_` and `-` only (Messages API, 2026-11).

    Others make ids such as `functions.search:0`; the call and its result get the same one.
    """
    return _NOT_IN_IDS.sub("_", call_id) or "call"


def present(**values: object) -> dict[str, object]:
    """The values that are there."""
    return {key: value for key, value in values.items() if value is not None}
