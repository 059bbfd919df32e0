"""Patching: what both pipes of Messages read out of an answer, and the members of it that a policy replaces."""

import msgspec

from tollhouse.ir.usage import Usage
from tollhouse.wire.anthropic_messages.usage import encode_usage
from tollhouse.wire.fields import render
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.json_number import usd_number

RawObject = dict[str, msgspec.Raw]

object_decoder = msgspec.json.Decoder(RawObject)

_TEXTS = ("text", "thinking", "partial_json")


def encoded(value: object) -> msgspec.Raw:
    """A value of ours among the provider's."""
    return msgspec.Raw(msgspec.json.encode(value))


def generated_bytes(block: dict[str, object]) -> int:
    """How many UTF-8 bytes of text, thinking and tool arguments a block or delta holds."""
    size = sum(len(value.encode()) for name in _TEXTS if isinstance(value := block.get(name), str))
    if value := block.get("input"):
        name = block.get("name")
        size += len(render(value)) + (len(name.encode()) if isinstance(name, str) else 0)
    return size


def used_tool(block: dict[str, object]) -> str | None:
    """The name of the provider's own tool that the block calls; None for any other block."""
    name = block.get("name")
    return name if block.get("type") == "server_tool_use" and isinstance(name, str) else None


def changed_usage(
    raw: msgspec.Raw | None, read: Usage | None, policy: AnswerPolicy, answered: Answered
) -> msgspec.Raw | None:
    """The `usage` that `policy` wants in place of the provider's `raw`, from which `read` could be trusted; None to
    leave it. Where the provider has told its usage, its own figures stay; what it asks of the gateway is not the
    caller's price, so that members about cost give way to ours."""
    if not policy.makes_usage:
        return None
    cost = answered.cost_nano_usd if policy.cost else None
    fields = object_decoder.decode(raw) if raw is not None and bytes(raw).startswith(b"{") else {}
    if policy.settled_usage or read is None:
        tier = {"service_tier": fields["service_tier"]} if "service_tier" in fields else {}
        return encoded({**encode_usage(answered.usage, cost), **tier})
    shown = {name: value for name, value in fields.items() if "cost" not in name}
    if cost is not None:
        shown["cost"] = usd_number(cost)
    return encoded(shown) if shown != fields else None
