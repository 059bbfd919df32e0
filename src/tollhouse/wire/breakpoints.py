"""Breakpoints: the field `cache_control` of parts and tools, as OpenRouter added it to formats without breakpoints."""

from tollhouse.ir.parts import CacheControl
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses


def decode_cache_control(fields: Fields, format_name: str) -> CacheControl | None:
    """A cache breakpoint, taken out of a part or tool (OpenRouter, docs "Prompt caching", November 2026)."""
    control = fields.child("cache_control")
    if control is None:
        return None
    return CacheControl(type=control.text("type") or "ephemeral", ttl=control.text("ttl"), said_in=format_name)


def encode_cache_control(control: CacheControl | None, path: str, losses: Losses) -> dict[str, object]:
    """The field that a part or tool with a breakpoint of this format has; nothing for one without."""
    if control is None:
        return {}
    if control.said_in != losses.format_name:
        why = f"most providers of {losses.format_name} cache by themselves and refuse breakpoints"
        losses.note(f"{path}.cache_control", why)
        return {}
    value: dict[str, object] = {"type": control.type}
    if control.ttl is not None:
        value["ttl"] = control.ttl
    return {"cache_control": value}
