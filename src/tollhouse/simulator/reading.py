"""Reading: JSON values of any shape, taken for what they should be."""

import json
from typing import Any, cast

from tollhouse.simulator import tokens

Json = Any
JsonObject = dict[str, Any]


def as_text(body: Json) -> str:
    """Compact JSON text."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def list_of(value: Json) -> list[Json]:
    """The objects and texts of a list; nothing for anything else."""
    if not isinstance(value, list):
        return []
    return [item for item in cast("list[Json]", value) if isinstance(item, (dict, str))]


def object_of(value: Json) -> JsonObject:
    """An object; an empty one for anything else."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def size_of(value: Json) -> int:
    """How many tokens the JSON text of a value has."""
    return tokens.count(as_text(value))
