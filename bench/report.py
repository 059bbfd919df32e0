"""The report: what was measured beside what is wanted, as a table and as JSON."""

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.decisions import Decided
from bench.loads import LOADS
from bench.measure import Cost

# Wanted of a first version: CPU per call as a multiple of nginx, and the rest in its own unit.
RATIOS = {"a": 10.0, "b": 9.0, "c": 2.6, "d": 3.0}
ADDED_LATENCY_MS = 2.0
IDLE_MB = 100.0
GROWTH_MB = 20.0
START_S = 1.5
DECISION_KB, DECISION_US = 4, 300.0


@dataclass(frozen=True)
class Row:
    """One load through one proxy, a cost for each round, and the ratio of each to nginx in the same round."""

    load: str
    proxy: str
    costs: list[Cost]
    ratios: list[float]

    @property
    def cpu_us(self) -> float:
        return statistics.median(cost.cpu_us for cost in self.costs)

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None


@dataclass
class Report:
    """A whole run; what was not measured is None."""

    seconds: float
    rounds: int
    rows: list[Row] = field(default_factory=list[Row])
    latency_ms: dict[str, float] = field(default_factory=dict[str, float])
    idle_mb: float | None = None
    after_mb: float | None = None
    memory_calls: int = 0
    start_s: float | None = None
    decisions: list[Decided] = field(default_factory=list[Decided])
    settlements: dict[str, float | None] = field(default_factory=dict[str, float | None])

    def add(self, load: str, costs: dict[str, list[Cost]]) -> None:
        """The rows of one load, from the costs of each proxy by round."""
        base = costs.get("nginx")
        for proxy, found in costs.items():
            ratios = [one.cpu_us / other.cpu_us for one, other in zip(found, base, strict=True)] if base else []
            self.rows.append(Row(load, proxy, found, ratios))

    @property
    def growth_mb(self) -> float | None:
        """How much memory the calls took for good, None when that was not looked at."""
        return None if self.idle_mb is None or self.after_mb is None else self.after_mb - self.idle_mb

    def table(self) -> str:
        """For people."""
        lines = [f"{'load':<5}{'through':<22}{'µs CPU/call':>12}{'× nginx':>10}{'wanted':>9}{'calls/s':>10}"]
        lines += [_line(row) for row in self.rows]
        lines.append("")
        lines += [f"{name}: {LOADS[name].title}" for name in dict.fromkeys(row.load for row in self.rows)]
        lines.append("")
        lines += self._other_lines()
        return "\n".join(lines)

    def save(self, folder: Path) -> Path:
        """Write JSON into `folder`, named by the time; the path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / time.strftime("%Y-%m-%dT%H-%M-%S.json", time.gmtime())
        summary = [{"load": r.load, "proxy": r.proxy, "cpu_us": r.cpu_us, "ratio": r.ratio} for r in self.rows]
        machine = {"python": platform.python_version(), "cores": os.cpu_count(), "kernel": platform.release()}
        path.write_text(json.dumps({"machine": machine, "summary": summary, **asdict(self)}, indent=1) + "\n")
        return path

    def _other_lines(self) -> list[str]:
        lines: list[str] = []
        direct = self.latency_ms.get("direct", 0.0)
        for name, median in self.latency_ms.items():
            if name != "direct":
                wanted = f"   wanted ≤ {ADDED_LATENCY_MS} ms" if name.startswith("tollhouse") else ""
                added = f"added median latency at 20 calls/s, {name}"
                lines.append(f"{added:<58}{median - direct:>8.2f} ms{wanted}")
        if self.start_s is not None:
            lines.append(f"{'start to first answered call':<58}{self.start_s:>8.2f} s    wanted ≤ {START_S} s")
        if self.idle_mb is not None:
            lines.append(f"{'resident memory, idle':<58}{self.idle_mb:>8.1f} MB   wanted ≤ {IDLE_MB:.0f} MB")
        growth = self.growth_mb
        if growth is not None:
            label = f"growth since then, after {self.memory_calls:,} calls beside the loads"
            lines.append(f"{label:<58}{growth:>8.1f} MB   wanted ≤ {GROWTH_MB:.0f} MB")
        for one in self.decisions:
            wanted = f"   wanted ≤ {DECISION_US:.0f} µs" if one.size_kb == DECISION_KB else ""
            label = f"routing rules decide on a prompt of {one.size_kb} KB, CPU (p90)"
            lines.append(f"{label:<58}{one.median_us:>8.0f} µs ({one.p90_us:.0f}){wanted}")
        for database, rate in self.settlements.items():
            label = f"durable settlements per second, one process, {database}"
            lines.append(f"{label:<58}{'skipped: not installed' if rate is None else f'{rate:>8,.0f}'}")
        return lines


def missed(report: Report) -> Sequence[str]:
    """What is not as wanted, in words; empty when all that was measured is."""
    found: list[str] = []
    for row in report.rows:
        limit = RATIOS.get(row.load)
        if row.proxy.startswith("tollhouse") and limit and row.ratio and row.ratio > limit:
            found.append(f"load {row.load} through {row.proxy}: {row.ratio:.1f} × nginx instead of {limit}")
    added = [ms - report.latency_ms["direct"] for n, ms in report.latency_ms.items() if n.startswith("tollhouse")]
    if added and max(added) > ADDED_LATENCY_MS:
        found.append(f"{max(added):.2f} ms of latency added instead of {ADDED_LATENCY_MS}")
    if report.idle_mb is not None and report.idle_mb > IDLE_MB:
        found.append(f"{report.idle_mb:.0f} MB idle instead of {IDLE_MB:.0f}")
    growth = report.growth_mb
    if growth is not None and growth > GROWTH_MB:
        found.append(f"memory grew by {growth:.0f} MB instead of {GROWTH_MB:.0f}")
    if report.start_s is not None and report.start_s > START_S:
        found.append(f"{report.start_s:.2f} s to the first answer instead of {START_S}")
    found += [
        f"a routing decision on {one.size_kb} KB took {one.median_us:.0f} µs instead of {DECISION_US:.0f}"
        for one in report.decisions
        if one.size_kb == DECISION_KB and one.median_us > DECISION_US
    ]
    return found


def _line(row: Row) -> str:
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else "–"
    limit = RATIOS.get(row.load) if row.proxy.startswith("tollhouse") else None
    wanted = f"≤ {limit:g}" if limit else ""
    rate = statistics.median(cost.calls_per_s for cost in row.costs)
    return f"{row.load:<5}{row.proxy:<22}{row.cpu_us:>12,.0f}{ratio:>10}{wanted:>9}{rate:>10,.0f}"
