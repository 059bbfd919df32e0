"""OpenAPI: a dialect's document, made of the very types that check its requests, and of what its errors say."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec

from tollhouse.dialects.dialect import Operation, Route
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.ir.plain import is_array, is_object
from tollhouse.relay.call import Wording

Json = dict[str, object]

_COMPONENTS: Final = "#/components/schemas/"
# Any request may come with too large a head, come too slowly, or meet books that cannot be read.
_ANYWHERE: Final = (
    FaultKind.HEADERS_TOO_LARGE,
    FaultKind.REQUEST_TIMEOUT,
    FaultKind.INVALID_KEY,
    FaultKind.WORKSPACE_LOCKED,
    FaultKind.BOOKS_UNAVAILABLE,
    FaultKind.INTERNAL,
)
_OF_CALLS: Final = tuple(kind for kind in FaultKind if kind not in {FaultKind.NOT_FOUND, FaultKind.METHOD_NOT_ALLOWED})


class Documented(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a document.

    `request` is the type that checks its body, None without one; `must` are fields that the checks beside the type
    require, by the name of their type; `defaults` are what a provider is sent where the caller sent nothing. `answer`
    is the type of a good one, `media` are the media types of good ones beside JSON, and `headers` their headers with
    what they mean.
    """

    route: Route
    operation_id: str
    summary: str
    answer: type
    request: type | None = None
    must: Mapping[str, Sequence[str]] = msgspec.field(default_factory=dict[str, Sequence[str]])
    defaults: Mapping[str, msgspec.Raw] = msgspec.field(default_factory=dict[str, msgspec.Raw])
    media: Mapping[str, Json] = msgspec.field(default_factory=dict[str, Json])
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says of the API as a whole: its title and version, its servers (paths are below them), its key
    headers as security schemes, the words and the types of its errors, and its operations."""

    title: str
    version: str
    description: str
    servers: Sequence[str]
    root: str
    security: Mapping[str, Json]
    wording: Wording
    errors: Sequence[type]
    operations: Sequence[Documented]


def render(published: Published) -> bytes:
    """The document as JSON."""
    types: dict[str, type] = {}
    for operation in published.operations:
        for each in (operation.request, operation.answer):
            if each is not None:
                types[each.__name__] = each
    types |= {error.__name__: error for error in published.errors}
    _, components = msgspec.json.schema_components(list(types.values()), ref_template=_COMPONENTS + "{name}")
    schemas = cast("dict[str, Json]", components)
    asked = _reachable(schemas, [each.request.__name__ for each in published.operations if each.request])
    made = {name: _published(schema, asked=name in asked) for name, schema in schemas.items()}
    for operation in published.operations:
        for name, fields in operation.must.items():
            made[name]["required"] = sorted({*cast("list[str]", made[name].get("required", [])), *fields})
        if operation.request is not None:
            _put_defaults(made[operation.request.__name__], operation.defaults)
    paths: dict[str, Json] = {}
    for operation in published.operations:
        path = operation.route.path.removeprefix(published.root)
        paths.setdefault(path, {})[operation.route.method.lower()] = _operation(operation, published)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": published.title,
                "version": published.version,
                "description": published.description,
            },
            "servers": [{"url": url} for url in published.servers],
            "security": [{name: []} for name in published.security],
            "paths": paths,
            "components": {"securitySchemes": published.security, "schemas": made},
        }
    )


def _operation(operation: Documented, published: Published) -> Json:
    content: Json = {"application/json": {"schema": _ref(operation.answer)}}
    content |= {media: {"schema": schema} for media, schema in operation.media.items()}
    good: Json = {"description": "A good answer.", "content": content}
    if operation.headers:
        good["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in operation.headers.items()
        }
    found: Json = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "responses": {"200": good, **_refusals(operation.route, published)},
    }
    if operation.request is not None:
        body = {"schema": _ref(operation.request)}
        found["requestBody"] = {"required": True, "content": {"application/json": body}}
    return found


def _refusals(route: Route, published: Published) -> Json:
    """The statuses under which the route can fail, each with the reasons for it."""
    errors = [_ref(error) for error in published.errors]
    schema: Json = errors[0] if len(errors) == 1 else {"oneOf": errors}
    reasons: dict[int, list[str]] = {}
    for kind in _kinds(route):
        worded = published.wording.word(Fault(kind=kind, message=""), "", route.endpoint)
        reasons.setdefault(worded.status, []).append(kind.value)
    return {
        str(status): {
            "description": f"Refused or failed: {', '.join(kinds)}.",
            "content": {"application/json": {"schema": schema}},
        }
        for status, kinds in sorted(reasons.items())
    }


def _kinds(route: Route) -> Iterable[FaultKind]:
    if route.voice is not None:
        auto = route.voice.auto_model is not None
        return [kind for kind in _OF_CALLS if auto or kind is not FaultKind.SMART_ROUTING]
    return (*_ANYWHERE, FaultKind.NOT_FOUND) if route.operation is Operation.ACCOUNT else _ANYWHERE


def _ref(kind: type) -> Json:
    return {"$ref": _COMPONENTS + kind.__name__}


def _published(schema: Json, *, asked: bool) -> Json:
    """A component as callers should read it: what may be left out need not be null, although null is taken; what an
    answer always says is required there."""
    found = _plain(schema)
    properties = cast("dict[str, Json]", found.get("properties", {}))
    required = set(cast("list[str]", found.get("required", [])))
    for name, each in properties.items():
        if "default" not in each:
            continue
        default = each["default"]
        properties[name] = _without_null(each)
        if default is not None and asked:
            properties[name]["default"] = default
        elif default is not None and default != []:
            # An empty list is left out.
            required.add(name)
    if required:
        found["required"] = sorted(required)
    return found


def _plain(value: Json) -> Json:
    """The schema in JSON Schema's own words: patterns as ECMA has them, and the type of what is enumerated."""
    found: Json = {name: _plain_member(member) for name, member in value.items()}
    if isinstance(found.get("pattern"), str):
        found["pattern"] = str(found["pattern"]).replace(r"\A", "^").replace(r"\Z", "$")
    members = found.get("enum")
    if is_array(members) and all(isinstance(member, str) for member in members):
        found.setdefault("type", "string")
    return found


def _plain_member(value: object) -> object:
    if is_object(value):
        return _plain(dict(value))
    return [_plain_member(item) for item in value] if is_array(value) else value


def _without_null(schema: Json) -> Json:
    """The schema of a value that is there."""
    rest: Json = {name: value for name, value in schema.items() if name not in {"default", "anyOf"}}
    branches = [branch for branch in _branches(schema) if branch != {"type": "null"}]
    if len(branches) == 1:
        return {**rest, **branches[0]}
    return {**rest, "anyOf": branches} if branches else rest


def _branches(schema: Json) -> list[Json]:
    return cast("list[Json]", schema.get("anyOf", []))


def _put_defaults(schema: Json, defaults: Mapping[str, msgspec.Raw]) -> None:
    properties = cast("dict[str, Json]", schema["properties"])
    for name, value in defaults.items():
        properties[name]["default"] = msgspec.json.decode(value)


def _reachable(schemas: Mapping[str, Json], names: Iterable[str]) -> Collection[str]:
    """The components that these lead to, themselves included."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_referred(schemas[name]))
    return found


def _referred(value: object) -> list[str]:
    if is_object(value):
        own = [str(value["$ref"]).removeprefix(_COMPONENTS)] if "$ref" in value else []
        return own + [name for member in value.values() for name in _referred(member)]
    return [name for item in value for name in _referred(item)] if is_array(value) else []
