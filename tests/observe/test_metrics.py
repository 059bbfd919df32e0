"""Metrics: counted once, under bounded labels."""

from tollhouse.observe.metrics import Metrics
from tollhouse.observe.record import Attempt, CallRecord

ATTEMPT = Attempt(deployment="p:m", provider="p", url="u", outcome="ok", status=200, elapsed_ms=1)
RECORD = CallRecord(
    id="0" * 32,
    started_at_ms=1000,
    finished_at_ms=1250,
    workspace_id="w",
    key_id="k",
    dialect="hyperinfer",
    format="openai_chat",
    model="anything/a-caller-wrote",
    provider="p",
    upstream_model="m",
    stream=True,
    status="ok",
    error_code=None,
    finish_reason="stop",
    prompt_tokens=3,
    completion_tokens=4,
    cost_nano_usd=500,
    first_byte_ms=20,
    attempts=(ATTEMPT,),
)


def test_a_call_is_counted_under_its_label_and_not_under_the_callers_words() -> None:
    metrics = Metrics()
    metrics.in_flight(1)
    metrics.call(RECORD, "anything/*")
    metrics.in_flight(-1)
    metrics.refused("hyperinfer", "invalid_key")
    page = metrics.render().decode()
    assert 'tollhouse_calls_total{dialect="hyperinfer",error="",model="anything/*",status="ok"} 1.0' in page
    assert 'tollhouse_tokens_total{direction="in",model="anything/*"} 3.0' in page
    assert 'tollhouse_tokens_total{direction="out",model="anything/*"} 4.0' in page
    assert 'tollhouse_cost_nano_usd_total{model="anything/*"} 500.0' in page
    assert 'tollhouse_attempts_total{outcome="ok",provider="p"} 1.0' in page
    assert 'tollhouse_call_seconds_bucket{dialect="hyperinfer",le="0.25"} 1.0' in page
    assert "tollhouse_calls_in_flight 0.0" in page
    assert 'tollhouse_refused_total{dialect="hyperinfer",error="invalid_key"} 1.0' in page
    assert "a-caller-wrote" not in page
