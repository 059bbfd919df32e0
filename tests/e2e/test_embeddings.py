"""Embeddings through a running gateway: VoltageGPU's contract, and the same call on HyperInfer."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from support.callers import HYPERINFER, VOLTAGE, VOLTAGE_LOCAL, Face, Reply, ask, chat
from support.embedding_provider import embedded, encoded, vector
from support.gateway import RunningGateway
from support.routing import prefer_providers
from support.scripted_providers import Answer, ScriptedProviders, failed, said

MODELS = """
  - slug: acme/embed
    operations: [embeddings]
    aliases: [text-embedding-ada-002]
    context_length: 8192
    pricing: {prompt: 0.1}
    deployments:
      - {provider: a, model: embed-a}
      - {provider: b, model: embed-b, order: 1}
  - slug: acme/talk
    pricing: {prompt: 1, completion: 1}
    deployments: [{provider: a, model: talk}]
  - slug: acme/both
    operations: [chat, embeddings]
    pricing: {prompt: 1, completion: 2}
    deployments: [{provider: b, model: both}]
"""
PROVIDERS = "".join(
    f"  - {{{{id: {name}, formats: [openai_chat, openai_embeddings], base_url: '{{url}}/{name}/v1', api_key: none}}}}\n"
    for name in "ab"
)
MODEL = "text-embedding-ada-002"
FACES = (VOLTAGE, VOLTAGE_LOCAL)


@pytest.fixture
def providers() -> Iterator[ScriptedProviders]:
    served = ScriptedProviders(embedded)
    yield served
    served.stop()


@pytest.fixture
def gateway(start_gateway: Callable[..., RunningGateway], providers: ScriptedProviders) -> RunningGateway:
    text = f"providers:\n{PROVIDERS.format(url=providers.url)}models:{MODELS}"
    return start_gateway(catalog=text.replace("{", "{{").replace("}", "}}"))


def embed(gateway: RunningGateway, key: str, given: Any, face: Face = VOLTAGE, **fields: Any) -> Reply:
    body = {"model": MODEL, "input": given} | fields
    return ask(gateway, "POST", f"{face.base}/embeddings", face.auth(key), body)


@pytest.mark.row(119, 120, 126)
@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
def test_one_text(gateway: RunningGateway, providers: ScriptedProviders, face: Face) -> None:
    reply = embed(gateway, gateway.key(), "The quick brown fox", face)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json() == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": vector("The quick brown fox")}],
        "model": MODEL,
        "usage": {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4},
    }
    (asked,) = providers.asked
    assert (asked.path, asked.body) == ("/a/v1/embeddings", {"model": "embed-a", "input": "The quick brown fox"})


@pytest.mark.row(126)
def test_several_texts_keep_their_order(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    texts = [f"text number {number}" * number for number in range(1, 8)]

    def shuffled(asked: Any) -> Answer:
        body = json.loads(embedded(asked).body)
        return Answer(body=json.dumps(body | {"data": body["data"][::-1]}).encode())

    providers.script = shuffled
    data = embed(gateway, gateway.key(), texts).json()["data"]
    assert [one["index"] for one in data] == list(range(7))
    assert [one["embedding"] for one in data] == [vector(text) for text in texts]


@pytest.mark.row(126)
@pytest.mark.parametrize("wanted", ["float", "base64", None])
def test_numbers_always_whatever_was_asked_for(
    gateway: RunningGateway, providers: ScriptedProviders, wanted: str | None
) -> None:
    reply = embed(gateway, gateway.key(), ["a"], encoding_format=wanted, dimensions=3, user="somebody")
    assert reply.json()["data"][0]["embedding"] == vector("a")
    assert providers.asked[0].body == {"model": "embed-a", "input": ["a"], "dimensions": 3, "user": "somebody"}
    # A provider that answers in base64 all the same.
    providers.script = lambda asked: embedded(
        asked, data=[{"object": "embedding", "index": 0, "embedding": encoded([0.5, -2.0])}]
    )
    assert embed(gateway, gateway.key(), ["a"]).json()["data"][0]["embedding"] == [0.5, -2.0]


@pytest.mark.row(127, 134)
@pytest.mark.parametrize(
    "body",
    [
        {"input": "text"},
        {"model": MODEL},
        {"model": MODEL, "input": 7},
        {"model": MODEL, "input": None},
        {"model": MODEL, "input": [1, 2, 3]},
        {"model": MODEL, "input": [[1, 2], [3]]},
        {"model": MODEL, "input": ["a", 7]},
        {"model": MODEL, "input": []},
        {"model": MODEL, "input": {"text": "a"}},
        {"model": MODEL, "input": "a", "encoding_format": "hex"},
        {"model": MODEL, "input": "a", "dimensions": 0},
        {"model": 7, "input": "a"},
        {"model": "nobody/knows", "input": "a"},
        {"model": "acme/talk", "input": "a"},
        b"{",
    ],
    ids=str,
)
def test_what_is_refused(gateway: RunningGateway, providers: ScriptedProviders, body: dict[str, Any] | bytes) -> None:
    reply = ask(gateway, "POST", "/v1/embeddings", VOLTAGE.auth(gateway.key()), body)
    assert reply.status == 400, reply.body
    assert reply.json()["details"] == {"status": 400, "endpoint": "/v1/embeddings"}
    assert reply.json()["error"].startswith("Invalid request parameters: ")
    assert providers.asked == []


def test_a_model_is_asked_only_for_what_it_is_for(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key()
    refused = embed(gateway, key, "a", model="acme/talk")
    assert "is for chat, and cannot be asked for embeddings" in refused.json()["error"]
    refused = chat(gateway, VOLTAGE, key, MODEL)
    assert (refused.status, providers.asked) == (400, [])
    assert "is for embeddings, and cannot be asked for chat" in refused.json()["error"]
    assert embed(gateway, key, "a", model="acme/both").status == 200
    providers.script = lambda asked: said()
    assert chat(gateway, VOLTAGE, key, "acme/both").status == 200
    assert [one.path for one in providers.asked] == ["/b/v1/embeddings", "/b/v1/chat/completions"]


@pytest.mark.row(119)
def test_a_key_is_needed(gateway: RunningGateway) -> None:
    for headers in ({}, VOLTAGE.auth("th-wrong")):
        reply = ask(gateway, "POST", "/v1/embeddings", headers, {"model": MODEL, "input": "a"})
        assert (reply.status, reply.json()["details"]) == (401, {"status": 401, "endpoint": "/v1/embeddings"})


@pytest.mark.row(126, 138)
def test_the_price_is_exact_and_recorded(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key("priced")
    before = gateway.balance("priced")
    reply = embed(gateway, key, ["one two three", "four"])
    # 4 tokens at 0.1 USD per 1M tokens.
    assert before - gateway.balance("priced") == 400
    record = gateway.record(reply.request_id)
    assert (record.model, record.provider, record.upstream_model) == ("acme/embed", "a", "embed-a")
    assert (record.format, record.status, record.stream) == ("openai_embeddings", "ok", False)
    assert (record.prompt_tokens, record.completion_tokens, record.cost_nano_usd) == (4, 0, 400)
    assert record.usage_source == "provider"
    assert record.attempts[0].deployment == "a:embed-a@embeddings"


def test_a_provider_that_tells_no_usage_is_paid_by_an_estimate(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    providers.script = lambda asked: embedded(asked, usage=False)
    reply = embed(gateway, gateway.key(), "abc" * 30)
    usage = reply.json()["usage"]
    assert usage["completion_tokens"] == 0
    # Three bytes to a token, with the quotes around it.
    assert usage["prompt_tokens"] == usage["total_tokens"] == 31
    assert gateway.record(reply.request_id).usage_source == "estimated"


@pytest.mark.row(133)
def test_another_deployment_stands_in(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    providers.script = lambda asked: failed(503) if asked.provider == "a" else embedded(asked)
    reply = embed(gateway, gateway.key(), "a")
    assert (reply.status, reply.json()["data"][0]["embedding"]) == (200, vector("a"))
    assert "a:embed-a@embeddings 503" in reply.headers["x-tollhouse-attempts"]
    assert gateway.record(reply.request_id).provider == "b"
    # An answer that lacks a vector is none.
    providers.script = lambda asked: embedded(asked, data=[]) if asked.provider == "a" else embedded(asked)
    assert embed(gateway, gateway.key(), ["a", "b"]).status == 200


@pytest.mark.row(133, 134)
def test_a_call_that_fails_costs_nothing(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key("failing")
    before = gateway.balance("failing")
    providers.script = lambda asked: failed(500)
    reply = embed(gateway, key, "a")
    assert (reply.status, gateway.balance("failing")) == (500, before)
    details = reply.json()["details"]
    assert (details["status"], details["endpoint"]) == (500, "/v1/embeddings")
    assert len(details["attempts"]) == 3
    assert all(step["url"].endswith("/v1/embeddings") for step in details["attempts"])


@pytest.mark.row(131)
def test_what_does_not_fit_the_purse_is_not_forwarded(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key("poor", usd=0)
    reply = embed(gateway, key, "a")
    assert (reply.status, providers.asked) == (403, [])
    store = gateway.gateway.store
    workspace = gateway.do(store.workspace("poor"))
    assert workspace is not None
    gateway.do(store.top_up(workspace.id, 20_000, "tests:some", 0))
    assert embed(gateway, key, "short").status == 200
    reply = embed(gateway, key, "long " * 1000)
    assert reply.status == 403
    assert "Ask for less in one call" in reply.json()["error"]
    assert len(providers.asked) == 1


def test_hyperinfer_serves_them_as_openai_does(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key()
    reply = embed(gateway, key, [[1, 2, 3], [4]], HYPERINFER, encoding_format="base64")
    assert reply.json()["model"] == "acme/embed"
    assert reply.json()["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": 0,
        "total_tokens": 4,
        "cost": 0.0000004,
    }
    assert [one["embedding"] for one in reply.json()["data"]] == [encoded(vector([1, 2, 3])), encoded(vector([4]))]
    assert providers.asked[0].body["encoding_format"] == "base64"
    told = ask(gateway, "GET", f"/api/v1/generation?id={reply.request_id}", HYPERINFER.auth(key)).json()["data"]
    # D12: there is no name for this format in the contract.
    assert "ingress_format" not in told
    assert (told["status"], told["tokens_prompt"], told["total_cost"]) == ("ok", 4, 0.0000004)
    for given in (7, [], [True], None, {"a": 1}):
        refused = embed(gateway, key, given, HYPERINFER)
        assert (refused.status, refused.json()["error"]["param"][:5]) == (400, "input")


@pytest.mark.row(135)
@pytest.mark.parametrize("face", [*FACES, HYPERINFER], ids=lambda face: face.name)
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_the_openai_sdk(gateway: RunningGateway, face: Face, encoding: Any) -> None:
    how: dict[str, Any] = {} if encoding is None else {"encoding_format": encoding}
    key = gateway.key()
    headers = face.auth(key) if face is not HYPERINFER else None
    with openai.OpenAI(base_url=gateway.url + face.base, api_key=key, default_headers=headers, max_retries=0) as sdk:
        answer = sdk.embeddings.create(model=MODEL, input=["First text", "Second text"], **how)
        vectors = [one.embedding for one in answer.data]
        if encoding == "base64" and face is HYPERINFER:
            assert vectors == [encoded(vector("First text")), encoded(vector("Second text"))]
        else:
            assert vectors == [vector("First text"), vector("Second text")]
        assert answer.usage.total_tokens == 4
        with pytest.raises(openai.BadRequestError):
            sdk.embeddings.create(model="acme/talk", input="a")


def test_a_keys_wishes_about_providers_hold_for_embeddings(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    key = gateway.key()
    prefer_providers(gateway, key, only=["b"])
    assert embed(gateway, key, "x").status == 200
    assert [one.provider for one in providers.asked] == ["b"]
    prefer_providers(gateway, key, ignore=["a", "b"])
    assert embed(gateway, key, "x").status == 400
    assert len(providers.asked) == 1
