"""Members of open unions: a kind that the contract knows must have its fields, any other kind passes.

The fields of such a member are kept as raw JSON, because kinds that nobody here knows use the same names for other
types; what a field holds is told by its first byte.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tollhouse.ir.fault import FaultError, invalid_request


class Json(enum.StrEnum):
    """What a raw value is, in words for people."""

    ABSENT = "missing"
    NULL = "null"
    STRING = "a string"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    LIST = "a list"
    OBJECT = "an object"


_BY_FIRST_BYTE: Final = {
    ord('"'): Json.STRING,
    ord("{"): Json.OBJECT,
    ord("["): Json.LIST,
    ord("t"): Json.BOOLEAN,
    ord("f"): Json.BOOLEAN,
    ord("n"): Json.NULL,
}


class Rule(msgspec.Struct, frozen=True):
    """A field of a member and what it may hold. null stands for absent, as everywhere."""

    field: str
    kinds: tuple[Json, ...]
    required: bool = False


def needs(field: str, *kinds: Json) -> Rule:
    """The field has to be there."""
    return Rule(field, kinds, required=True)


def may(field: str, *kinds: Json) -> Rule:
    """The field may be left out."""
    return Rule(field, kinds)


Rules = Mapping[str, Sequence[Rule]]
"""What each known kind of a union has to hold, by its `type`."""


def kind_of(raw: msgspec.Raw) -> Json:
    """What the raw value is. Nothing is copied: it may be a file of many megabytes."""
    view = memoryview(raw)
    return _BY_FIRST_BYTE.get(view[0], Json.NUMBER) if view else Json.ABSENT


def sent(raw: msgspec.Raw) -> bool:
    """Whether the field was sent, and not as null."""
    return kind_of(raw) not in {Json.ABSENT, Json.NULL}


def check_member(member: msgspec.Struct, rules: Sequence[Rule], where: str) -> None:
    """Refuse a member that lacks a field or holds something else in one.

    The struct has a `msgspec.Raw` for every field of the rules; `where` is its path in the request, empty for the
    request itself. Raises FaultError (invalid_request).
    """
    for rule in rules:
        kind = kind_of(getattr(member, rule.field))
        if kind in rule.kinds:
            continue
        param = f"{where}.{rule.field}" if where else rule.field
        if kind not in {Json.ABSENT, Json.NULL}:
            raise invalid_request(f"`{param}` must be {' or '.join(rule.kinds)}, but it is {kind}.", param)
        if rule.required:
            raise missing(param)


def check_length(values: Sequence[object], longest: int, where: str) -> None:
    """Refuse a list of more than `longest` entries. Raises FaultError (invalid_request)."""
    if len(values) > longest:
        raise invalid_request(f"`{where}` is too long: it may have {longest} entries.", where)


def missing(param: str) -> FaultError:
    """A required field is not there, or null."""
    return invalid_request(f"`{param}` is required, but the request does not have it.", param)
