"""Budget: what a call holds, what a refusal says, and the price that counts."""

import asyncio
import types
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from support.books import ask, assert_books_balance, record
from tollhouse.accounts.limits import limit_account
from tollhouse.accounts.principal import Limit, Principal
from tollhouse.catalog.entries import Catalog, Creator, Model, Price, Rates, Resolved
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.usage import Usage
from tollhouse.money.ledger import Ledger
from tollhouse.money.pricing import charge_lines
from tollhouse.money.settlement import Spending, postings, totals
from tollhouse.relay.admission import Admission
from tollhouse.relay.budget import ASSUMED_KEPT_TOKENS, ASSUMED_OUTPUT_TOKENS, Budget, Terms
from tollhouse.relay.candidates import Candidate, Candidates
from tollhouse.relay.choosing import Chooser
from tollhouse.routing.rules import BrokenRules
from tollhouse.stores.sqlite import SqliteStore, account_of
from tollhouse.tokens import encodings
from tollhouse.tokens.bounds import PICTURE_MOST_TOKENS, most_prompt_tokens
from tollhouse.tokens.encodings import encoding
from tollhouse.wire.registry import FORMATS

CHAT = next(form for form in FORMATS if form.name == "openai_chat")
RESPONSES = next(form for form in FORMATS if form.name == "openai_responses")
NOON_MS = 1_795_262_400_000  # 2026-11-21 12:00 UTC
DAY_MS = 86_400_000


def model(prompt: int = 1_000_000, completion: int = 10_000_000, **more: Any) -> Model:
    rates = Rates(prompt=prompt, completion=completion)
    values: dict[str, Any] = {"slug": "a/b", "name": "b", "creator": Creator(slug="a", name="a"), "deployments": ()}
    return Model(price=Price(rates=rates, version=f"p{prompt}"), **(values | more))


def body(text: str = "x", fields: str = "") -> bytes:
    return f'{{"model":"a/b","messages":[{{"role":"user","content":"{text}"}}]{fields}}}'.encode()


class Desk:
    """A budget on real books, with a principal and a wall clock."""

    def __init__(self, store: SqliteStore, principal: Principal, rule: Any) -> None:
        self.store = store
        self.principal = principal
        self.now_ms = NOON_MS
        self.ledger = Ledger(store.ledger, "node#1", lambda: 100.0, store.blocked)
        self.budget = Budget(self.ledger, lambda: self.now_ms, rule)
        self.calls = 0

    async def hold(self, asked: bytes = body(), priced: Model | None = None, wire_format: Any = CHAT) -> Terms:
        self.calls += 1
        wanted = priced or model()
        found = Candidates(first=Candidate(Resolved(model=wanted, slug=wanted.slug, label=wanted.slug), ()))
        return await self.budget.hold(f"r{self.calls}", self.principal, found, wire_format.scan(asked), asked)

    async def refused(self, asked: bytes = body(), priced: Model | None = None) -> tuple[FaultKind, str]:
        with pytest.raises(FaultError) as caught:
            await self.hold(asked, priced)
        assert caught.value.fault.source == "budget"
        return caught.value.fault.kind, caught.value.fault.message

    async def pay(self, terms: Terms, nano_usd: int, tokens: int) -> None:
        lines = charge_lines(model(0, 1_000).price, Usage(output_tokens=nano_usd, source="provider"))
        transfers = postings(terms.hold, Spending(lines, tokens), self.now_ms, "provider")
        self.ledger.charging(terms.hold, totals(transfers))
        await self.store.commit_call(transfers, record(terms.hold.request_id))
        self.ledger.charged(terms.hold)


def at_desk(
    folder: Path,
    work: Callable[[Desk], Awaitable[None]],
    *limits: Limit,
    credit: int = 10**9,
    rule: str = "bound",
    invoicing: bool = False,
) -> None:
    async def run() -> None:
        store = SqliteStore.open(folder)
        try:
            workspace = await store.create_workspace("acme", 1)
            if credit:
                await store.top_up(workspace.id, credit, "r", 1)
            principal = Principal(
                workspace_id=workspace.id,
                workspace="acme",
                key_id="k",
                key_hint="h",
                account_id=account_of(workspace.id),
                limits=limits,
                invoicing=invoicing,
            )
            desk = Desk(store, principal, rule)
            await work(desk)
            for number in range(1, desk.calls + 1):
                desk.ledger.leases.void(f"r{number}")
            await desk.ledger.close()
        finally:
            await store.close()

    asyncio.run(run())
    assert_books_balance(folder)


def limit(period: Any, amount: int, unit: Any = "nano_usd", **more: Any) -> Limit:
    return Limit(id=f"cap-{period}", unit=unit, period=period, amount=amount, **({"reason": "key_limit"} | more))


def test_a_call_holds_its_prompt_by_the_byte_and_its_answer_by_its_limit(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        asked = body(fields=',"max_tokens":100,"n":3')
        terms = await desk.hold(asked)
        assert [part.amount for part in terms.hold.parts] == [len(asked) * 1_000 + 3 * 100 * 10_000]
        assert terms.injected_limit is None
        known = await desk.hold(body(), model(max_output_tokens=500))
        assert known.hold.parts[0].amount == len(body()) * 1_000 + 500 * 10_000
        unknown = await desk.hold(body())
        assert unknown.hold.parts[0].amount == len(body()) * 1_000 + ASSUMED_OUTPUT_TOKENS * 10_000

    at_desk(tmp_path, work)


KEPT = ['"conversation":"conv_1"', '"prompt":{"id":"p"}', '"input":[{"type":"item_reference","id":"rs_1"}]']


@pytest.mark.parametrize("kept", KEPT)
def test_what_a_provider_keeps_of_a_prompt_is_held_as_long_as_the_model_can_read(tmp_path: Path, kept: str) -> None:
    async def work(desk: Desk) -> None:
        asked = f'{{"model":"a/b",{kept},"max_output_tokens":100}}'.encode()
        own = len(asked) * 1_000 + 100 * 10_000
        known = await desk.hold(asked, model(context_length=9_000), RESPONSES)
        assert known.hold.parts[0].amount == own + 9_000 * 1_000
        unknown = await desk.hold(asked, wire_format=RESPONSES)
        assert unknown.hold.parts[0].amount == own + ASSUMED_KEPT_TOKENS * 1_000

    at_desk(tmp_path, work)


def test_a_picture_that_is_only_named_is_held_for_as_the_largest_one(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        part = '{"type":"image_url","image_url":{"url":"https://pictures.example/a.png"}}'
        asked = f'{{"model":"a/b","max_tokens":1,"messages":[{{"role":"user","content":[{part},{part}]}}]}}'.encode()
        terms = await desk.hold(asked)
        assert terms.hold.parts[0].amount == (len(asked) + 2 * PICTURE_MOST_TOKENS) * 1_000 + 10_000

    at_desk(tmp_path, work)


@pytest.mark.parametrize("all_of_it", ['"conversation":null,"prompt":null', '"input":"\\"item_reference\\""'])
def test_a_prompt_that_is_all_there_is_held_by_its_bytes(tmp_path: Path, all_of_it: str) -> None:
    async def work(desk: Desk) -> None:
        asked = f'{{"model":"a/b",{all_of_it},"max_output_tokens":100}}'.encode()
        terms = await desk.hold(asked, wire_format=RESPONSES)
        assert terms.hold.parts[0].amount == len(asked) * 1_000 + 100 * 10_000

    at_desk(tmp_path, work)


def test_a_picture_is_counted_by_its_bytes_only_where_that_fits(tmp_path: Path) -> None:
    picture = "data:image/png;base64," + "A" * 1_000_000

    async def work(desk: Desk) -> None:
        asked = body(picture, ',"max_tokens":10')
        terms = await desk.hold(asked)
        assert terms.hold.parts[0].amount < 16_500 * 1_000
        assert terms.hold.parts[0].amount == most_prompt_tokens(asked) * 1_000 + 10 * 10_000

    at_desk(tmp_path, work, credit=20_000_000)


@pytest.mark.row(52, 53)
@pytest.mark.parametrize(
    ("period", "later_ms", "when"),
    [("day", DAY_MS, "00:00 UTC"), ("month", 10 * DAY_MS, "first of the month"), ("total", None, "reset")],
)
def test_a_limit_that_is_used_up_refuses_until_its_period_ends(
    tmp_path: Path, period: str, later_ms: int | None, when: str
) -> None:
    async def work(desk: Desk) -> None:
        asked = body(fields=',"max_tokens":1')
        await desk.pay(await desk.hold(asked), 1_000_000, 5)
        kind, message = await desk.refused(asked)
        assert kind is FaultKind.KEY_LIMIT
        assert "limit of the key" in message
        assert when in message
        if later_ms is not None:
            desk.now_ms += later_ms
            await desk.hold(asked)
        else:
            desk.now_ms += 1_000 * DAY_MS
            await desk.refused(asked)

    at_desk(tmp_path, work, limit(period, 1_000_000))


@pytest.mark.fault(73)
def test_a_call_that_lasts_past_midnight_counts_on_the_day_it_began(tmp_path: Path) -> None:
    cap = limit("day", 1_000_000_000)

    async def work(desk: Desk) -> None:
        terms = await desk.hold(body(fields=',"max_tokens":1'))
        before = limit_account(cap, desk.now_ms)
        desk.now_ms += DAY_MS
        await desk.pay(terms, 700, 5)
        rows = ask(tmp_path, "SELECT id, debits FROM account WHERE kind = 'limit'")
        assert rows == [(before, 700)]
        assert before == "limit:cap-day:2026-11-21"

    at_desk(tmp_path, work, cap)


def test_a_limit_in_tokens_is_named_in_tokens_and_binds_free_models_too(tmp_path: Path) -> None:
    plan = limit("month", 1_000, "token", reason="plan_quota", name="free")

    async def work(desk: Desk) -> None:
        free = Model(slug="f", name="f", creator=Creator(slug="f", name="f"), deployments=(), price=Price())
        kind, message = await desk.refused(body(fields=',"max_tokens":2000'), free)
        assert kind is FaultKind.KEY_LIMIT
        assert "monthly quota of the plan free has 1000 tokens left" in message
        assert "at most 9" in message
        terms = await desk.hold(body(), free)
        assert terms.injected_limit is not None
        assert 256 <= terms.injected_limit < 1_000
        await desk.pay(terms, 0, 1_000)
        assert (await desk.refused(body(), free))[0] is FaultKind.KEY_LIMIT

    at_desk(tmp_path, work, plan, credit=0)


def test_of_two_that_are_short_the_limit_is_named_before_the_balance(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert (await desk.refused())[0] is FaultKind.KEY_LIMIT

    at_desk(tmp_path, work, limit("total", 10), credit=10)


PROSE = (
    "The upper bound of a call begins with the bytes of its prompt, and words are counted where that is too much. " * 40
)


def words(text: str = PROSE) -> bytes:
    return body(text, ',"max_tokens":10')


def test_a_prompt_is_counted_in_the_models_vocabulary_only_where_its_bytes_do_not_fit(tmp_path: Path) -> None:
    asked, counted = words(), model(tokenizer="o200k_base")
    true = encoding("o200k_base").count_text(PROSE)
    assert len(asked) > 4 * true

    async def work(desk: Desk) -> None:
        for priced, sent in ((model(), asked), (counted, words(PROSE * 2))):
            assert (await desk.refused(sent, priced))[0] is FaultKind.INSUFFICIENT_BALANCE
        terms = await desk.hold(asked, counted)
        held = terms.hold.parts[0].amount
        assert true * 1000 + 10 * 10_000 < held <= (1.05 * true + 110) * 1000 + 10 * 10_000
        await desk.pay(terms, held, 1)
        # Where the bytes fit nobody counts.
        await desk.store.top_up(desk.principal.workspace_id, 10**9, "more", 1)
        terms = await desk.hold(asked, counted)
        assert terms.hold.parts[0].amount == len(asked) * 1000 + 10 * 10_000
        await desk.pay(terms, 1, 1)

    at_desk(tmp_path, work, credit=(true + true // 20 + 150) * 1000 + 10 * 10_000)


def test_a_longer_answer_fits_where_the_prompt_is_counted(tmp_path: Path) -> None:
    true = encoding("o200k_base").count_text(PROSE)
    room = true + true // 20 + 100

    async def work(desk: Desk) -> None:
        terms = await desk.hold(body(PROSE), model(tokenizer="o200k_base", max_output_tokens=100_000))
        assert terms.injected_limit is not None
        assert 400 <= terms.injected_limit <= 404
        await desk.pay(terms, 1, 1)

    at_desk(tmp_path, work, credit=(room + 400 * 10) * 1000)


def test_whoever_has_too_little_for_any_answer_does_not_make_the_gateway_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[str] = []
    coding = types.SimpleNamespace(name="o200k_base", is_loaded=True, count_text=counts.append)
    monkeypatch.setitem(encodings._ENCODINGS, "o200k_base", coding)

    async def work(desk: Desk) -> None:
        assert (await desk.refused(words(), model(tokenizer="o200k_base")))[0] is FaultKind.INSUFFICIENT_BALANCE

    at_desk(tmp_path, work, credit=10 * 10_000 - 1)
    assert counts == []


def test_an_invoiced_workspace_holds_nothing_and_its_limits_count(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        terms = await desk.hold(body(fields=',"max_tokens":10'))
        assert [part.lease is None for part in terms.hold.parts] == [True, False]
        await desk.pay(terms, 900_000, 9)
        assert await desk.store.balance(desk.principal.workspace_id) == -900_000
        assert (await desk.refused(body(fields=',"max_tokens":10')))[0] is FaultKind.KEY_LIMIT

    at_desk(tmp_path, work, limit("day", 1_000_000), credit=0, invoicing=True)


def test_with_the_rule_positive_whatever_is_left_is_enough(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        asked = body(fields=',"max_tokens":1000')
        first = await desk.hold(asked)
        assert first.hold.parts[0].amount == 1_000
        # All of it is held, and none of it is spent.
        second = await desk.hold(asked)
        assert second.hold.parts[0].amount == 0
        await desk.pay(first, 5_000, 5)
        assert (await desk.refused(asked))[0] is FaultKind.INSUFFICIENT_BALANCE
        await desk.pay(second, 700, 5)
        assert await desk.store.balance(desk.principal.workspace_id) == -4_700

    at_desk(tmp_path, work, credit=1_000, rule="positive")


@pytest.mark.fault(77)
def test_the_price_of_the_moment_of_admission_counts(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        now = [Catalog({}, (model(1_000_000),))]
        chooser = Chooser(lambda: BrokenRules(version="none", why="there are none"), lambda: now[0])
        admission = Admission(lambda: now[0], {CHAT.name: CHAT}, desk.budget, chooser)
        voice = types.SimpleNamespace(
            validate=lambda _body: None, format_name=CHAT.name, auto_model=None, splits_choices=False
        )
        desk.calls += 1
        call = types.SimpleNamespace(voice=voice, body=body(), request_id=f"r{desk.calls}")
        admitted = await admission.admit(cast("Any", call), desk.principal)
        now[0] = Catalog({}, (model(9_000_000),))
        assert admitted.resolved.model.price.rates.prompt == 1_000_000
        lines = charge_lines(admitted.resolved.model.price, Usage(input_tokens=7, source="provider"))
        (posted,) = postings(admitted.hold, Spending(lines, 7), 1, "provider")
        assert (posted.amount, posted.price_version) == (7_000, "p1000000")

    at_desk(tmp_path, work)
