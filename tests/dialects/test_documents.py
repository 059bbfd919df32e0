"""The OpenAPI documents that are served say what the published ones say, field by field and bound by bound."""

import json
from importlib.resources import files
from typing import Any

import pytest
import yaml

from support.dialect_samples import DIALECTS
from support.door import House, request, run

BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
)
SERVED = {"hpp_router": "/openapi/hpp.json", "voltagegpu": "/openapi/voltage.json"}

NAME = {"minLength", "maxLength", "pattern"}
# What our documents say beyond the published ones: caps that keep one request from costing unbounded work, fields that
# the contracts leave open and that are typed as OpenAI's API does, and what our answers always hold.
BEYOND = {
    "hpp_router": {
        "POST /llm/v1/chat/completions asks .model": NAME,
        "POST /llm/v1/chat/completions asks .messages": {"minItems", "maxItems"},
        "POST /llm/v1/chat/completions asks .messages[].content": {"maxItems"},
        "POST /llm/v1/chat/completions asks .messages[]": {"tool_calls"},
        "POST /llm/v1/chat/completions asks .max_tokens": {"maximum"},
        "POST /llm/v1/chat/completions asks .max_completion_tokens": {"maximum"},
        "POST /llm/v1/chat/completions asks ": {"n", "stop", "tools", "user", "metadata"},
        "POST /llm/v1/chat/completions answers .choices[]": {"index", "message", "finish_reason", "required"},
        "POST /v1/images/generations asks .model": NAME,
        "POST /v1/images/generations asks .prompt": {"minLength"},
        "POST /v1/images/generations asks ": {"response_format", "user"},
        "GET /llm/v1/models answers ": {"has_more", "first_id", "last_id", "required"},
        "GET /llm/v1/models answers .data[]": {
            *("created", "created_at", "display_name", "type", "name", "description", "context", "max_output"),
            "required",
        },
        "GET /llm/v1/models answers .data[].pricing": {"required"},
        "GET /api/usage answers ": {"required"},
    },
    "voltagegpu": {
        "POST /chat/completions asks .model": NAME,
        "POST /chat/completions asks .messages": {"minItems", "maxItems"},
        "POST /chat/completions asks .stop": {"maxItems"},
        "POST /chat/completions asks .max_tokens": {"maximum"},
        "POST /chat/completions asks ": {"max_completion_tokens", "tools", "user", "metadata"},
        "POST /chat/completions answers .choices[]": {"required"},
        "POST /chat/completions answers .choices[].message": set(),
        "POST /images/generations asks .prompt": {"minLength"},
        "POST /images/generations asks ": {"model", "negative_prompt", "seed", "user"},
        "POST /embeddings asks .model": NAME,
        "POST /embeddings asks .input": {"minItems", "maxItems"},
        "POST /embeddings asks ": {"encoding_format", "dimensions", "user"},
    },
}
# HTTP's own refusals, and books that cannot be read, may meet any request; a locked workspace any key.
STATUSES_BEYOND = {
    "hpp_router": {"404", "408", "413", "415", "429", "431", "503"},
    "voltagegpu": {"408", "413", "415", "431"},
}


def published(name: str) -> dict[str, Any]:
    text = (files("tollhouse.dialects") / name / "openapi.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def served(name: str) -> dict[str, Any]:
    (route,) = (route for dialect in DIALECTS for route in dialect.routes if route.path == SERVED[name])
    return json.loads(route.document)


class Comparison:
    """Walks two schemas side by side; `beyond` is what ours says more, by the place where it stands."""

    def __init__(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        self._theirs = theirs
        self._ours = ours
        self.beyond: dict[str, set[str]] = {}

    def compare(self, theirs: Any, ours: Any, where: str) -> None:
        theirs, ours = self._forms(self._theirs, theirs), self._forms(self._ours, ours)
        assert theirs.keys() == ours.keys(), f"{where}: {sorted(theirs)} against {sorted(ours)}"
        for kind, form in theirs.items():
            self._form(form, ours[kind], where)

    def _forms(self, document: dict[str, Any], schema: Any) -> dict[str, dict[str, Any]]:
        """The alternatives of a schema, by their type."""
        while "$ref" in schema:
            found: Any = document
            for name in schema["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            schema = found
        branches = schema.get("oneOf") or schema.get("anyOf")
        if branches:
            rest = {name: value for name, value in schema.items() if name not in ("oneOf", "anyOf")}
            forms: dict[str, dict[str, Any]] = {}
            for branch in branches:
                for kind, form in self._forms(document, branch).items():
                    assert kind not in forms, f"two alternatives of one type: {schema}"
                    forms[kind] = {**rest, **form}
            return forms
        members = [schema["const"]] if "const" in schema else schema.get("enum")
        if members and None in members:
            # OpenAPI 3.0 says of a text that may be null that null is one of its words.
            own = {**schema, "enum": [member for member in members if member is not None]}
            return {schema["type"]: own, "null": {"type": "null"}}
        return {schema.get("type", "any"): {**schema, **({"enum": members} if members else {})}}

    def _form(self, theirs: dict[str, Any], ours: dict[str, Any], where: str) -> None:
        assert set(theirs.get("enum", [])) == set(ours.get("enum", [])), where
        assert theirs.get("default") == ours.get("default"), where
        for bound in BOUNDS:
            if bound in theirs:
                assert ours.get(bound) == theirs[bound], f"{where}: {bound}"
            elif bound in ours:
                self._more(where, bound)
        self._object(theirs, ours, where)
        if "items" in theirs:
            self.compare(theirs["items"], ours["items"], f"{where}[]")

    def _object(self, theirs: dict[str, Any], ours: dict[str, Any], where: str) -> None:
        assert (theirs.get("additionalProperties") is False) == (ours.get("additionalProperties") is False), where
        known, mine = theirs.get("properties", {}), ours.get("properties", {})
        for name, schema in known.items():
            assert name in mine, f"{where}.{name} is missing"
            self.compare(schema, mine[name], f"{where}.{name}")
        for name in mine.keys() - known.keys():
            self._more(where, name)
        required, promised = set(theirs.get("required", [])), set(ours.get("required", []))
        assert required <= promised, f"{where}: {required - promised} is required"
        if promised - required:
            assert " asks " not in where, f"{where}: {promised - required} is not required"
            self._more(where, "required")

    def _more(self, where: str, what: str) -> None:
        self.beyond.setdefault(where, set()).add(what)


def operations(document: dict[str, Any]) -> dict[str, Any]:
    return {f"{method.upper()} {path}": op for path, ops in document["paths"].items() for method, op in ops.items()}


def answer(operation: dict[str, Any], status: str, document: dict[str, Any]) -> dict[str, Any]:
    response = operation["responses"][status]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return response


@pytest.mark.parametrize("name", SERVED)
def test_a_served_document_says_what_the_published_one_says(name: str) -> None:
    theirs, ours = published(name), served(name)
    comparison = Comparison(theirs, ours)
    mine = operations(ours)
    for label, operation in operations(theirs).items():
        assert label in mine, f"{label} is not served"
        if "requestBody" in operation:
            bodies = [each["requestBody"]["content"]["application/json"]["schema"] for each in (operation, mine[label])]
            comparison.compare(*bodies, f"{label} asks ")
            assert mine[label]["requestBody"]["required"] is True
        good, own = operation["responses"]["200"], mine[label]["responses"]["200"]
        assert good["content"].keys() == own["content"].keys()
        assert good.get("headers", {}).keys() <= own.get("headers", {}).keys()
        schemas = [each["content"]["application/json"]["schema"] for each in (good, own)]
        comparison.compare(*schemas, f"{label} answers ")
    assert comparison.beyond == {place: said for place, said in BEYOND[name].items() if said}


@pytest.mark.parametrize("name", SERVED)
def test_statuses_errors_and_keys_are_the_published_ones(name: str) -> None:
    theirs, ours = published(name), served(name)
    mine = operations(ours)
    for label, operation in operations(theirs).items():
        known, own = set(operation["responses"]), set(mine[label]["responses"])
        assert known <= own, f"{label}: {known - own} is missing"
        assert own - known <= STATUSES_BEYOND[name], f"{label}: {own - known}"
        for status in known - {"200"}:
            sent = answer(mine[label], status, ours)["content"]["application/json"]["schema"]
            schema = answer(operation, status, theirs)["content"]["application/json"]["schema"]
            check_errors(Forms(theirs).of(schema), Forms(ours).of(sent), f"{label} {status}")
    for scheme, how in theirs["components"]["securitySchemes"].items():
        assert (
            how.items() - {("description", how.get("description"))}
            <= ours["components"]["securitySchemes"][scheme].items()
        )


class Forms:
    """The objects that a schema of errors may be."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def of(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in schema:
            return self.of(self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        if "oneOf" in schema:
            return [form for branch in schema["oneOf"] for form in self.of(branch)]
        properties = {
            name: self.of(each)[0] if "$ref" in each else each for name, each in schema.get("properties", {}).items()
        }
        return [{**schema, "properties": properties}]


def check_errors(theirs: list[dict[str, Any]], ours: list[dict[str, Any]], where: str) -> None:
    """Each envelope of ours is one of theirs, member by member as far as they name them."""
    assert len(theirs) == len(ours), where
    for envelope, own in zip(theirs, ours, strict=True):
        assert set(envelope.get("required", [])) <= set(own["required"])
        check_members(envelope["properties"], own["properties"], where)


def check_members(theirs: dict[str, Any], ours: dict[str, Any], where: str) -> None:
    for name, schema in theirs.items():
        assert name in ours, f"{where}: {name} is missing"
        assert ours[name]["type"] == schema["type"], f"{where}: {name}"
        check_members(schema.get("properties", {}), ours[name].get("properties", {}), f"{where}.{name}")


def test_documents_are_served_to_everybody_and_may_be_cached() -> None:
    async def story() -> None:
        async with House(dialects=DIALECTS).open() as house:
            for name, path in SERVED.items():
                reply = await house.ask(request("GET", path))
                assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
                assert reply.headers["cache-control"] == "public, max-age=300"
                assert reply.json() == served(name)
                assert reply.json()["openapi"] == "3.1.0"
                assert (await house.ask(request("POST", path))).status == 405
            assert not house.keys

    run(story())


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (("temperature", "maximum"), 3),
        (("temperature", "default"), 0),
        (("n", "minimum"), 0),
        (("n", "type"), "number"),
        (("stop", "anyOf"), [{"type": "string"}]),
        (("messages", "items"), {"type": "object"}),
        (("top_p",), None),
    ],
)
def test_a_difference_does_not_go_unnoticed(place: tuple[str, ...], change: Any) -> None:
    theirs, ours = published("voltagegpu"), served("voltagegpu")
    schema = ours["components"]["schemas"]["ChatRequest"]
    at = schema["properties"]
    for name in place[:-1]:
        at = at[name]
    if change is None:
        del at[place[-1]]
    else:
        at[place[-1]] = change
    with pytest.raises(AssertionError):
        Comparison(theirs, ours).compare(theirs["components"]["schemas"]["ChatCompletionRequest"], schema, "it asks ")
