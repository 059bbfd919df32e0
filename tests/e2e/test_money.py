"""The bill: exact, the same streamed or not, in one commit with the record, and no credit no call."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.callers import DIALECTS, HPP, HYPERINFER, VOLTAGE, Face, ask, chat
from support.gateway import RunningGateway

PRICED = """
extends: default
providers:
  - {{id: simulator, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: priced/*
    name: Priced
    creator: simulator
    pricing: {{prompt: 1.25, completion: 10, cached_prompt: 0.125}}
    deployments: [{{provider: simulator, model: '*'}}]
  - slug: gratis/*
    name: Gratis
    creator: simulator
    free: true
    deployments: [{{provider: simulator, model: '*'}}]
"""


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory):
    running = RunningGateway(tmp_path_factory.mktemp("priced"), catalog=PRICED)
    yield running
    running.stop()


@pytest.mark.row(4, 17, 61)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_costs_its_tokens_to_the_nano_dollar(priced: RunningGateway, dialect: Face, stream: bool) -> None:
    workspace = f"exact-{dialect.name}-{stream}"
    key = priced.key(workspace)
    reply = chat(priced, dialect, key, "priced/script/text=7/usage=1000:7:600", stream=stream)
    assert reply.status == 200, reply.body
    # 400 fresh tokens at 1.25, 600 cached ones at 0.125, 7 generated at 10 USD per million.
    cost_nano_usd = 400 * 1250 + 600 * 125 + 7 * 10_000
    assert priced.balance(workspace) == 5 * 10**9 - cost_nano_usd
    record = priced.record(reply.request_id)
    assert record.cost_nano_usd == cost_nano_usd
    assert (record.status, record.stream, record.usage_source) == ("ok", stream, "provider")
    assert (record.prompt_tokens, record.cached_tokens, record.completion_tokens) == (1000, 600, 7)
    if dialect is HYPERINFER:
        usage = reply.chunks()[-1]["usage"] if stream else reply.json()["usage"]
        assert usage["cost"] == cost_nano_usd / 10**9


def test_the_record_and_the_charge_are_there_when_the_last_byte_is(priced: RunningGateway) -> None:
    key = priced.key("last-byte")
    for number in range(20):
        reply = chat(priced, HPP, key, "priced/script/text=1/usage=8:1", stream=bool(number % 2))
        assert priced.record(reply.request_id).cost_nano_usd == 20_000
        assert priced.balance("last-byte") == 5 * 10**9 - (number + 1) * 20_000


def test_parallel_calls_are_all_charged(priced: RunningGateway) -> None:
    key = priced.key("parallel")
    with ThreadPoolExecutor(16) as pool:
        replies = list(
            pool.map(
                lambda number: chat(
                    priced, DIALECTS[number % 3], key, "priced/script/text=3/usage=10:3", stream=number % 2 == 0
                ),
                range(120),
            )
        )
    assert {reply.status for reply in replies} == {200}
    assert priced.balance("parallel") == 5 * 10**9 - 120 * (10 * 1250 + 3 * 10_000)


@pytest.mark.parametrize(
    ("usage", "at"),
    [("none", "end"), ("null", "end"), ("negative", "end"), ("huge", "end"), ("string", "end"), ("cached_over", "end")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_cannot_be_trusted_is_estimated_and_never_free(
    priced: RunningGateway, usage: str, at: str, stream: bool
) -> None:
    key = priced.key("untrusted")
    reply = chat(priced, HYPERINFER, key, f"priced/script/text=50/usage={usage}/usage_at={at}", stream=stream)
    assert reply.status == 200, reply.body
    record = priced.record(reply.request_id)
    assert record.usage_source == "estimated"
    assert 10 < record.completion_tokens < 500
    assert record.prompt_tokens > 0
    assert record.cost_nano_usd == record.prompt_tokens * 1250 + record.completion_tokens * 10_000
    shown = reply.chunks()[-1]["usage"] if stream else reply.json()["usage"]
    assert shown["cost"] == record.cost_nano_usd / 10**9
    if usage == "cached_over":  # They are counts, though they make no sense: the caller sees what the provider told.
        assert shown["prompt_tokens_details"]["cached_tokens"] > shown["prompt_tokens"]
    else:
        assert (shown["prompt_tokens"], shown["completion_tokens"]) == (record.prompt_tokens, record.completion_tokens)


EMPTY_WORDS = {
    "hpp": (429, lambda body: body["error"] == "quota_exceeded"),
    "hyperinfer": (402, lambda body: body["error"]["code"] == "insufficient_credits"),
    "voltage": (403, lambda body: body["details"]["status"] == 403),
}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
def test_an_empty_purse_is_refused_before_anything_is_forwarded(priced: RunningGateway, dialect: Face) -> None:
    key = priced.key("empty", usd=0)
    before = len(priced.arrivals())
    reply = chat(priced, dialect, key, "priced/script/text=1")
    status, says = EMPTY_WORDS[dialect.name]
    assert reply.status == status
    assert says(reply.json())
    assert len(priced.arrivals()) == before
    record = priced.record(reply.request_id)
    assert (record.status, record.error_code, record.cost_nano_usd) == ("refused", "insufficient_balance", 0)
    assert chat(priced, dialect, key, "gratis/script/text=1").status == 200


def test_a_purse_that_runs_dry_is_noticed_at_the_next_call_and_a_top_up_at_once(priced: RunningGateway) -> None:
    key = priced.key("dry", usd=1)
    # One answer may cost more than is left: it is delivered whole and charged in full.
    assert chat(priced, HYPERINFER, key, "priced/script/text=1/usage=1:150000").status == 200
    assert priced.balance("dry") < 0
    assert chat(priced, HYPERINFER, key, "priced/script/text=1").status == 402

    async def top_up() -> None:
        workspace = await priced.gateway.store.workspace("dry")
        assert workspace is not None
        await priced.gateway.store.top_up(workspace.id, 10**9, "again", 1)

    priced.do(top_up())
    assert chat(priced, HYPERINFER, key, "priced/script/text=1/usage=1:1").status == 200


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"service_tier": "priority"}, "service_tier"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
    ],
)
def test_a_paid_feature_without_a_price_is_refused_by_name(
    priced: RunningGateway, fields: dict[str, object], field: str
) -> None:
    key = priced.key("unpriced")
    before = len(priced.arrivals())
    reply = chat(priced, HYPERINFER, key, "priced/script/text=1", **fields)
    assert reply.status == 400
    assert reply.json()["error"]["param"] == field
    assert field in reply.json()["error"]["message"]
    assert len(priced.arrivals()) == before
    assert chat(priced, HYPERINFER, key, "gratis/script/text=1", **fields).status == 200


def test_books_that_cannot_be_written_answer_no_call(
    start_gateway: Callable[..., RunningGateway],
) -> None:
    running = start_gateway()
    key = running.key()
    assert chat(running, HPP, key, "simulator/script/text=1").status == 200
    (running.data_dir / "data" / "tollhouse.db").unlink()
    for dialect, status in ((HPP, 503), (HYPERINFER, 500), (VOLTAGE, 500)):
        reply = chat(running, dialect, key, "simulator/script/text=1")
        assert reply.status == status, reply.body
        assert "retry-after" in reply.headers


TWO_PRICES = """
extends: default
providers:
  - {{id: simulator, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: shop/model
    name: Model
    creator: simulator
    pricing: {{prompt: PROMPT, completion: 0.0375, cached_prompt: 0.5}}
    deployments: [{{provider: simulator, model: 'script/text=2/usage=1000:2'}}]
"""


@pytest.mark.row(138)
@pytest.mark.parametrize(("prompt", "per_token_nano_usd"), [("2", 2000), ("3.5", 3500)])
def test_one_price_is_what_every_face_charges_and_prints(
    start_gateway: Callable[..., RunningGateway], prompt: str, per_token_nano_usd: int
) -> None:
    running = start_gateway(catalog=TWO_PRICES.replace("PROMPT", prompt))
    key = running.key("shop")
    # Each line is rounded up to a nano-dollar once: 2 tokens at 37.5 nano-dollars are 75.
    cost_nano_usd = 1000 * per_token_nano_usd + 75
    for number, face in enumerate(DIALECTS, 1):
        assert chat(running, face, key, "shop/model").status == 200
        assert running.balance("shop") == 5 * 10**9 - number * cost_nano_usd
    hpp = ask(running, "GET", HPP.models, HPP.auth(key)).json()["data"]
    priced = next(model["pricing"] for model in hpp if model["id"] == "shop/model")
    assert priced == {"input": float(prompt), "output": 0.0375, "cache_read": 0.5, "cache_write": None}
    public = ask(running, "GET", HYPERINFER.models).json()["data"]
    priced = next(model["pricing"] for model in public if model["slug"] == "shop/model")
    assert priced == {"prompt": float(prompt), "completion": 0.0375, "cached_prompt": 0.5}


HONEST = "text=30/usage=500:33"
TOLD = 500 * 1250 + 33 * 10_000


@pytest.mark.fault(42)
@pytest.mark.parametrize("at", ["first", "every", "choices", "groq", "twice", "after_done"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
def test_usage_counts_once_wherever_it_stands_in_a_stream(priced: RunningGateway, at: str, dialect: Face) -> None:
    workspace = f"at-{at}-{dialect.name}"
    reply = chat(priced, dialect, priced.key(workspace), f"priced/script/{HONEST}/usage_at={at}", stream=True)
    assert reply.status == 200, reply.body
    record = priced.record(reply.request_id)
    assert (record.usage_source, record.prompt_tokens, record.completion_tokens) == ("provider", 500, 33)
    assert priced.balance(workspace) == 5 * 10**9 - TOLD


@pytest.mark.fault(43)
@pytest.mark.parametrize("usage", ["negative", "huge", "string", "float", "nan", "cached_over", "zero", "partial"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
def test_figures_that_cannot_be_true_are_counted_anew(
    priced: RunningGateway, usage: str, stream: bool, dialect: Face
) -> None:
    workspace = f"lie-{usage}-{stream}-{dialect.name}"
    script = f"priced/script/text=50/usage={usage}"
    reply = chat(priced, dialect, priced.key(workspace), script, stream=stream, max_tokens=100)
    # An answer in one piece that is no JSON (NaN) is no answer, and is not charged.
    if reply.status != 200:
        assert usage == "nan"
        assert priced.balance(workspace) == 5 * 10**9
        return
    record = priced.record(reply.request_id)
    if record.status == "ok":
        assert record.usage_source == "estimated"
        assert 10 < record.completion_tokens <= 100
        assert 0 < record.prompt_tokens < 100
    assert record.cost_nano_usd == record.prompt_tokens * 1250 + record.completion_tokens * 10_000
    assert priced.balance(workspace) == 5 * 10**9 - record.cost_nano_usd


@pytest.mark.fault(44)
@pytest.mark.parametrize("cost", ["0", "-5", "1e30", "99999999", "0.000000000001"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
def test_our_price_stands_whatever_cost_a_provider_reports(
    priced: RunningGateway, cost: str, stream: bool, dialect: Face
) -> None:
    workspace = f"cost-{cost}-{stream}-{dialect.name}"
    reply = chat(priced, dialect, priced.key(workspace), f"priced/script/{HONEST}/cost={cost}", stream=stream)
    assert reply.status == 200, reply.body
    assert priced.record(reply.request_id).cost_nano_usd == TOLD
    assert priced.balance(workspace) == 5 * 10**9 - TOLD
    if dialect is HYPERINFER:
        usage = reply.chunks()[-1]["usage"] if stream else reply.json()["usage"]
        assert usage["cost"] == TOLD / 10**9


@pytest.mark.fault(33, 34, 38)
@pytest.mark.parametrize(
    ("script", "status", "source"),
    [
        pytest.param("text=40/cut=20", "failed", "estimated", id="reset in mid-stream"),
        pytest.param("text=40/eof=20", "failed", "estimated", id="the chunks end early"),
        pytest.param("text=40/end=20", "failed", "estimated", id="the stream ends early"),
        pytest.param("text=40/bad_json=20", "failed", "estimated", id="broken JSON in mid-stream"),
        pytest.param("text=40/usage=500:40/no_done", "ok", "provider", id="no [DONE]"),
        pytest.param("text=40/usage=none/no_done", "ok", "estimated", id="no [DONE] and no usage"),
    ],
)
def test_a_stream_that_breaks_off_costs_what_came(
    priced: RunningGateway, script: str, status: str, source: str
) -> None:
    workspace = f"broken-{script}"
    reply = chat(priced, HYPERINFER, priced.key(workspace), f"priced/script/{script}", stream=True)
    assert reply.status == 200
    record = priced.record(reply.request_id)
    assert (record.status, record.usage_source) == (status, source)
    assert record.cost_nano_usd == record.prompt_tokens * 1250 + record.completion_tokens * 10_000 > 0
    assert priced.balance(workspace) == 5 * 10**9 - record.cost_nano_usd
    assert (reply.frames()[-1] == "[DONE]") == (status == "ok")
    if status == "failed":
        assert "error" in reply.frames()[-1]


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    "script", ["text=40/truncate", "text=40/length_off=+50", "text=40/bad_json", "text=40/cut=100"]
)
def test_half_an_answer_in_one_piece_is_none_and_costs_nothing(priced: RunningGateway, script: str) -> None:
    workspace = f"half-{script}"
    reply = chat(priced, HYPERINFER, priced.key(workspace), f"priced/script/{script}")
    assert reply.status == 502, reply.body
    assert priced.balance(workspace) == 5 * 10**9
