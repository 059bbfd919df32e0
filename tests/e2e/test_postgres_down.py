"""What works when PostgreSQL is down: each test is a row of the table in docs/money.md."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.callers import HPP, HYPERINFER, VOLTAGE, Face, Reply, ask, chat
from support.gateway import RunningGateway
from support.postgres import PostgresServer
from support.postgres_books import assert_postgres_balances
from tollhouse.settings import DatabaseUrl

CATALOG = """
extends: default
providers:
  - {{id: simulator, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: priced/*
    name: Priced
    creator: simulator
    pricing: {{prompt: 1, completion: 10}}
    deployments: [{{provider: simulator, model: '*'}}]
"""
MODEL = "priced/script/text=2/usage=10:2"
COST_NANO_USD = 10 * 1_000 + 2 * 10_000


class Site:
    """A gateway, its key and its database."""

    def __init__(self, gateway: RunningGateway, server: PostgresServer, url: str) -> None:
        self.gateway = gateway
        self.server = server
        self.url = url
        self.key = gateway.key("acme", usd=100)
        # Keep what is leased from going back as idle in the middle of a test.
        self.gateway.do(self._stop_idle())

    async def _stop_idle(self) -> None:
        for task in self.gateway.gateway.money.upkeep._tasks:
            if "nobody uses" in task.get_name():
                task.cancel()

    def call(self, **fields: Any) -> Reply:
        return chat(self.gateway, HYPERINFER, self.key, MODEL, max_tokens=20, **fields)

    def warm(self) -> int:
        """Calls that make the lease grow, so that there is room on it; how many."""
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: self.call(), range(40)))
        assert {reply.status for reply in replies} == {200}
        return len(replies)

    def readiness(self) -> tuple[int, dict[str, Any]]:
        reply = ask(self.gateway, "GET", "/readyz")
        return reply.status, json.loads(reply.body)["checks"]

    def is_down(self) -> bool:
        return self.readiness() == (503, {"redis": "ok", "postgres": "down"})

    def is_up(self) -> bool:
        return self.readiness() == (200, {"redis": "ok", "postgres": "ok"})

    def spooled(self) -> int:
        return len(self.gateway.gateway.money.settling._spooled)

    def assert_charged(self, calls: int) -> None:
        """Each of so many answered calls is in the books, once."""
        self.gateway.eventually(lambda: self.spooled() == 0)
        charged = self.server.ask(self.url, "SELECT count(*), sum(amount)::bigint FROM transfer WHERE code = 'model'")
        assert charged == [(calls, calls * COST_NANO_USD)]
        assert self.server.ask(self.url, "SELECT sum(calls)::bigint FROM rollup WHERE cost_nano_usd > 0") == [(calls,)]
        assert_postgres_balances(self.url)


@pytest.fixture
def site(own_postgres: PostgresServer, tmp_path: Path) -> Iterator[Site]:
    url = own_postgres.new_database()
    running = RunningGateway(tmp_path / "gateway", catalog=CATALOG, database_url=DatabaseUrl(url))
    made = Site(running, own_postgres, url)
    yield made
    # The gateway ends after this: what it leaves has to find a database.
    if made.server.running():
        made.server.thaw()
    else:
        made.server.start()
    made.gateway.eventually(made.is_up)
    made.gateway.stop()


@pytest.mark.fault(71)
@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_calls_of_known_keys_go_on_inside_of_what_is_leased(site: Site, how: str) -> None:
    calls = site.warm()
    (site.server.stop if how == "stopped" else site.server.freeze)()
    site.gateway.eventually(site.is_down)
    with ThreadPoolExecutor(5) as pool:
        replies = list(pool.map(lambda number: site.call(stream=bool(number % 2)), range(5)))
    assert [reply.status for reply in replies] == [200] * 5
    assert site.spooled() == 5
    assert list((site.gateway.data_dir / "data" / "spool").iterdir())
    (site.server.start if how == "stopped" else site.server.thaw)()
    site.gateway.eventually(site.is_up)
    site.assert_charged(calls + 5)


@pytest.mark.fault(71)
@pytest.mark.parametrize(("face", "status"), [(HPP, 503), (HYPERINFER, 500), (VOLTAGE, 500)], ids=str)
def test_what_needs_the_books_is_refused_until_they_are_back(site: Site, face: Face, status: int) -> None:
    calls = site.warm()
    unseen = site.gateway.key("other")
    site.server.stop()
    site.gateway.eventually(site.is_down)
    begun_s = time.monotonic()
    # More than is leased; a key that has not been seen lately.
    for reply in (
        chat(site.gateway, face, site.key, MODEL, max_tokens=900_000),
        chat(site.gateway, face, unseen, MODEL, max_tokens=20),
    ):
        assert reply.status == status, reply.body
        assert int(reply.headers["retry-after"]) >= 1
        assert b"nothing was spent" in reply.body
    assert time.monotonic() - begun_s < 5
    for path in (face.models, "/healthz"):
        assert ask(site.gateway, "GET", path, face.auth(site.key)).status == 200
    site.server.start()
    site.gateway.eventually(site.is_up)
    assert chat(site.gateway, face, unseen, MODEL, max_tokens=20).status == 200
    site.assert_charged(calls + 1)


@pytest.mark.fault(71)
def test_nothing_is_admitted_once_the_leases_have_ended(site: Site) -> None:
    site.warm()
    site.server.stop()
    site.gateway.eventually(site.is_down)

    async def age() -> None:
        # As 30 s later: all leases of this process are over, by its own clock.
        for lease in site.gateway.gateway.money.ledger.leases._slices.values():
            lease.expires_s = 0.0

    site.gateway.do(age())
    reply = site.call()
    assert reply.status == 500
    assert b"nothing was spent" in reply.body
    site.server.start()
    site.gateway.eventually(site.is_up)
    assert site.call().status == 200


@pytest.mark.fault(71)
def test_when_the_spool_fails_too_nothing_more_is_admitted_and_the_log_has_the_charge(site: Site) -> None:
    calls = site.warm()
    site.server.stop()
    site.gateway.eventually(site.is_down)
    spool = site.gateway.data_dir / "data" / "spool"
    spool.write_text("a file where the folder should be")
    assert site.call().status == 500
    (told,) = [json.loads(line) for line in site.gateway.log().splitlines() if '"level":"critical"' in line]
    assert sum(transfer["amount"] for transfer in json.loads(told["entry"])["transfers"]) == COST_NANO_USD
    arrived = len(site.gateway.arrivals())
    assert site.call().status == 500
    assert len(site.gateway.arrivals()) == arrived
    spool.unlink()
    site.server.start()
    site.gateway.eventually(site.is_up)
    site.gateway.eventually(lambda: site.gateway.gateway.money.settling.fault is None)
    assert site.call().status == 200
    site.assert_charged(calls + 1)


@pytest.mark.fault(71)
@pytest.mark.parametrize("how", ["restarted", "crashed", "frozen a while"])
def test_under_load_every_answered_call_is_charged_once(site: Site, how: str) -> None:
    calls = site.warm()
    ending = False

    def load(number: int) -> list[int]:
        statuses: list[int] = []
        while not ending:
            statuses.append(site.call(stream=bool(number % 2)).status)
        return statuses

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(load, number) for number in range(8)]
        if how == "frozen a while":
            site.server.freeze()
            site.gateway.eventually(site.is_down)
            site.server.thaw()
        else:
            site.server.stop("fast" if how == "restarted" else "immediate")
            site.gateway.eventually(site.is_down)
            site.server.start()
        site.gateway.eventually(site.is_up)
        time_to_end_s = time.monotonic() + 1
        site.gateway.eventually(lambda: time.monotonic() > time_to_end_s)
        ending = True
        statuses = [status for one in running for status in one.result()]
    assert set(statuses) <= {200, 500}
    assert statuses.count(200) > 8
    site.assert_charged(calls + statuses.count(200))
    assert site.call().status == 200


@pytest.mark.fault(71)
def test_no_charge_is_lost_when_the_gateway_ends_while_the_database_is_down(site: Site) -> None:
    calls = site.warm()
    site.server.stop()
    site.gateway.eventually(site.is_down)
    assert site.call().status == 200
    first = site.gateway
    first.stop()
    site.server.start()
    site.gateway = RunningGateway(first.data_dir, catalog=CATALOG, database_url=DatabaseUrl(site.url))
    assert "taken over from the spool" in site.gateway.log()
    site.assert_charged(calls + 1)
    assert site.call().status == 200
