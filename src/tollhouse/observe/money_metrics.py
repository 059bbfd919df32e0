"""Metrics of what operators pay for, or lose, and what keeps the books from being exact."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

DrainOutcome = Literal["ended", "overdue", "refused"]


class MoneyMetrics:
    """Counters and gauges beside those of single calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lost = Counter(
            "tollhouse_lost_calls_total",
            "Calls whose process died; nobody was charged, the provider may have billed them.",
            registry=registry,
        )
        self._overage = Counter(
            "tollhouse_overage_nano_usd_total", "What calls cost beyond their hold.", registry=registry
        )
        self._estimated = Counter(
            "tollhouse_estimated_calls_total",
            "Calls whose tokens were counted here, because their provider reported none that can be true.",
            ("model",),
            registry=registry,
        )
        self._drains = Counter(
            "tollhouse_drains_total",
            "Answers to be read to their end without their caller: ended, overdue, or refused for want of room.",
            ("outcome",),
            registry=registry,
        )
        self._draining = Gauge(
            "tollhouse_drains_in_flight",
            "Answers that are being read without their caller.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._leaked = Counter(
            "tollhouse_leaked_holds_total", "Holds that no settlement ended: faults of ours.", registry=registry
        )
        self._spooled = Gauge(
            "tollhouse_spooled_settlements",
            "Settlements that the books have not taken yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._open_holds = Gauge(
            "tollhouse_open_holds", "Calls held for now.", registry=registry, multiprocess_mode="livesum"
        )

    def estimated(self, model_label: str) -> None:
        """Count a call whose tokens no provider told."""
        self._estimated.labels(model_label).inc()

    def lost(self, calls: int) -> None:
        """Count calls whose process died."""
        self._lost.inc(calls)

    def overage(self, amount_nano_usd: int) -> None:
        """Count what a call cost beyond its hold."""
        self._overage.inc(amount_nano_usd)

    def drain_begins(self) -> None:
        """Count an answer that is read on although its caller left."""
        self._draining.inc()

    def drain_ends(self, outcome: DrainOutcome) -> None:
        """Count how it ended; `refused` did not begin."""
        if outcome != "refused":
            self._draining.dec()
        self._drains.labels(outcome).inc()

    def leaked(self) -> None:
        """Count a hold that had to be ended by the watchdog."""
        self._leaked.inc()

    def spooled(self, settlements: int) -> None:
        """So many settlements wait in the spool."""
        self._spooled.set(settlements)

    def open_holds(self, holds: int) -> None:
        """So many calls are held for."""
        self._open_holds.set(holds)
