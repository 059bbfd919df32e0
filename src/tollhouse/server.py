"""The composition root: wires all parts into a gateway, and runs it until it is told to stop."""

import asyncio
import contextlib
import errno
import functools
import gc
import importlib
import os
import random
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import uvicorn
import uvloop

from tollhouse.accounts.change import Change
from tollhouse.accounts.quotas import Plan
from tollhouse.accounts.standings import Standings
from tollhouse.catalog.entries import Catalog
from tollhouse.catalog.load import load_catalog, summarise_left_out
from tollhouse.dialects.hpp_router.surface import HppRouter
from tollhouse.dialects.hyperinfer.surface import HyperInfer
from tollhouse.dialects.voltagegpu.surface import VoltageGpu
from tollhouse.http.app import DoorApp
from tollhouse.http.cors import Cors
from tollhouse.http.door import Door, Readiness
from tollhouse.http.listening import listen, raise_file_limit
from tollhouse.http.serving import server_config
from tollhouse.http.workers import Workers, end_with_parent
from tollhouse.ir.fault import FaultError
from tollhouse.limits_of_settings import attempt_limits, health_rules, http_limits
from tollhouse.money.ledger import Ledger
from tollhouse.observe.logs import Log, Redaction
from tollhouse.observe.metrics import MULTIPROCESS_VARIABLE, Metrics, forget_process
from tollhouse.relay.admission import Admission, Authenticator
from tollhouse.relay.alerts import Alerts
from tollhouse.relay.attempts import Attempts, Notices
from tollhouse.relay.budget import Budget
from tollhouse.relay.closing import Closing
from tollhouse.relay.counting import Counting
from tollhouse.relay.departure import Drains
from tollhouse.relay.generations import Generations
from tollhouse.relay.offer import Offer, RulesSource
from tollhouse.relay.pictures import SWEEP_S as PICTURES_SWEEP_S
from tollhouse.relay.pictures import Pictures
from tollhouse.relay.relay import Pace, Relay
from tollhouse.relay.retention import Retention
from tollhouse.relay.settling import Settling
from tollhouse.relay.stages import Surroundings
from tollhouse.relay.upkeep import Chore, MoneyUpkeep, Upkeep
from tollhouse.relay.way_out import EVERY_FORMAT
from tollhouse.routing.health import Health
from tollhouse.settings import Settings, SettingsError
from tollhouse.simulator.serve import RunningSimulator, start_simulator
from tollhouse.stores.spool import FileSpool
from tollhouse.stores.sqlite import SqliteStore
from tollhouse.stores.store import Store
from tollhouse.upstream.client import HttpUpstream
from tollhouse.upstream.guard import Guard
from tollhouse.wire.registry import CALLER_FORMATS, OPERATIONS

# After the drain limit the calls that still run are cut off; this long they may take to settle what they received.
_SETTLE_S = 5.0
_RETENTION_EVERY_S = 60.0
# A call makes no cycles that matter: look for them rarely (Python's 700 costs some 5 % of a call).
_GC_YOUNG = 20_000


async def open_store(settings: Settings, *, create: bool = True) -> Store:
    """The store that the settings name: SQLite in the data folder, which `create` makes where it is missing, or
    PostgreSQL. Raises FaultError (books_unavailable), SettingsError."""
    if settings.database_url is None:
        return SqliteStore.open(settings.data_dir, create=create)
    try:
        # Loaded by name: an installation that does without it need not have its driver.
        module = importlib.import_module("tollhouse.stores.postgres")
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise SettingsError("database_url needs PostgreSQL's driver: pip install 'tollhouse[postgres]'.") from error
    opener = cast("Callable[[str, bool, Path], Awaitable[Store]]", module.open_postgres)
    return await opener(settings.database_url.reveal(), settings.database_pooled, settings.data_dir)


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a gateway that spend, settle and look after the books."""

    ledger: Ledger
    settling: Settling
    closing: Closing
    metrics: Metrics
    upkeep: Upkeep

    @classmethod
    async def open(cls, settings: Settings, store: Store, log: Log) -> "Money":
        """Become an owner of leases, and take over what the last one has left. Raises FaultError."""
        owner = f"{socket.gethostname()}#{secrets.token_hex(8)}"
        metrics = Metrics()

        def blocked() -> FaultError | None:
            return settling.fault or store.blocked()

        ledger = Ledger(store.ledger, owner, time.monotonic, blocked)
        spool = FileSpool(settings.data_dir, owner, store.ledger.owners.is_gone)
        settling = Settling(store, ledger, spool, metrics, log, waits=settings.settle == "durable")
        closing = Closing(settling, metrics, log, time.monotonic)
        duties = MoneyUpkeep(store.ledger, ledger, closing, settling, metrics)
        await duties.begin()
        chores = duties.chores()
        if settings.retention_days:
            retention = Retention(store, settings.retention_days, _now_ms)
            chores = (*chores, Chore("delete old call records", _RETENTION_EVERY_S, retention.forget))
        upkeep = Upkeep(chores, log)
        upkeep.start()
        return cls(ledger=ledger, settling=settling, closing=closing, metrics=metrics, upkeep=upkeep)

    async def close(self, log: Log) -> None:
        """Settle what is being settled, and give all leases back."""
        await self.upkeep.stop()
        await self.settling.close()
        try:
            await self.ledger.close()
        except FaultError as error:
            log.warning("leases could not be given back; the next start does it", why=error.fault.detail)


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A wired gateway, ready to be served by uvicorn under `config`."""

    app: DoorApp
    config: uvicorn.Config
    store: Store
    money: Money
    catalog: Catalog
    upstream: HttpUpstream
    offer: Offer
    sweeping: Upkeep
    simulator: RunningSimulator | None
    log: Log

    @classmethod
    async def wire(cls, settings: Settings, environ: Mapping[str, str], log_to: BinaryIO | None = None) -> "Gateway":
        """Open the store, load the catalogue, start the simulator when a model needs it, and join all parts.

        Raises FaultError (books_unavailable) or CatalogError; nothing stays open then.
        """
        async with contextlib.AsyncExitStack() as undo:
            store = await open_store(settings)
            undo.push_async_callback(store.close)
            simulator = await start_simulator()
            undo.push_async_callback(simulator.stop)
            loaded = load_catalog(settings.catalog, environ, OPERATIONS, simulator.url if settings.demo else None)
            log = Log(
                settings.log_level,
                Redaction([*_secrets(loaded.catalog), *settings.secrets()]),
                log_to,
                settings.key_prefix,
            )
            log.adopt()
            left_out = summarise_left_out(loaded.left_out)
            if left_out:
                log.info(left_out)
            for warning in loaded.warnings:
                log.warning(warning)
            in_use = any(p.base_url.startswith(simulator.url) for p in loaded.catalog.providers.values())
            if not in_use:
                await simulator.stop()
            await _take_over_plans(store, loaded.catalog, log)
            upstream = HttpUpstream()
            undo.push_async_callback(upstream.close)
            money = await Money.open(settings, store, log)
            undo.push_async_callback(money.close, log)
            source = RulesSource(store.rules, settings.routing_rules, settings.demo)
            offer = await Offer.open(loaded.catalog, source, log)
            undo.push_async_callback(offer.close)
            pictures = Pictures(store.pictures(settings.max_pictures_bytes), Guard(), _now_ms, log)
            await pictures.sweep()
            sweeping = Upkeep((Chore("delete expired pictures", PICTURES_SWEEP_S, pictures.sweep),), log)
            sweeping.start()
            undo.push_async_callback(sweeping.stop)
            parts = _Parts(store=store, money=money, offer=offer, upstream=upstream, pictures=pictures, log=log)
            app = _join(settings, parts)
            config = server_config(app, http_limits(settings))
            # uvicorn takes whole seconds; a fraction would be rounded down to none.
            config.timeout_graceful_shutdown = max(1, round(settings.drain_s))
            undo.pop_all()
        return cls(
            app=app,
            config=config,
            store=store,
            money=money,
            catalog=loaded.catalog,
            upstream=upstream,
            offer=offer,
            sweeping=sweeping,
            simulator=simulator if in_use else None,
            log=log,
        )

    async def close(self) -> None:
        """Close what `wire` opened; everything settled is on disk afterwards, and no lease is left."""
        await self.sweeping.stop()
        await self.offer.close()
        await self.upstream.close()
        await self.money.close(self.log)
        if self.simulator is not None:
            await self.simulator.stop()
        await self.store.close()


class _Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway's calls share."""

    store: Store
    money: Money
    offer: Offer
    upstream: HttpUpstream
    pictures: Pictures
    log: Log


def _join(settings: Settings, parts: _Parts) -> DoorApp:
    store, money, offer, upstream, log = parts.store, parts.money, parts.offer, parts.upstream, parts.log
    clock_s = time.monotonic

    def snapshot() -> Catalog:
        return offer.catalog

    async def readiness() -> Readiness:
        # There is no second store for limits yet: they are kept in this process and are always there.
        return Readiness(books_ok=store.ready(), limits_ok=True)

    authenticator = Authenticator(store, clock_s, _now_ms)
    standings = Standings(store.quotas, store.blocked, clock_s)

    async def changed(accounts: tuple[str, ...]) -> None:
        authenticator.forget()
        standings.forget()
        # The change is made; where this fails, the recall that stands in the books is answered later.
        with contextlib.suppress(FaultError):
            await money.ledger.give_back(accounts)

    store.quotas.on_change(changed)
    admission = Admission(snapshot, CALLER_FORMATS, Budget(money.ledger, _now_ms, settings.admission), offer.chooser)
    health = Health(health_rules(settings), Alerts(money.metrics.providers, log))
    around = Surroundings(health=health, clock_s=clock_s, chance=random.random)
    attempts = Attempts(
        upstream,
        attempt_limits(settings),
        around,
        Notices(money.metrics.providers.retry_denied, lambda: datetime.now(UTC)),
        parts.pictures,
    )
    drains = Drains(settings.abandoned_calls, settings.abandoned_call_s, money.metrics)
    pace = Pace(clock_s=clock_s, comment_after_s=settings.stream_comment_s)
    relay = Relay(admission, attempts, money.closing, drains, log, pace)
    door = Door(
        dialects=(
            HppRouter(strict_schema=settings.strict_schema),
            HyperInfer(strict_schema=settings.strict_schema),
            VoltageGpu(strict_schema=settings.strict_schema),
        ),
        authenticate=authenticator.authenticate,
        handle=relay.handle,
        catalog=snapshot,
        readiness=readiness,
        count_tokens=Counting(admission, upstream, EVERY_FORMAT.chat, around).count,
        generation=Generations(store).find,
        standing=standings.of,
        picture=parts.pictures.find,
        public_url=settings.public_url,
        metrics=money.metrics.render,
        refused=money.metrics.refused,
        limits=http_limits(settings),
        cors=Cors(origins=settings.cors_origins) if settings.cors_origins else None,
        trusted_proxies=settings.trusted_proxies,
        hosts=settings.hosts,
    )
    return DoorApp(door)


async def _take_over_plans(store: Store, catalog: Catalog, log: Log) -> None:
    """Make the catalogue's plans those of the books. Raises FaultError."""
    plans = [Plan(name=plan.name, period=plan.period, tokens=plan.tokens) for plan in catalog.plans]
    change = Change(at_ms=_now_ms(), actor="gateway", note="the catalogue that it was started with")
    for plan in await store.quotas.sync_plans(plans, change):
        log.warning(
            "somebody is on a plan that the catalogue does not have any more; it stays as it was: put it back, or move "
            "them with `tollhouse workspaces plan` and `tollhouse keys plan`",
            plan=plan.name,
            tokens=plan.tokens,
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _secrets(catalog: Catalog) -> list[str]:
    providers = catalog.providers.values()
    keys = [key for provider in providers for key in provider.keys if key]
    return keys + [value for provider in providers for _, value in provider.headers]


class _Server(uvicorn.Server):
    """uvicorn's server, which on a signal drains, settles and returns instead of dying of the signal."""

    def __init__(self, gateway: Gateway, announce: Callable[[], None] | None) -> None:
        super().__init__(gateway.config)
        self._gateway = gateway
        self._announce = announce

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """uvicorn would raise the signal again after the drain, and the exit code would tell of a crash."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self._announce is not None:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running calls end within the drain limit, cut the rest off, and wait until all are settled."""
        self._gateway.app.drain()
        await super().shutdown(sockets)
        tasks = set(self.server_state.tasks)
        if self.force_exit:
            # A second SIGINT: uvicorn leaves the calls running, and they could not settle once the books are closed.
            for task in tasks:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_SETTLE_S)


async def serve(settings: Settings, listener: socket.socket, announce: Callable[[], None] | None = None) -> None:
    """Wire a gateway and serve it on `listener` until SIGTERM or SIGINT."""
    gateway = await Gateway.wire(settings, os.environ)
    end_with_parent(asyncio.get_running_loop())
    try:
        # What stands now stays; a collection need not walk through it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_YOUNG, 20, 50)
        await _Server(gateway, announce).serve([listener])
    finally:
        await gateway.close()


def run(settings: Settings, announce: Callable[[str], None] | None = None) -> int:
    """Serve until told to stop; the exit code: 0 after a clean drain, 1 when the start fails.

    `announce` is called with the gateway's URL once it listens. Raises what `Gateway.wire` raises.
    """
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is in use by another program" if taken else f"cannot be listened on ({error.strerror})"
        choose = "Choose another with --port or TOLLHOUSE_PORT, or another address with --host or TOLLHOUSE_HOST"
        sys.stderr.write(f"tollhouse: {settings.host}:{settings.port} {why}. {choose}.\n")
        return 1
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    raise_file_limit()
    with listener:
        if settings.workers == 1:
            say = None if announce is None else functools.partial(announce, url)
            uvloop.run(serve(settings, listener, say))
            return 0
        if announce is not None:
            announce(url)
        with tempfile.TemporaryDirectory(prefix="tollhouse-metrics-") as folder:
            os.environ[MULTIPROCESS_VARIABLE] = folder
            return Workers(settings.workers, functools.partial(_work, settings), listener, forget_process).run()


def _work(settings: Settings, listener: socket.socket) -> None:
    """What one of several worker processes runs."""
    uvloop.run(serve(settings, listener))
