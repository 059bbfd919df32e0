"""Routes, keys, voices and probes of the three dialects."""

import pytest

from support.dialect_samples import DIALECTS, HPP, HYPERINFER, REQUEST_ID, VOLTAGE, chat_voice, route
from support.hyperinfer_voices import COUNT, MESSAGES, RESPONSES
from tollhouse.dialects.dialect import Dialect, Operation
from tollhouse.wire.format import AnswerPolicy, Peek

CALLS = {Operation.CHAT, Operation.EMBEDDINGS, Operation.IMAGES, Operation.COUNT_TOKENS}
ASKED = Peek(model="gpt-4")


@pytest.mark.row(1, 2, 119, 120, 139)
def test_the_routes_are_those_of_the_contracts() -> None:
    found = {
        (dialect.name, route.method, route.path, route.endpoint, route.operation.value, route.public)
        for dialect in DIALECTS
        for route in dialect.routes
    }
    assert found == {
        ("hpp_router", "POST", "/llm/v1/chat/completions", "/llm/v1/chat/completions", "chat", False),
        ("hpp_router", "GET", "/llm/v1/models", "/llm/v1/models", "models", False),
        ("hpp_router", "POST", "/v1/images/generations", "/v1/images/generations", "images", False),
        ("hpp_router", "GET", "/api/usage", "/api/usage", "account", False),
        ("hpp_router", "GET", "/api/quota-check", "/api/quota-check", "account", False),
        ("hpp_router", "GET", "/openapi/hpp.json", "/openapi/hpp.json", "document", True),
        ("voltagegpu", "GET", "/openapi/voltage.json", "/openapi/voltage.json", "document", True),
        ("hyperinfer", "POST", "/api/v1/chat/completions", "/api/v1/chat/completions", "chat", False),
        ("hyperinfer", "POST", "/api/v1/responses", "/api/v1/responses", "chat", False),
        ("hyperinfer", "POST", "/api/v1/messages", "/api/v1/messages", "chat", False),
        (
            "hyperinfer",
            "POST",
            "/api/v1/messages/count_tokens",
            "/api/v1/messages/count_tokens",
            "count_tokens",
            False,
        ),
        ("hyperinfer", "POST", "/api/v1/embeddings", "/api/v1/embeddings", "embeddings", False),
        ("hyperinfer", "GET", "/api/v1/models", "/api/v1/models", "models", True),
        ("hyperinfer", "GET", "/api/v1/generation", "/api/v1/generation", "generation", False),
        ("hyperinfer", "GET", "/healthz", "/healthz", "health", True),
        ("hyperinfer", "GET", "/readyz", "/readyz", "ready", True),
        ("voltagegpu", "POST", "/v1/chat/completions", "/v1/chat/completions", "chat", False),
        ("voltagegpu", "POST", "/api/voltage/v1/chat/completions", "/v1/chat/completions", "chat", False),
        ("voltagegpu", "POST", "/v1/embeddings", "/v1/embeddings", "embeddings", False),
        ("voltagegpu", "POST", "/api/voltage/v1/embeddings", "/v1/embeddings", "embeddings", False),
        ("voltagegpu", "POST", "/v1/images/generations", "/v1/images/generations", "images", False),
        ("voltagegpu", "POST", "/api/voltage/v1/images/generations", "/v1/images/generations", "images", False),
        ("voltagegpu", "GET", "/v1/models", "/v1/models", "models", False),
        ("voltagegpu", "GET", "/api/voltage/v1/models", "/v1/models", "models", False),
    }


def test_every_route_has_what_its_operation_needs_and_lies_below_a_root() -> None:
    for dialect in DIALECTS:
        for found in dialect.routes:
            assert (found.voice is not None) == (found.operation in CALLS)
            assert (found.view is not None) == (found.operation is Operation.ACCOUNT)
            assert (found.probes is not None) == (found.operation in {Operation.HEALTH, Operation.READY})
            assert bool(found.document) == (found.operation is Operation.DOCUMENT)
            # On a path that two dialects share, a route's claim says whose it is.
            own = any(found.path == root or found.path.startswith(f"{root}/") for root in dialect.roots)
            assert own or found.claim is not None


def test_the_longest_root_tells_the_dialects_apart() -> None:
    roots = {root: dialect.name for dialect in DIALECTS for root in dialect.roots}
    for path, name in (
        ("/llm/v1/nothing", "hpp_router"),
        ("/api/v1/nothing", "hyperinfer"),
        ("/api/nothing", "hyperinfer"),
        ("/api/voltage/nothing", "voltagegpu"),
        ("/api/voltage/v1/nothing", "voltagegpu"),
        ("/v1/nothing", "voltagegpu"),
    ):
        longest = max((root for root in roots if path.startswith(f"{root}/")), key=len)
        assert roots[longest] == name


BEARER = {"authorization": "Bearer th-bearer"}


@pytest.mark.row(1, 2, 3, 119)
@pytest.mark.parametrize(
    ("dialect", "headers", "key"),
    [
        (HPP, {"apikey": "th-a"}, "th-a"),
        (HPP, BEARER, "th-bearer"),
        (HPP, BEARER | {"apikey": "th-a"}, "th-a"),
        (HPP, BEARER | {"apikey": "  "}, "th-bearer"),
        (HPP, {"x-voltagegpu-key": "th-v"}, None),
        (HPP, {}, None),
        (HYPERINFER, BEARER, "th-bearer"),
        (HYPERINFER, {"authorization": "bearer   th-x "}, "th-x"),
        (HYPERINFER, {"authorization": "Basic dGg6eA=="}, None),
        (HYPERINFER, {"authorization": "Bearer"}, None),
        (HYPERINFER, {"authorization": "Bearer "}, None),
        (HYPERINFER, {"authorization": "th-x"}, None),
        (HYPERINFER, {"apikey": "th-a", "x-api-key": "th-a", "x-voltagegpu-key": "th-v"}, None),
        (VOLTAGE, {"x-voltagegpu-key": "th-v"}, "th-v"),
        (VOLTAGE, BEARER, "th-bearer"),
        (VOLTAGE, BEARER | {"x-voltagegpu-key": "th-v"}, "th-v"),
        (VOLTAGE, {"apikey": "th-a"}, None),
    ],
)
def test_where_a_key_is_read(dialect: Dialect, headers: dict[str, str], key: str | None) -> None:
    assert dialect.read_key(headers) == key


@pytest.mark.row(47, 48)
@pytest.mark.parametrize(
    ("headers", "key"),
    [
        (BEARER, "th-bearer"),
        ({"x-api-key": "th-x"}, "th-x"),
        (BEARER | {"x-api-key": "sk-ant-of-another-service"}, "th-bearer"),
        ({"x-api-key": "th-x", "authorization": "Basic dGg6eA=="}, "th-x"),
        ({"x-api-key": " "}, None),
        ({"apikey": "th-a", "x-voltagegpu-key": "th-v"}, None),
        ({}, None),
    ],
)
def test_messages_also_take_the_key_header_of_anthropics_sdk(headers: dict[str, str], key: str | None) -> None:
    readers = {found.path: found.read_key for found in HYPERINFER.routes if found.read_key is not None}
    assert set(readers) == {"/api/v1/messages", "/api/v1/messages/count_tokens"}
    for read_key in readers.values():
        assert read_key(headers) == key


@pytest.mark.row(60, 61, 72)
def test_how_answers_look() -> None:
    slug = "openai/gpt-5"
    assert chat_voice(HPP).policy(REQUEST_ID, slug, ASKED) == AnswerPolicy(model=slug)
    assert chat_voice(VOLTAGE).policy(REQUEST_ID, slug, ASKED) == AnswerPolicy(model="gpt-4")
    assert chat_voice(HYPERINFER).policy(REQUEST_ID, slug, ASKED) == AnswerPolicy(
        answer_id=f"gen-{REQUEST_ID}", model=slug, usage_always=True, cost=True, tidy=True
    )
    for path, voice in (("responses", RESPONSES), ("messages", MESSAGES), ("messages/count_tokens", COUNT)):
        assert any(found.path == f"/api/v1/{path}" and type(found.voice) is type(voice) for found in HYPERINFER.routes)
        assert (voice.dialect, voice.defaults(), voice.headers(slug)) == ("hyperinfer", {}, ())
    assert (RESPONSES.format_name, MESSAGES.format_name) == ("openai_responses", "anthropic_messages")
    assert COUNT.format_name == "anthropic_messages"
    assert RESPONSES.policy(REQUEST_ID, slug, ASKED) == AnswerPolicy(
        answer_id=f"resp_{REQUEST_ID}", model=slug, usage_always=True, tidy=True
    )
    assert MESSAGES.policy(REQUEST_ID, slug, ASKED) == AnswerPolicy(
        answer_id=f"msg_{REQUEST_ID}", model=slug, usage_always=True, tidy=True
    )


@pytest.mark.row(14)
@pytest.mark.parametrize(
    ("slug", "value"),
    [
        ("ollama/gpt-oss:120b", b"ollama/gpt-oss:120b"),
        ("mistral/größe", b"mistral/gr%C3%B6%C3%9Fe"),
        ("a/b\r\nX-Evil: 1", b"a/b%0D%0AX-Evil:%201"),
        ("a/100%", b"a/100%25"),
    ],
)
def test_hpp_names_the_resolved_model(slug: str, value: bytes) -> None:
    assert chat_voice(HPP).headers(slug) == ((b"x-hpp-router-resolved-model", value),)


def test_the_others_have_no_headers_of_their_own() -> None:
    assert chat_voice(HYPERINFER).headers("a/b") == ()
    assert chat_voice(VOLTAGE).headers("a/b") == ()


@pytest.mark.row(121)
def test_only_voltage_has_documented_defaults() -> None:
    assert {name: bytes(raw) for name, raw in chat_voice(VOLTAGE).defaults().items()} == {
        "temperature": b"1",
        "top_p": b"1",
        "n": b"1",
        "presence_penalty": b"0",
        "frequency_penalty": b"0",
    }
    assert chat_voice(HPP).defaults() == {}
    assert chat_voice(HYPERINFER).defaults() == {}


@pytest.mark.row(115, 116)
def test_probes_keep_the_contracts_two_names() -> None:
    health, ready = route(HYPERINFER, Operation.HEALTH).probes, route(HYPERINFER, Operation.READY).probes
    assert health is not None
    assert ready is not None
    assert health.alive() == b'{"status":"ok"}'
    for books_ok, limits_ok, draining, body in (
        (True, True, False, b'{"status":"ok","checks":{"redis":"ok","postgres":"ok"}}'),
        (False, True, False, b'{"status":"degraded","checks":{"redis":"ok","postgres":"down"}}'),
        (True, False, False, b'{"status":"degraded","checks":{"redis":"down","postgres":"ok"}}'),
        (True, True, True, b'{"status":"degraded","checks":{"redis":"ok","postgres":"ok"}}'),
    ):
        assert ready.ready(books_ok=books_ok, limits_ok=limits_ok, draining=draining) == body
