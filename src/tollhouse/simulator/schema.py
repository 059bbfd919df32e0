"""The smallest JSON value that satisfies a JSON Schema, for structured answers and the arguments of tool calls."""

from typing import Any, Final, cast

_MAX_DEPTH: Final = 16

Json = Any


def minimal(schema: Json) -> Json:
    """An instance of `schema` with the required members only; anything that cannot be understood gives an empty object.

    References are followed within the schema; a schema that needs itself without end is cut off with null.
    """
    root: dict[str, Json] = cast("dict[str, Json]", schema) if isinstance(schema, dict) else {"type": "object"}
    return _instance(root, root, 0)


def _instance(schema: Json, root: dict[str, Json], depth: int) -> Json:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return {} if schema is True else None
    node = cast("dict[str, Json]", schema)
    for word in ("const", "default"):
        if word in node:
            return node[word]
    for word in ("enum", "examples"):
        if isinstance(node.get(word), list) and node[word]:
            return node[word][0]
    if isinstance(node.get("$ref"), str):
        return _instance(_resolve(node["$ref"], root), root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(node.get(word), list) and node[word]:
            return _instance(_joined(node, word), root, depth + 1)
    return _of_type(node, root, depth)


def _joined(node: dict[str, Json], word: str) -> Json:
    branches: list[Json] = node[word]
    if word != "allOf":
        return branches[0]
    joined: dict[str, Json] = {}
    for branch in branches:
        if isinstance(branch, dict):
            part = cast("dict[str, Json]", branch)
            properties = {**joined.get("properties", {}), **part.get("properties", {})}
            required = [*joined.get("required", []), *part.get("required", [])]
            joined = {**joined, **part, "properties": properties, "required": required}
    return joined


def _resolve(reference: str, root: dict[str, Json]) -> Json:
    node: Json = root
    for step in reference.removeprefix("#").split("/"):
        if step:
            key = step.replace("~1", "/").replace("~0", "~")
            node = cast("dict[str, Json]", node).get(key) if isinstance(node, dict) else None
    return node


def _of_type(node: dict[str, Json], root: dict[str, Json], depth: int) -> Json:
    kind = node.get("type")
    if isinstance(kind, list):
        kind = cast("list[Json]", kind)[0] if kind else None
    match kind:
        case "string":
            return "x" * int(node.get("minLength", 0)) or "text"
        case "integer" | "number":
            return _number(node, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            return [_instance(node.get("items", {}), root, depth + 1)] * int(node.get("minItems", 0))
        case _:
            return _object(node, root, depth)


def _number(node: dict[str, Json], *, whole: bool) -> Json:
    if "minimum" in node:
        value = node["minimum"]
    elif "exclusiveMinimum" in node:
        value = node["exclusiveMinimum"] + 1
    else:
        value = min(1, node.get("maximum", 1))
    return int(value) if whole else value


def _object(node: dict[str, Json], root: dict[str, Json], depth: int) -> Json:
    properties = node.get("properties")
    known = cast("dict[str, Json]", properties) if isinstance(properties, dict) else {}
    required: list[Json] = node["required"] if isinstance(node.get("required"), list) else []
    return {str(name): _instance(known.get(name, {}), root, depth + 1) for name in required}
