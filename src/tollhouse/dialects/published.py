"""Published schemas: a dialect's OpenAPI document, and the check of a request body against it by the letter."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Final, cast

import yaml

from tollhouse.dialects.reading import Reader
from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.ir.plain import is_array, is_object

Schema = Mapping[str, object]

_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "object": is_object,
    "array": is_array,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}
_WORDS: Final = {"object": "an object", "array": "a list", "string": "a string", "boolean": "true or false"} | {
    "null": "null",
    "integer": "an integer",
    "number": "a number",
}
_READER: Final[Reader[dict[str, object]]] = Reader(dict[str, object], {})
# What a schema may say here; a document with anything else would be checked in part only.
_TOLD: Final = frozenset({"description", "default", "example", "examples"})
_CHECKED: Final = frozenset(
    {
        *("$ref", "anyOf", "oneOf", "type", "const", "enum", "required", "properties", "additionalProperties"),
        *("items", "minItems", "minimum", "maximum", "exclusiveMinimum"),
    }
)


class _MisfitError(Exception):
    """A value does not fit: where it stands, and the rule in words for people."""

    def __init__(self, where: str, rule: str) -> None:
        super().__init__(rule)
        self.where = where
        self.rule = rule


class RequestSchema:
    """The schema of one request, as the document has it."""

    def __init__(self, document: Schema, schema: Schema) -> None:
        self._document = document
        self._schema = schema

    def check(self, body: bytes) -> None:
        """Raises FaultError (invalid_request) naming the first field that the document does not allow."""
        try:
            self._check(self._schema, _READER.read(body), "")
        except _MisfitError as misfit:
            raise _refusal(misfit) from None

    def _check(self, schema: Schema, value: object, where: str) -> None:
        schema = self._resolved(schema)
        branches = schema.get("anyOf", schema.get("oneOf"))
        if is_array(branches):
            self._check_branches([_schema(branch) for branch in branches], value, where)
            return
        _check_value(schema, value, where)
        if is_object(value):
            self._check_object(schema, value, where)
        elif is_array(value):
            _check_length(schema, value, where)
            items = _schema(schema.get("items"))
            for number, item in enumerate(value):
                self._check(items, item, f"{where}[{number}]")

    def _check_branches(self, branches: Sequence[Schema], value: object, where: str) -> None:
        """One of them must fit. Of those that do not, the one that comes nearest tells what is wrong."""
        nearest: _MisfitError | None = None
        for branch in _likely(branches, value):
            try:
                self._check(branch, value, where)
            except _MisfitError as misfit:
                if nearest is None or len(misfit.where) > len(nearest.where):
                    # A member of a union is told from the others by its type: that one did not fit.
                    nearest = nearest if misfit.where == f"{where}.type" else misfit
            else:
                return
        raise nearest or _MisfitError(f"{where}.type", "is not one of the documented types")

    def _check_object(self, schema: Schema, value: Mapping[str, object], where: str) -> None:
        known = _schema(schema.get("properties"))
        # The type comes first: it tells members of a union apart.
        for name in sorted(value, key=lambda name: name != "type"):
            path = f"{where}.{name}" if where else name
            if name in known:
                self._check(_schema(known[name]), value[name], path)
            elif schema.get("additionalProperties") is False:
                raise _MisfitError(path, "is not a documented field")
        for name in _names(schema):
            if name not in value:
                raise _MisfitError(f"{where}.{name}" if where else str(name), "is required")

    def _resolved(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        found: object = self._document
        for name in reference.removeprefix("#/").split("/"):
            found = _schema(found)[name]
        return _schema(found)


def request_schemas(package: str, file: str) -> Mapping[str, RequestSchema]:
    """The schemas of the JSON requests in a package's OpenAPI document, by path. Raises ValueError for a keyword that
    is not checked here."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    document = _schema(cast("object", json.loads(text) if file.endswith(".json") else yaml.safe_load(text)))
    found: dict[str, RequestSchema] = {}
    for path, operations in _schema(document["paths"]).items():
        body = _schema(_schema(_schema(operations).get("post")).get("requestBody"))
        content = _schema(_schema(body.get("content")).get("application/json"))
        if "schema" in content:
            schema = _schema(content["schema"])
            _check_keywords(schema)
            found[path] = RequestSchema(document, schema)
    _check_keywords({"properties": _schema(_schema(document.get("components")).get("schemas"))})
    return found


def _check_keywords(schema: Schema) -> None:
    unknown = set(schema) - _CHECKED - _TOLD
    if unknown:
        raise ValueError(f"a schema has keywords that are not checked: {', '.join(sorted(unknown))}")
    branches = schema.get("anyOf", schema.get("oneOf"))
    inner = [schema.get("items"), schema.get("additionalProperties"), *_schema(schema.get("properties")).values()]
    for each in [*inner, *(branches if is_array(branches) else ())]:
        if is_object(each):
            _check_keywords(each)


def _likely(branches: Sequence[Schema], value: object) -> Sequence[Schema]:
    """The members of a union of which the value has all required fields; all of them where there is none."""
    if not is_object(value):
        return branches
    return [branch for branch in branches if set(_names(branch)) <= set(value)] or branches


def _names(schema: Schema) -> list[object]:
    required = schema.get("required")
    return required if is_array(required) else []


def _schema(value: object) -> Schema:
    return value if is_object(value) else {}


def _check_value(schema: Schema, value: object, where: str) -> None:
    kinds = schema.get("type")
    named = [str(kind) for kind in kinds] if is_array(kinds) else [str(kinds)] if kinds is not None else []
    if named and not any(_TYPES[kind](value) for kind in named):
        raise _MisfitError(where, f"must be {' or '.join(_WORDS[kind] for kind in named)}")
    allowed = schema.get("enum")
    if is_array(allowed) and value not in allowed:
        raise _MisfitError(where, f"must be one of {', '.join(map(str, allowed))}")
    if "const" in schema and value != schema["const"]:
        raise _MisfitError(where, f"must be {schema['const']}")
    if isinstance(value, (int, float)):
        _check_bounds(schema, value, where)


def _check_bounds(schema: Schema, value: float, where: str) -> None:
    bounds = ((_number(schema.get(name)), name) for name in ("minimum", "maximum", "exclusiveMinimum"))
    for bound, name in bounds:
        if bound is None:
            continue
        if name == "minimum" and value < bound:
            raise _MisfitError(where, f"must be at least {bound:.10g}")
        if name == "maximum" and value > bound:
            raise _MisfitError(where, f"must be at most {bound:.10g}")
        if name == "exclusiveMinimum" and value <= bound:
            raise _MisfitError(where, f"must be more than {bound:.10g}")


def _check_length(schema: Schema, value: Sequence[object], where: str) -> None:
    shortest = _number(schema.get("minItems"))
    if shortest is not None and len(value) < shortest:
        rule = "must not be empty" if shortest == 1 else f"must have at least {shortest:.0f} entries"
        raise _MisfitError(where, rule)


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) else None


def _refusal(misfit: _MisfitError) -> FaultError:
    where = misfit.where.lstrip(".")
    what = f"`{where[:200]}`" if where else "The request body"
    return invalid_request(f"{what} {misfit.rule}: this gateway takes documented requests only.", where or None)
