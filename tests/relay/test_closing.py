"""Closing: what is charged where a provider told no figures, and what is said when the books cannot be written."""

import asyncio
import io
import json
import types
from typing import Any, cast

import pytest

from tollhouse.accounts.principal import Principal
from tollhouse.catalog.entries import Price, Rates
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.usage import Usage
from tollhouse.money.store import ChargeLine, Hold
from tollhouse.observe.logs import Log, Redaction
from tollhouse.observe.metrics import Metrics
from tollhouse.observe.record import CallRecord
from tollhouse.relay.closing import Closing, Progress
from tollhouse.wire.quirks import Quirks

PLAIN = Quirks()
PRICE = Price(rates=Rates(prompt=1_000_000, completion=10_000_000), version="v1")


class Books:
    """Keeps what is committed, or refuses it; the ledger as well."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault
        self.released = 0
        self.kept: list[tuple[tuple[ChargeLine, ...], CallRecord]] = []

    async def commit_call(self, hold: Hold | None, lines: tuple[ChargeLine, ...], record: CallRecord) -> None:
        del hold
        if self.fault is not None:
            raise FaultError(self.fault)
        self.kept.append((lines, record))

    def release(self, hold: Hold) -> None:
        del hold
        self.released += 1


def closing(books: Books, out: io.BytesIO, metrics: Metrics | None = None) -> Closing:
    log = Log("info", Redaction(), cast("Any", out))
    return Closing(books, cast("Any", books), metrics or Metrics(), log, lambda: 1.0)


def progress(usage: Usage | None, received_bytes: int, body: bytes = b"x" * 300, quirks: Quirks = PLAIN) -> Progress:
    """A call whose answer has begun: what the provider reported, and how much came."""
    bare = types.SimpleNamespace
    principal = Principal(workspace_id="ws", workspace="w", key_id="k", key_hint="th-...", account_id="credit:ws")
    voice = bare(dialect="hyperinfer", format_name="openai_chat")
    call = bare(
        request_id="r1",
        voice=voice,
        principal=principal,
        body=body,
        started_s=0.0,
        started_at_ms=0,
        client_request_id=None,
    )
    resolved = bare(
        model=bare(price=PRICE, context_length=0, max_output_tokens=0),
        slug="a/b",
        label="a/b",
        upstream_model=lambda _deployment: "b",
    )
    admitted = bare(
        call=call,
        resolved=resolved,
        scan=bare(peek=bare(paid=(), stream=True, output_limit=None, choices=1), size_bytes=len(body)),
        hold=Hold(request_id="r1", account_id="credit:ws", amount_nano_usd=1, price_version="v1"),
    )
    pipe = bare(
        usage=usage,
        service_tier=None,
        reported_at_bytes=received_bytes,
        received_bytes=received_bytes,
        finish_reason=None,
    )
    opened = bare(losses=[], pipe=pipe, deployment=bare(provider=bare(id="p"), quirks=quirks))
    return Progress(call=cast("Any", call), admitted=cast("Any", admitted), opened=cast("Any", opened), trail=[])


def settled(usage: Usage | None, received_bytes: int, body: bytes = b"x" * 300, quirks: Quirks = PLAIN) -> CallRecord:
    books = Books()
    asyncio.run(closing(books, io.BytesIO()).settle(progress(usage, received_bytes, body, quirks), "aborted"))
    ((lines, record),) = books.kept
    assert sum(line.amount_nano_usd for line in lines) == record.cost_nano_usd
    assert books.released == 1
    return record


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("usage", "received_bytes", "tokens", "source"),
    [
        pytest.param(Usage(input_tokens=7, output_tokens=3), 900, (7, 3), "provider", id="reported"),
        pytest.param(None, 900, (100, 300), "estimated", id="missing"),
        pytest.param(None, 0, (100, 0), "estimated", id="begun, but nothing that can be counted"),
        pytest.param(Usage(input_tokens=7), 900, (7, 300), "estimated", id="before the content"),
        pytest.param(Usage(input_tokens=7), 0, (7, 0), "provider", id="nothing was generated"),
        pytest.param(Usage(), 900, (100, 300), "estimated", id="zeros"),
    ],
)
def test_an_answer_that_has_begun_is_never_free(
    usage: Usage | None, received_bytes: int, tokens: tuple[int, int], source: str
) -> None:
    record = settled(usage, received_bytes)
    assert (record.prompt_tokens, record.completion_tokens) == tokens
    assert record.usage_source == source
    assert record.cost_nano_usd == tokens[0] * 1000 + tokens[1] * 10_000


@pytest.mark.fault(43)
def test_tokens_without_a_class_are_reasoning_where_the_catalogue_says_so() -> None:
    reported = Usage(input_tokens=35, output_tokens=12, unplaced_tokens=62)
    hidden = settled(reported, 40, quirks=Quirks(hidden_reasoning=True))
    assert (hidden.prompt_tokens, hidden.completion_tokens, hidden.reasoning_tokens) == (35, 74, 62)
    assert (hidden.usage_source, hidden.cost_nano_usd) == ("provider", 35 * 1000 + 74 * 10_000)
    unknown = settled(reported, 900)
    assert (unknown.prompt_tokens, unknown.completion_tokens, unknown.usage_source) == (100, 300, "estimated")


def test_a_finish_reason_of_any_length_does_not_fill_the_books() -> None:
    call, books = progress(Usage(output_tokens=1), 1), Books()
    assert call.opened is not None
    call.opened.pipe.finish_reason = "x" * 1_000_000
    asyncio.run(closing(books, io.BytesIO()).settle(call, "ok"))
    ((_, record),) = books.kept
    assert record.finish_reason == "x" * 64


def test_a_picture_in_the_prompt_is_not_estimated_by_its_bytes() -> None:
    picture = b'{"url":"data:image/png;base64,' + b"iVBORw0KGgo" * 200_000 + b'"}'
    assert settled(None, 30, picture).prompt_tokens < 5000


@pytest.mark.parametrize("told", ["settle", "give_up"])
def test_a_charge_that_could_not_be_written_is_told_and_counted_as_none(told: str) -> None:
    fault = Fault(kind=FaultKind.BOOKS_UNAVAILABLE, message="no", detail="the disk is full")
    books, out, metrics = Books(fault), io.BytesIO(), Metrics()
    subject = closing(books, out, metrics)
    call = progress(Usage(input_tokens=7, output_tokens=3), 9)
    if told == "settle":
        with pytest.raises(FaultError):
            asyncio.run(subject.settle(call, "ok"))
    else:
        asyncio.run(subject.give_up(call, "aborted", None))
    lost, line = (json.loads(row) for row in out.getvalue().splitlines())
    assert (lost["level"], lost["request_id"], lost["why"]) == ("error", "r1", "the disk is full")
    assert lost["uncharged_nano_usd"] == 7 * 1000 + 3 * 10_000
    assert (line["event"], line["error"], line["cost_nano_usd"]) == ("call", "books_unavailable", 0)
    assert line["status"] == ("failed" if told == "settle" else "aborted")
    assert b'tollhouse_cost_nano_usd_total{model="a/b"} 0.0' in metrics.render()
    assert books.released == 1
