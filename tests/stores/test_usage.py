"""Usage out of the roll-ups: whole hours, days and months of any time zone, sums that lose nothing."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.books import new_id, record, settle
from support.stores import KINDS, Stores
from tollhouse.observe.record import CallRecord
from tollhouse.stores.store import Store
from tollhouse.stores.usage import HOUR_MS, UsageFilter, UsageRow

BERLIN, KOLKATA, UTC_BY_NAME = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("UTC")


def at_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# On either side of midnight in Berlin and in UTC, and of the end of summer time on 2026-10-25.
MOMENTS = (
    "2026-10-24T21:59:59.999",
    "2026-10-24T22:00",
    "2026-10-24T23:30",
    "2026-10-25T00:00",
    "2026-10-25T22:59",
    "2026-10-25T23:00",
    "2026-10-31T23:15",
)


@pytest.fixture(scope="module", params=KINDS)
def books(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stores:
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None
    stores = Stores(tmp_path_factory.mktemp("usage"), url)

    async def fill(store: Store) -> None:
        for moment in MOMENTS:
            await settle(store, None, (), record(new_id(), started_at_ms=at_ms(moment)))
        await settle(store, None, (), record(new_id(), model=None, provider=None, started_at_ms=0, status="refused"))

    stores(fill)
    return stores


def usage(stores: Stores, which: UsageFilter, *by: str) -> list[UsageRow]:
    async def read(store: Store) -> list[UsageRow]:
        return await store.usage(which, by)

    return stores(read)


def since(text: str, zone: ZoneInfo | None = None) -> UsageFilter:
    return UsageFilter(since_ms=at_ms(text), zone=zone or UTC)


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        (None, {"2026-10-24": 3, "2026-10-25": 3, "2026-10-31": 1}),
        (UTC_BY_NAME, {"2026-10-24": 3, "2026-10-25": 3, "2026-10-31": 1}),
        (BERLIN, {"2026-10-24": 1, "2026-10-25": 4, "2026-10-26": 1, "2026-11-01": 1}),
        # Its midnight is in the middle of an hour of UTC, which counts for the day in which it begins.
        (KOLKATA, {"2026-10-25": 4, "2026-10-26": 2, "2026-11-01": 1}),
    ],
)
def test_a_day_is_one_of_the_zone(books: Stores, zone: ZoneInfo | None, days: dict[str, int]) -> None:
    rows = usage(books, since("2026-10-01", zone), "day")
    assert {row.group[0]: row.calls for row in rows} == days


def test_hours_and_months(books: Stores) -> None:
    hours = usage(books, since("2026-10-25", BERLIN), "hour", "model")
    assert [row.group for row in hours] == [
        ("2026-10-25T02:00+02:00", "openai/gpt-5"),
        ("2026-10-25T23:00+01:00", "openai/gpt-5"),
        ("2026-10-26T00:00+01:00", "openai/gpt-5"),
        ("2026-11-01T00:00+01:00", "openai/gpt-5"),
    ]
    months = usage(books, since("2026-10-01", BERLIN), "model", "month")
    assert [(row.group[1], row.calls) for row in months] == [("2026-10", 6), ("2026-11", 1)]
    assert usage(books, UsageFilter(), "provider", "month")[0].group == (None, "1970-01")


@pytest.mark.parametrize(
    ("begin", "end", "calls"),
    [
        ("2026-10-24T22:00", "2026-10-24T23:00", 1),
        # Inside of an hour stands for the whole of it, on either side.
        ("2026-10-24T22:30", "2026-10-24T23:01", 2),
        ("2026-10-24T21:59:59", "2026-10-24T22:00", 1),
        ("2026-10-24T22:30", "2026-10-24T22:30", 1),
    ],
)
def test_what_is_asked_for_is_answered_by_whole_hours(books: Stores, begin: str, end: str, calls: int) -> None:
    (row,) = usage(books, UsageFilter(since_ms=at_ms(begin), until_ms=at_ms(end)))
    assert row.calls == calls


@given(since_ms=st.integers(0, 2**44), until_ms=st.integers(0, 2**44))
def test_whole_hours_lose_nothing(since_ms: int, until_ms: int) -> None:
    whole = UsageFilter(since_ms=since_ms, until_ms=until_ms).hours()
    assert whole.since_ms is not None
    assert whole.until_ms is not None
    assert since_ms - HOUR_MS < whole.since_ms <= since_ms
    assert until_ms <= whole.until_ms < until_ms + HOUR_MS
    assert whole.since_ms % HOUR_MS == whole.until_ms % HOUR_MS == 0
    assert whole.hours() == whole


def test_sums_are_those_of_the_records(stores: Stores) -> None:
    """Counted from the records themselves, which nothing but this test does."""
    models, keys = ("a", "b", None), ("k1", "k2")
    records: list[CallRecord] = [
        record(
            new_id(),
            model=models[number % 3],
            key_id=keys[number % 2],
            provider="p" if number % 5 else None,
            status="failed" if number % 7 == 0 else "ok",
            started_at_ms=number * 1_234_567,
            prompt_tokens=number,
            completion_tokens=number * 3,
        )
        for number in range(200)
    ]

    async def fill(store: Store) -> list[UsageRow]:
        for each in records:
            await settle(store, None, (), each)
            await settle(store, None, (), each)  # a replay counts once
        return await store.usage(UsageFilter(), ("model", "key", "provider", "day"))

    rows = stores(fill)
    day = (
        "date(started_at_ms / 1000, 'unixepoch')"
        if stores.url is None
        else "to_char(to_timestamp(started_at_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    )
    told = stores.ask(
        f"SELECT model, key_id, provider, {day}, COUNT(*), SUM(CASE WHEN status <> 'ok' THEN 1 ELSE 0 END), "
        "SUM(prompt_tokens), SUM(cached_tokens), SUM(completion_tokens), SUM(reasoning_tokens), SUM(cost_nano_usd) "
        "FROM request GROUP BY 1, 2, 3, 4"
    )
    found = [
        (
            *row.group,
            row.calls,
            row.failed_calls,
            row.prompt_tokens,
            row.cached_tokens,
            row.completion_tokens,
            row.reasoning_tokens,
            row.cost_nano_usd,
        )
        for row in rows
    ]
    assert sorted(found, key=str) == sorted(told, key=str)
    assert sum(row.calls for row in rows) == 200
