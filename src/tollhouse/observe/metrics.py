"""Metrics: counters for Prometheus whose labels come from the catalogue and closed lists, never from a caller."""

import os

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from tollhouse.observe.money_metrics import MoneyMetrics
from tollhouse.observe.provider_metrics import ProviderMetrics
from tollhouse.observe.record import CallRecord

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class _Children(msgspec.Struct, frozen=True):
    """What calls that ended alike are counted in; looking them up by their labels costs more than counting."""

    calls: Counter
    tokens_in: Counter
    tokens_out: Counter
    cost: Counter
    seconds: Histogram
    first_byte: Histogram


class Metrics(MoneyMetrics):
    """The process's metrics; several workers of one gateway add theirs up through a shared folder."""

    content_type = b"text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        super().__init__(self._registry)
        self._calls = Counter(
            "tollhouse_calls_total",
            "Calls by how they ended.",
            ("dialect", "model", "status", "error"),
            registry=self._registry,
        )
        self._tokens = Counter(
            "tollhouse_tokens_total", "Tokens that were charged.", ("model", "direction"), registry=self._registry
        )
        self._cost = Counter(
            "tollhouse_cost_nano_usd_total", "What callers were charged.", ("model",), registry=self._registry
        )
        self._refused = Counter(
            "tollhouse_refused_total",
            "Requests refused before they became calls.",
            ("dialect", "error"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "tollhouse_call_seconds", "Duration of calls.", ("dialect",), buckets=_SECONDS, registry=self._registry
        )
        self._first_byte = Histogram(
            "tollhouse_first_byte_seconds",
            "Time to the first byte of a stream.",
            ("dialect",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "tollhouse_calls_in_flight",
            "Calls being answered now.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._running = 0
        # Other processes see what is written down at each change; alone it is enough to say it when asked.
        self._shared = bool(os.environ.get(MULTIPROCESS_VARIABLE))
        if not self._shared:
            self._in_flight.set_function(lambda: self._running)
        self.providers = ProviderMetrics(self._registry)
        self._children: dict[tuple[str, ...], _Children] = {}

    def call(self, record: CallRecord, model_label: str) -> None:
        """Count one ended call; `model_label` is a slug or a wildcard's pattern."""
        key = (record.dialect, model_label, record.status, record.error_code or "")
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = self._children_of(key)
        children.calls.inc()
        if record.cost_nano_usd or record.completion_tokens:
            children.tokens_in.inc(record.prompt_tokens)
            children.tokens_out.inc(record.completion_tokens)
            children.cost.inc(record.cost_nano_usd)
        if record.usage_source == "estimated":
            self.estimated(model_label)
        for attempt in record.attempts:
            self.providers.attempt(attempt.provider, attempt.outcome)
        children.seconds.observe((record.finished_at_ms - record.started_at_ms) / 1000)
        if record.first_byte_ms is not None:
            children.first_byte.observe(record.first_byte_ms / 1000)

    def _children_of(self, key: tuple[str, str, str, str]) -> "_Children":
        dialect, model_label, _, _ = key
        return _Children(
            calls=self._calls.labels(*key),
            tokens_in=self._tokens.labels(model_label, "in"),
            tokens_out=self._tokens.labels(model_label, "out"),
            cost=self._cost.labels(model_label),
            seconds=self._seconds.labels(dialect),
            first_byte=self._first_byte.labels(dialect),
        )

    def refused(self, dialect: str, error: str) -> None:
        """Count one request that was refused before it became a call."""
        self._refused.labels(dialect, error).inc()

    def in_flight(self, change: int) -> None:
        """One call more (1) or fewer (-1) is being answered."""
        self._running += change
        if self._shared:
            self._in_flight.set(self._running)

    def render(self) -> bytes:
        """The page that Prometheus scrapes."""
        if os.environ.get(MULTIPROCESS_VARIABLE):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
            return generate_latest(registry)
        return generate_latest(self._registry)


def forget_process(pid: int) -> None:
    """A worker has ended: what it was doing at the end is no longer being done, what it has done still counts."""
    multiprocess.mark_process_dead(pid)  # pyright: ignore[reportUnknownMemberType] -- it has no annotations
