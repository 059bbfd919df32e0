"""Offered tools: those that a provider runs itself, in a request of any format; whether it can do without them."""

from collections.abc import Callable, Collection, Mapping

import msgspec

from tollhouse.ir.plain import is_object

_NOT_DEMANDED = (None, "auto", "none")


class _Tool(msgspec.Struct):
    type: str | None = None


_types_decoder = msgspec.json.Decoder(list[_Tool])
_members_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def are_spare(fields: Mapping[str, msgspec.Raw], offered: int, of_the_provider: int) -> bool:
    """Whether a request that offers so many tools can do without those `of_the_provider`: programs offer one in every
    call beside their own. Where nothing else is offered, or a tool is demanded, it is what the caller wants."""
    if not 0 < of_the_provider < offered:
        return False
    raw = fields.get("tool_choice")
    choice: object = None if raw is None else msgspec.json.decode(raw)
    return (choice.get("type") if is_object(choice) else choice) in _NOT_DEMANDED


def tools_without(
    tools: msgspec.Raw, names: Collection[str], name_of: Callable[[str | None], str]
) -> tuple[msgspec.Raw, tuple[str, ...]]:
    """The list without the tools of these names, and their places in it; `name_of` is a tool's name by its type."""
    kept: list[bytes] = []
    left: list[str] = []
    types = _types_decoder.decode(tools)
    for number, (member, tool) in enumerate(zip(_members_decoder.decode(tools), types, strict=True)):
        if name_of(tool.type) in names:
            left.append(f"tools[{number}]")
        else:
            kept.append(bytes(member))
    return msgspec.Raw(b"[" + b",".join(kept) + b"]"), tuple(left)
