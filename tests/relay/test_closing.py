"""Closing: what is charged where a provider told no figures, and what is said when the books cannot be written."""

import asyncio
import io
import json
import types
from typing import Any, cast

import pytest

from tollhouse.accounts.principal import Principal
from tollhouse.catalog.entries import Price, Rates, ServiceTier
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.usage import Usage
from tollhouse.money.lease import Hold, Part
from tollhouse.money.store import Transfer
from tollhouse.observe.logs import Log, Redaction
from tollhouse.observe.metrics import Metrics
from tollhouse.observe.record import CallRecord
from tollhouse.relay import settling as settling_module
from tollhouse.relay.closing import Closing, Progress
from tollhouse.relay.settling import Settling
from tollhouse.tokens import encodings
from tollhouse.tokens.encodings import BYTES, Vocabulary
from tollhouse.wire.quirks import Quirks

PLAIN = Quirks()
PRICE = Price(rates=Rates(prompt=1_000_000, completion=10_000_000), version="v1")


class Books:
    """Keeps what is committed, or refuses it; the ledger and the spool as well."""

    def __init__(self, fault: Fault | None = None, spool_works: bool = True) -> None:
        self.fault = fault
        self.spool_works = spool_works
        self.spooled: list[bytes] = []
        self.ended: list[str] = []
        self.kept: list[tuple[tuple[Transfer, ...], CallRecord]] = []

    async def commit_call(self, transfers: tuple[Transfer, ...], record: CallRecord) -> None:
        if self.fault is not None:
            raise FaultError(self.fault)
        self.kept.append((transfers, record))

    async def append(self, entry: bytes) -> None:
        if not self.spool_works:
            raise OSError("the disk is full")
        self.spooled.append(entry)

    async def clear(self) -> None:
        if not self.spool_works:
            raise OSError("the disk is full")
        self.spooled.clear()

    def charging(self, hold: Hold, amounts: dict[str, int]) -> None:
        del hold, amounts

    def charged(self, hold: Hold) -> None:
        self.ended.append("charged")

    def void(self, hold: Hold) -> None:
        self.ended.append("void")


def settling(books: Books, out: io.BytesIO, metrics: Metrics | None = None) -> Settling:
    log = Log("info", Redaction(), cast("Any", out))
    return Settling(books, cast("Any", books), cast("Any", books), metrics or Metrics(), log)


def closing(books: Books, out: io.BytesIO, metrics: Metrics | None = None) -> Closing:
    log = Log("info", Redaction(), cast("Any", out))
    return Closing(settling(books, out, metrics), metrics or Metrics(), log, lambda: 1.0)


def progress(
    usage: Usage | None,
    received_bytes: int,
    body: bytes = b"x" * 300,
    quirks: Quirks = PLAIN,
    tokenizer: str = BYTES,
) -> Progress:
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
        model=bare(price=PRICE, context_length=0, max_output_tokens=0, tokenizer=tokenizer),
        slug="a/b",
        label="a/b",
        upstream_model=lambda _deployment: "b",
    )
    admitted = bare(
        call=call,
        format=bare(name="openai_chat", operation="chat"),
        resolved=resolved,
        decision=None,
        output_limit=None,
        calls=lambda _deployment: 1,
        scan=bare(peek=bare(paid=(), stream=True, output_limit=None, choices=1, images=None), size_bytes=len(body)),
        hold=Hold(request_id="r1", parts=(Part("credit:ws", "nano_usd", 1),), price_version="v1"),
    )
    pipe = bare(
        usage=usage,
        service_tier=None,
        reported_at_bytes=received_bytes,
        received_bytes=received_bytes,
        finish_reason=None,
    )
    opened = bare(losses=[], pipe=pipe, deployment=bare(provider=bare(id="p"), format="openai_chat", quirks=quirks))
    return Progress(call=cast("Any", call), admitted=cast("Any", admitted), opened=cast("Any", opened), trail=[])


def settled(usage: Usage | None, received_bytes: int, body: bytes = b"x" * 300, quirks: Quirks = PLAIN) -> CallRecord:
    books = Books()
    asyncio.run(closing(books, io.BytesIO()).settle(progress(usage, received_bytes, body, quirks), "aborted"))
    ((transfers, record),) = books.kept
    assert sum(transfer.amount for transfer in transfers) == record.cost_nano_usd
    assert books.ended == ["charged"]
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


@pytest.mark.fault(42)
def test_the_vocabulary_is_made_ready_at_the_first_estimate_and_used_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coding = Vocabulary("o200k_base")
    monkeypatch.setitem(encodings._ENCODINGS, "o200k_base", coding)
    text = b"The gateway counts what it has sent and received, and says so in the record of the call. " * 30
    metrics, books = Metrics(), Books()

    async def run() -> None:
        subject = closing(books, io.BytesIO(), metrics)
        await subject.settle(progress(None, 3000, text, tokenizer="o200k_base"), "ok")
        # What was begun in a thread is waited for.
        await asyncio.get_running_loop().shutdown_default_executor()
        assert coding.is_loaded
        await subject.settle(progress(None, 3000, text, tokenizer="o200k_base"), "ok")

    asyncio.run(run())
    (_, by_size), (_, by_words) = books.kept
    assert (by_size.prompt_tokens, by_size.completion_tokens) == (len(text) // 3, 1000)
    assert abs(by_words.prompt_tokens - coding.count_text(text.decode())) <= 2
    assert 550 < by_words.completion_tokens < 750
    assert {by_size.usage_source, by_words.usage_source} == {"estimated"}
    assert b'tollhouse_estimated_calls_total{model="a/b"} 2.0' in metrics.render()


def test_a_picture_in_the_prompt_is_not_estimated_by_its_bytes() -> None:
    picture = b'{"url":"data:image/png;base64,' + b"iVBORw0KGgo" * 200_000 + b'"}'
    assert settled(None, 30, picture).prompt_tokens < 5000


NO = Fault(kind=FaultKind.BOOKS_UNAVAILABLE, message="no", detail="the database is locked")


def test_a_charge_that_the_books_do_not_take_is_kept_in_the_spool_until_they_do() -> None:
    async def run() -> None:
        books, out = Books(NO), io.BytesIO()
        subject = settling(books, out)
        log = Log("info", Redaction(), cast("Any", out))
        answered = await Closing(subject, Metrics(), log, lambda: 1.0).settle(
            progress(Usage(input_tokens=7, output_tokens=3), 9), "ok"
        )
        assert answered.cost_nano_usd == 7 * 1000 + 3 * 10_000
        assert len(books.spooled) == 1
        # The hold stays: nobody else may spend that money.
        assert books.ended == []
        with pytest.raises(FaultError):
            await subject.tend()
        books.fault = None
        await subject.tend()
        assert books.spooled == []
        assert books.ended == ["charged"]
        ((transfers, record),) = books.kept
        assert sum(transfer.amount for transfer in transfers) == record.cost_nano_usd == answered.cost_nano_usd

    asyncio.run(run())


TIERS = Price(
    rates=Rates(prompt=1_000_000, completion=10_000_000),
    service_tiers=(
        ServiceTier(name="priority", rates=Rates(prompt=2_000_000, completion=20_000_000)),
        ServiceTier(name="flex", rates=Rates(prompt=500_000, completion=5_000_000)),
    ),
    version="v1",
)


@pytest.mark.parametrize(
    ("asked", "answered", "cost_nano_usd"),
    [
        (None, None, 37_000),
        ("priority", None, 74_000),
        ("priority", "priority", 74_000),
        ("priority", "default", 37_000),
        ("flex", "flex", 18_500),
        ("flex", "default", 37_000),
        (None, "priority", 74_000),
        (None, "x" * 10_000, 37_000),
    ],
)
def test_the_service_tier_that_was_given_is_charged_and_else_the_one_asked_for(
    asked: str | None, answered: str | None, cost_nano_usd: int
) -> None:
    call, books = cast("Any", progress(Usage(input_tokens=7, output_tokens=3), 9)), Books()
    call.admitted.resolved.model.price = TIERS
    call.admitted.scan.peek.paid = () if asked is None else (("service_tier", f"service_tier:{asked}"),)
    call.opened.pipe.service_tier = answered
    asyncio.run(closing(books, io.BytesIO()).settle(call, "ok"))
    ((_, record),) = books.kept
    assert record.cost_nano_usd == cost_nano_usd


@pytest.mark.parametrize("told", ["settle", "give_up"])
def test_a_charge_that_could_not_be_kept_is_told_whole_and_counted_as_none(told: str) -> None:
    async def run() -> None:
        books, out, metrics = Books(NO, spool_works=False), io.BytesIO(), Metrics()
        subject = settling(books, out, metrics)
        log = Log("info", Redaction(), cast("Any", out))
        closes = Closing(subject, metrics, log, lambda: 1.0)
        call = progress(Usage(input_tokens=7, output_tokens=3), 9)
        if told == "settle":
            with pytest.raises(FaultError):
                await closes.settle(call, "ok")
        else:
            await closes.give_up(call, "aborted", None)
        lost, line = (json.loads(row) for row in out.getvalue().splitlines())
        assert lost["level"] == "critical"
        assert "the database is locked" in lost["why"]
        assert "the disk is full" in lost["why"]
        entry = json.loads(lost["entry"])
        assert [transfer["amount"] for transfer in entry["transfers"]] == [7 * 1000 + 3 * 10_000]
        assert entry["record"]["id"] == "r1"
        assert (line["event"], line["error"], line["cost_nano_usd"]) == ("call", "books_unavailable", 0)
        assert line["status"] == ("failed" if told == "settle" else "aborted")
        assert b'tollhouse_cost_nano_usd_total{model="a/b"} 0.0' in metrics.render()
        assert books.ended == ["void"]
        # Nothing more is admitted until the spool works again.
        assert subject.fault is not None
        await subject.tend()
        assert subject.fault is not None
        books.spool_works = True
        await subject.tend()
        assert subject.fault is None

    asyncio.run(run())


def test_books_that_do_not_answer_are_waited_for_no_longer_than_is_bearable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Books):
        async def commit_call(self, transfers: tuple[Transfer, ...], record: CallRecord) -> None:
            await asyncio.Event().wait()

    async def run() -> None:
        books = Silent()
        subject = settling(books, io.BytesIO())
        log = Log("info", Redaction(), cast("Any", io.BytesIO()))
        closes = Closing(subject, Metrics(), log, lambda: 1.0)
        settled = asyncio.create_task(closes.settle(progress(Usage(input_tokens=7, output_tokens=3), 9), "ok"))
        await asyncio.sleep(0)
        await subject.watch()
        assert books.spooled == []
        monkeypatch.setattr(settling_module, "COMMIT_WAIT_S", -1.0)
        await subject.watch()
        await settled
        assert len(books.spooled) == 1
        # The books may still answer; until then the money is held.
        assert books.ended == []

    asyncio.run(run())


@pytest.mark.fault(29)
def test_a_settlement_outlives_the_task_that_asked_for_it() -> None:
    class Slow(Books):
        def __init__(self) -> None:
            super().__init__()
            self.go = asyncio.Event()

        async def commit_call(self, transfers: tuple[Transfer, ...], record: CallRecord) -> None:
            await self.go.wait()
            await super().commit_call(transfers, record)

    async def run() -> None:
        books = Slow()
        subject = settling(books, io.BytesIO())
        log = Log("info", Redaction(), cast("Any", io.BytesIO()))
        closes = Closing(subject, Metrics(), log, lambda: 1.0)
        caller = asyncio.create_task(closes.settle(progress(Usage(output_tokens=3), 9), "ok"))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert books.kept == []
        books.go.set()
        await subject.close()
        assert len(books.kept) == 1
        assert books.ended == ["charged"]

    asyncio.run(run())
