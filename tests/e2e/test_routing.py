"""Breakers, keys, cool-downs, fallback models and preferences, through a whole gateway and scripted providers."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from support.callers import DIALECTS, HPP, HYPERINFER, VOLTAGE, Face, Reply, ask, chat
from support.gateway import RunningGateway
from support.routing import prefer_providers
from support.scripted_providers import Answer, Asked, ScriptedProviders, catalogue, failed, said

Start = Callable[..., RunningGateway]
ON = {"breakers": True, "retry_percent": 20}
MODELS = """
  - {slug: m/one, pricing: {prompt: 1, completion: 1}, deployments: [{provider: a, model: x}]}
  - slug: m/two
    pricing: {prompt: 1, completion: 1}
    deployments: [{provider: a, model: x}, {provider: b, model: x, order: 1}]
  - slug: m/four
    pricing: {prompt: 1, completion: 1}
    deployments: [{provider: a, model: x}, {provider: b, model: x}, {provider: c, model: x}, {provider: d, model: x}]
  - slug: m/chain
    pricing: {prompt: 1, completion: 1}
    deployments: [{provider: a, model: x}]
    fallbacks: {unavailable: [m/dear], context_length: [m/long], content_filter: [m/open]}
  - {slug: m/dear, pricing: {prompt: 1000, completion: 1000}, deployments: [{provider: b, model: dear}]}
  - {slug: m/long, pricing: {prompt: 3, completion: 3}, deployments: [{provider: c, model: long}]}
  - {slug: m/open, pricing: {prompt: 5, completion: 5}, deployments: [{provider: d, model: open}]}
  - slug: m/priced
    pricing: {prompt: 1, completion: 1}
    strategy: cheapest
    deployments:
      - {provider: a, model: x, pricing: {prompt: 9, completion: 9}}
      - {provider: b, model: x, pricing: {prompt: 2, completion: 2}}
      - {provider: c, model: x, free: true}
"""


def all_well(_: Asked) -> Answer:
    return said()


def except_from(*names: str, answer: Answer) -> Callable[[Asked], Answer]:
    return lambda asked: answer if asked.provider in names else said(f"from {asked.provider}")


@pytest.fixture
def providers() -> Iterator[ScriptedProviders]:
    scripted = ScriptedProviders(all_well)
    yield scripted
    scripted.stop()


@pytest.fixture
def gateway(providers: ScriptedProviders, start_gateway: Start) -> RunningGateway:
    return start_gateway(catalog=catalogue(providers.url, MODELS), **ON)


def trail(reply: Reply) -> list[str]:
    return [part.rpartition(" ")[0] for part in reply.headers["x-tollhouse-attempts"].split(", ")]


def metric(running: RunningGateway, line: str) -> float:
    page = ask(running, "GET", "/metrics").body.decode()
    return next((float(row.rpartition(" ")[2]) for row in page.splitlines() if row.startswith(line + " ")), 0.0)


@pytest.mark.fault(46)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
def test_a_dead_key_is_skipped_and_no_caller_ever_sees_our_401(
    providers: ScriptedProviders, start_gateway: Start, dialect: Face
) -> None:
    keys = "api_keys: ['${DEAD}', '${UNSET}', '${GOOD}']"
    environ = {"DEAD": "sk-dead-canary-000001", "GOOD": "sk-good-canary-000002"}
    running = start_gateway(catalog=catalogue(providers.url, MODELS, keys=keys), environ=environ, **ON)
    providers.script = lambda asked: failed(401, f"bad key {asked.key}") if "dead" in asked.key else said()
    key = running.key()
    replies = [chat(running, dialect, key, "m/one") for _ in range(12)]
    assert [reply.status for reply in replies] == [200] * 12
    assert [one.key for one in providers.asked].count(environ["DEAD"]) <= 1
    told = [reply for reply in replies if len(trail(reply)) == 2]
    if told:
        assert trail(told[0]) == ["a:x 401 provider_auth", "a:x 200 ok"]
        assert running.record(told[0].request_id).attempts[1].why == "key"
        assert metric(running, 'tollhouse_provider_key_dead{key="1",scope="a"}') == 1
        assert metric(running, 'tollhouse_provider_key_deaths_total{key="1",scope="a"}') == 1
        assert "refuses the gateway's key" in running.log()
    # Now the other one is refused as well: the caller hears that we failed, and no more.
    providers.script = lambda asked: failed(401, f"bad key {asked.key}")
    reply = chat(running, dialect, key, "m/one")
    assert reply.status in (500, 502)
    for secret in environ.values():
        assert secret.encode() not in reply.body
        assert secret not in running.log()
        assert secret not in str(reply.headers)
        assert secret not in repr(running.record(reply.request_id))


@pytest.mark.fault(45)
@pytest.mark.parametrize(
    "value", ["30", lambda: formatdate(time.time() + 30, usegmt=True), "999999999999", "soon", None]
)
@pytest.mark.parametrize("status", [429, 503, 529])
def test_who_is_told_to_wait_is_left_alone_and_the_other_one_answers(
    gateway: RunningGateway, providers: ScriptedProviders, value: Any, status: int
) -> None:
    said_so = value() if callable(value) else value
    headers = () if said_so is None else (("Retry-After", said_so),)
    providers.script = except_from("a", answer=failed(status, headers=headers))
    key = gateway.key()
    first, second = (chat(gateway, HYPERINFER, key, "m/two") for _ in range(2))
    assert [first.status, second.status] == [200, 200]
    assert first.text() == "from b"
    waits = status == 429 or said_so not in (None, "soon")
    assert providers.counts()["a"] == (1 if waits else 2)
    assert (trail(second) == ["b:x 200 ok"]) == waits


@pytest.mark.fault(45)
@pytest.mark.row(94)
def test_a_date_to_retry_after_is_waited_for_and_a_far_one_is_told_to_the_caller(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    busy = iter([failed(429, headers=(("Retry-After", formatdate(time.time() + 2, usegmt=True)),))])
    providers.script = lambda _: next(busy, said())
    started_s = time.monotonic()
    reply = chat(gateway, HYPERINFER, gateway.key(), "m/one")
    assert trail(reply) == ["a:x 429 provider_rate_limit", "a:x 200 ok"]
    assert time.monotonic() - started_s > 0.4
    providers.script = lambda _: failed(429, headers=(("Retry-After", formatdate(time.time() + 900, usegmt=True)),))
    reply = chat(gateway, HYPERINFER, gateway.key(), "m/one")
    assert (reply.status, len(trail(reply))) == (429, 1)
    assert 800 < int(reply.headers["retry-after"]) <= 900


@pytest.mark.fault(31)
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://nobody.invalid/v1", "{https}/v1"])
def test_a_provider_that_cannot_be_reached_is_stood_in_for_and_soon_left_alone(
    providers: ScriptedProviders, start_gateway: Start, url: str
) -> None:
    text = catalogue(providers.url, MODELS).replace(
        f"'{providers.url}/a/v1'", f"'{url.replace('{https}', providers.url.replace('http:', 'https:'))}'"
    )
    running = start_gateway(catalog=text, breaker_failures=3, **ON)
    key = running.key()
    replies = [chat(running, HYPERINFER, key, "m/two") for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 6
    trails = [trail(reply) for reply in replies]
    assert trails == [["a:x 0 provider_unavailable", "b:x 200 ok"]] * 3 + [["b:x 200 ok"]] * 3
    assert metric(running, 'tollhouse_breaker_state{deployment="a:x",key="1"}') == 2
    assert "left alone" in running.log()


@pytest.mark.fault(35)
@pytest.mark.fault(36)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>Sign in</html>", headers=(("Content-Type", "text/html"),)),
        Answer(),
        Answer(body=b'{"error": {"message": "overloaded", "type": "overloaded_error"}}'),
        Answer(
            body=b'data: {"error": {"message": "no", "code": 503}}\n\n',
            headers=(("Content-Type", "text/event-stream"),),
        ),
        Answer(body=b"data: [DONE]\n\n", headers=(("Content-Type", "text/event-stream"),)),
    ],
    ids=["html", "empty", "error body", "error event", "nothing but the end"],
)
def test_a_failure_in_disguise_fails_over(
    gateway: RunningGateway, providers: ScriptedProviders, answer: Answer, stream: bool
) -> None:
    good = Answer(
        body=b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
        b'"delta":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
        headers=(("Content-Type", "text/event-stream"),),
    )
    providers.script = lambda asked: answer if asked.provider == "a" else good if stream else said()
    reply = chat(gateway, HYPERINFER, gateway.key(), "m/two", stream=stream)
    assert (reply.status, reply.text()) == (200, "Hello.")
    assert len(trail(reply)) == 2


@pytest.mark.fault(47)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(gateway: RunningGateway, providers: ScriptedProviders, status: int) -> None:
    target = f"{providers.url}/thief/v1/chat/completions"
    providers.script = except_from("a", answer=Answer(status, b"", (("Location", target),)))
    reply = chat(gateway, HYPERINFER, gateway.key(), "m/two")
    assert (reply.status, trail(reply)[0]) == (200, f"a:x {status} provider_unavailable")
    assert providers.counts() == {"a": 1, "b": 1}
    assert "location" not in reply.headers


@pytest.mark.fault(48)
def test_what_belongs_to_the_providers_connection_stays_there(start_gateway: Start) -> None:
    running = start_gateway()
    odd = "informational=5/trailers/header=Set-Cookie:a%3Db/header=Set-Cookie:c%3Dd/header=Server:theirs"
    for stream in (False, True):
        reply = chat(running, HYPERINFER, running.key(), f"simulator/script/text=3/{odd}", stream=stream)
        assert reply.status == 200
        assert not {"set-cookie", "server", "trailer"} & set(reply.headers) - {"server"}
        assert "theirs" not in str(reply.headers)


@pytest.mark.fault(49)
@pytest.mark.row(133)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500])
def test_our_key_in_an_error_of_the_provider_reaches_nobody(
    providers: ScriptedProviders, start_gateway: Start, dialect: Face, status: int
) -> None:
    secret = "sk-proj-canary-5f0d1e2c3b4a"
    text = catalogue(providers.url, MODELS, keys=f"api_key: {secret}")
    running = start_gateway(catalog=text, **ON)
    providers.script = lambda asked: failed(
        status, f"You sent {asked.key} to https://u:p@api.example/v1?key={asked.key}"
    )
    reply = chat(running, dialect, running.key(), "m/one")
    assert reply.status >= 400
    for text in (reply.body.decode(), str(reply.headers), running.log(), repr(running.record(reply.request_id))):
        assert secret not in text
        assert "u:p@" not in text


@pytest.mark.fault(50)
def test_the_model_that_answers_is_named_and_priced_whatever_the_provider_calls_it(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    providers.script = lambda asked: failed(500) if asked.provider == "a" else said(model="something-else")
    for face in (HPP, HYPERINFER, VOLTAGE):
        reply = chat(gateway, face, gateway.key(), "m/chain", max_tokens=20)
        assert (reply.status, reply.json()["model"]) == (200, "m/dear")
        record = gateway.record(reply.request_id)
        assert (record.model, record.provider, record.upstream_model) == ("m/dear", "b", "dear")
        assert record.cost_nano_usd == 20 * 1_000_000
        assert [(one.why, one.model) for one in record.attempts][-1] == ("fallback", "m/dear")
    reply = chat(gateway, HPP, gateway.key(), "m/chain", max_tokens=20)
    assert reply.headers["x-hpp-router-resolved-model"] == "m/dear"


@pytest.mark.fault(50)
def test_the_hold_covers_the_dearest_model_that_may_answer(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    key = gateway.key("poor", usd=1)
    # 2,000 tokens of the model's own are 0.2 cents, of the one behind it 2 USD.
    assert chat(gateway, HYPERINFER, key, "m/chain", max_tokens=2000).status == 402
    assert providers.asked == []
    assert chat(gateway, HYPERINFER, key, "m/long", max_tokens=2000).status == 200


@pytest.mark.parametrize(
    ("code", "words", "model", "price"),
    [
        ("context_length_exceeded", "This model's maximum context length is 10 tokens", "m/long", 3),
        ("content_filter", "The response was filtered by the content management policy", "m/open", 5),
    ],
)
def test_another_model_answers_what_one_cannot_or_will_not(
    gateway: RunningGateway, providers: ScriptedProviders, code: str, words: str, model: str, price: int
) -> None:
    providers.script = except_from("a", answer=failed(400, words, code=code))
    reply = chat(gateway, HYPERINFER, gateway.key(), "m/chain", max_tokens=20)
    assert (reply.status, reply.json()["model"]) == (200, model)
    assert gateway.record(reply.request_id).cost_nano_usd == 20 * price * 1000
    # Without another model it is the caller's to know.
    reply = chat(gateway, HYPERINFER, gateway.key(), "m/one")
    assert (reply.status, reply.json()["error"]["code"] in ("context_length_exceeded", "content_filter")) == (400, True)


def test_a_caller_names_models_and_providers_and_neither_is_forwarded(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    providers.script = except_from("a", answer=failed(500))
    key = gateway.key()
    reply = chat(gateway, HYPERINFER, key, "m/one", models=["m/one", "m/long", "m/open"], max_tokens=5)
    assert (reply.status, reply.json()["model"]) == (200, "m/long")
    wishes: list[tuple[dict[str, Any], str]] = [
        ({"order": ["D", "b"]}, "from d"),
        ({"only": ["c/turbo"]}, "from c"),
        ({"ignore": ["a", "b", "c"]}, "from d"),
        ({"order": ["b"], "allow_fallbacks": False}, "from b"),
    ]
    for provider, text in wishes:
        reply = chat(gateway, HYPERINFER, key, "m/four", provider=provider)
        assert (reply.status, reply.text()) == (200, text)
    assert not any({"provider", "models"} & set(one.body) for one in providers.asked)
    reply = chat(gateway, HYPERINFER, key, "m/four", provider={"only": ["a"], "require_parameters": True})
    assert reply.status == 502
    assert {one.partition(" ")[0] for one in trail(reply)} == {"a:x"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"provider": {"only": ["nobody"], "ignore": ["a"]}}, "provider"),
        ({"provider": {"max_price": {"prompt": 0.5}}}, "provider"),
        ({"provider": {"order": "a"}}, "provider.order"),
        ({"provider": {"sort": "luck"}}, "provider.sort"),
        ({"provider": {"data_collection": "deny"}}, "provider.data_collection"),
        ({"provider": {"zdr": True}}, "provider.zdr"),
        ({"provider": 5}, "provider"),
        ({"models": "m/two"}, "models"),
        ({"models": ["m/two", "m/nowhere"]}, "models"),
    ],
    ids=str,
)
def test_what_cannot_be_granted_is_refused_by_its_name(
    gateway: RunningGateway, providers: ScriptedProviders, fields: dict[str, Any], param: str
) -> None:
    reply = chat(gateway, HYPERINFER, gateway.key(), "m/four", **fields)
    assert (reply.status, reply.json()["error"]["param"]) == (400, param)
    assert providers.asked == []


def test_a_wish_that_nobody_can_grant_is_named_or_refused(gateway: RunningGateway) -> None:
    wish = {"model": "m/one", "messages": [{"role": "user", "content": "x"}], "provider": {"quantizations": ["fp8"]}}
    auth = HYPERINFER.auth(gateway.key())
    reply = ask(gateway, "POST", HYPERINFER.chat, auth, wish)
    assert (reply.status, reply.headers["x-tollhouse-loss"]) == (200, "provider.quantizations")
    reply = ask(gateway, "POST", HYPERINFER.chat, auth | {"X-Tollhouse-On-Loss": "reject"}, wish)
    assert (reply.status, reply.json()["error"]["param"]) == (400, "provider.quantizations")


def test_a_key_goes_to_its_own_providers_and_a_request_only_narrows_that(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    key = gateway.key()
    prefer_providers(gateway, key, order=["c"], only=["b", "c", "d"], ignore=["d"])
    asked_for: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["c:x 200 ok"]),
        ({"order": ["b"]}, ["b:x 200 ok"]),
        ({"only": ["a", "b"]}, ["b:x 200 ok"]),
        ({"ignore": ["c"]}, ["b:x 200 ok"]),
    ]
    for face in DIALECTS:
        for provider, expected in asked_for:
            fields = {"provider": provider} if provider else {}
            assert trail(chat(gateway, face, key, "m/four", **fields)) == expected
    assert set(providers.counts()) == {"b", "c"}
    providers.script = except_from("b", "c", answer=failed(500))
    assert chat(gateway, HYPERINFER, key, "m/four").status == 502
    assert set(providers.counts()) == {"b", "c"}, "a failure is no way out either"
    for provider, param in (({"only": ["a"]}, "provider.only"), ({"only": ["d"]}, "provider")):
        refused = chat(gateway, HYPERINFER, key, "m/four", provider=provider)
        assert (refused.status, refused.json()["error"]["param"]) == (400, param)
    refused = chat(gateway, HYPERINFER, key, "m/one")
    assert refused.status == 400
    assert "the key's own" in refused.json()["error"]["message"]
    # What is taken away holds from the next call on.
    prefer_providers(gateway, key)
    providers.script = all_well
    assert chat(gateway, HYPERINFER, key, "m/one").status == 200


def test_a_keys_bound_on_the_price_holds_below_the_requests(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    key = gateway.key()
    prefer_providers(gateway, key, max_price={"prompt": 3}, ignore=["c"])
    reply = chat(gateway, HYPERINFER, key, "m/priced", provider={"order": ["a"], "max_price": {"prompt": 100}})
    assert trail(reply) == ["b:x 200 ok"]
    reply = chat(gateway, HYPERINFER, key, "m/priced", provider={"max_price": {"prompt": 1}})
    assert reply.status == 400


COUNTERS = """
providers:
  - {id: a, format: anthropic_messages, base_url: 'URL/a/v1', api_keys: [k1, k2, k3]}
  - {id: b, format: anthropic_messages, base_url: 'URL/b/v1', api_key: k4}
models:
  - slug: m/counted
    strategy: ordered
    pricing: {prompt: 1, completion: 1}
    deployments: [{provider: a, model: x}, {provider: b, model: x}]
"""


def test_tokens_are_counted_with_a_key_that_works_where_the_callers_key_may_go(
    providers: ScriptedProviders, start_gateway: Start
) -> None:
    text = COUNTERS.replace("URL", providers.url).replace("{", "{{").replace("}", "}}")
    running = start_gateway(catalog=text, **ON)
    key = running.key()
    count = Answer(body=b'{"input_tokens": 77}')
    providers.script = lambda asked: count if asked.key in ("k2", "k4") else failed(401)
    body = {"model": "m/counted", "messages": [{"role": "user", "content": "x"}], "provider": {"allow_fallbacks": True}}

    def counted(**fields: Any) -> int:
        auth = HYPERINFER.auth(key)
        reply = ask(running, "POST", "/api/v1/messages/count_tokens", auth, {**body, **fields})
        assert reply.status == 200, reply.body
        return reply.json()["input_tokens"]

    assert [counted() for _ in range(12)] == [77] * 12
    refused = Counter(one.key for one in providers.asked if one.key in ("k1", "k3"))
    assert all(times == 1 for times in refused.values()), "a dead key is asked once, and then left alone"
    assert not any("provider" in one.body for one in providers.asked)
    providers.asked.clear()
    prefer_providers(running, key, only=["b"])
    assert counted() == 77
    assert {one.provider for one in providers.asked} == {"b"}
    # Where nobody may be asked, nobody is.
    prefer_providers(running, key, only=["nobody"])
    assert counted() > 0
    assert len(providers.asked) == 1


def test_a_deployment_has_a_price_of_its_own_and_the_cheapest_goes_first(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    key = gateway.key()
    costs: list[int] = []
    for broken in ("", "c", "bc"):
        providers.script = except_from(*broken, answer=failed(500))
        reply = chat(gateway, HYPERINFER, key, "m/priced", max_tokens=20)
        costs.append(gateway.record(reply.request_id).cost_nano_usd)
    assert costs == [0, 20 * 2000, 20 * 9000]
    providers.script = all_well
    reply = chat(
        gateway, HYPERINFER, key, "m/priced", provider={"order": ["a", "b"], "max_price": {"completion": "2.5"}}
    )
    assert trail(reply) == ["b:x 200 ok"]


def test_a_conversation_stays_where_it_is_and_others_are_spread(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    key = gateway.key()
    turns = [{"role": "user", "content": "Where were we?"}]
    for _ in range(6):
        chat(gateway, HYPERINFER, key, "m/four", messages=turns)
        turns += [{"role": "assistant", "content": "Here."}, {"role": "user", "content": "And now?"}]
    assert len(providers.counts()) == 1
    for number in range(40):
        chat(gateway, HYPERINFER, key, "m/four", messages=[{"role": "user", "content": f"Topic {number}"}])
    assert set(providers.counts()) == set("abcd")


@pytest.mark.row(133)
def test_voltagegpu_lists_every_attempt(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    providers.script = except_from("a", "b", answer=failed(500))
    good = chat(gateway, VOLTAGE, gateway.key(), "m/four", provider={"order": ["a", "b", "c"]})
    assert (good.status, len(trail(good))) == (200, 3)
    providers.script = lambda _: failed(500)
    reply = chat(gateway, VOLTAGE, gateway.key(), "m/four", provider={"order": ["a", "b", "c"]})
    steps = reply.json()["details"]["attempts"]
    assert reply.status == 500
    assert [step["step"] for step in steps] == ["a:x", "b:x", "c:x"]
    assert [step["url"] for step in steps] == [f"{providers.url}/{name}/v1/chat/completions" for name in "abc"]
    assert [one.split(" ")[0] for one in trail(reply)] == ["a:x", "b:x", "c:x"]
    line = next(json.loads(row) for row in reversed(gateway.log().splitlines()) if reply.request_id in row)
    assert line["trail"] == reply.headers["x-tollhouse-attempts"]
    record = gateway.record(reply.request_id)
    assert [(one.why, one.message) for one in record.attempts] == [
        (why, "The provider failed to answer. Try again, or choose another model.")
        for why in ("first", "failover", "failover")
    ]


@pytest.mark.fault(51)
@pytest.mark.row(94)
def test_with_all_four_down_a_call_makes_hardly_more_than_one_attempt(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    providers.script = lambda _: failed(500)
    key = gateway.key()

    def calls(count: int) -> float:
        before = len(providers.asked)
        for number in range(count):
            message = [{"role": "user", "content": f"Topic {number}"}]
            assert chat(gateway, HYPERINFER, key, "m/four", messages=message).status == 502
        return (len(providers.asked) - before) / count

    calls(30)
    assert calls(100) <= 1.2
    assert metric(gateway, 'tollhouse_retries_denied_total{model="m/four"}') > 0
