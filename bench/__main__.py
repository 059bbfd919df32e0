"""`python -m bench`: the loads through nginx and Tollhouse in turn, in one run on one machine."""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.client import Target
from bench.decisions import decisions
from bench.loads import LOADS, WrongAnswerError
from bench.measure import Cost, cost, median_latency_ms, memory_mb, repeat, until_answered_s
from bench.processes import cores, free_port, running
from bench.proxies import NGINX_HINT, Proxy, Tollhouse, direct, find_nginx, nginx
from bench.report import Report, missed
from bench.settlements import settlements_per_second

RESULTS = Path(__file__).parent / "results"
_STARTS = 3
# Exit codes beside 0: something does not answer as it should; all does, but nginx was not there to compare with.
_BROKEN = 1
_NO_NGINX = 3


@dataclass(frozen=True)
class Options:
    """What to measure."""

    loads: list[str]
    rounds: int
    seconds: float
    latency_calls: int
    memory_calls: int
    only: str | None


def read_options(arguments: list[str]) -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--loads", default=",".join(LOADS), help=f"of {','.join(LOADS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds over all loads and proxies (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement (default: 3)")
    parser.add_argument("--memory-calls", type=int, default=100_000, help="calls between two looks at memory")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s, 2,000 calls for memory")
    parser.add_argument("--only", choices=("nginx", "tollhouse"), help="measure one of the two")
    read = parser.parse_args(arguments)
    loads = [name for name in read.loads.split(",") if name]
    unknown = [name for name in loads if name not in LOADS]
    if unknown or not loads or read.rounds < 1:
        parser.error(f"--loads takes names of {', '.join(LOADS)}, --rounds at least 1")
    if read.quick:
        return Options(loads, 1, 1.0, 20, 2_000, read.only)
    return Options(loads, read.rounds, read.seconds, 200, read.memory_calls, read.only)


async def measure(options: Options, proxies: list[Proxy], upstream: int) -> Report:
    """The loads, round by round, each through every proxy in turn; then latency and memory."""
    report = Report(seconds=options.seconds, rounds=options.rounds)
    toll = next((proxy for proxy in proxies if proxy.name == "tollhouse hpp"), None)
    if toll is not None:
        report.idle_mb = memory_mb(toll)
    costs: dict[str, dict[str, list[Cost]]] = {name: {p.name: [] for p in proxies} for name in options.loads}
    for number in range(options.rounds):
        for name in options.loads:
            for proxy in proxies:
                _say(f"round {number + 1} of {options.rounds}: load {name} through {proxy.name}")
                costs[name][proxy.name].append(await cost(proxy, LOADS[name], options.seconds))
    for name, found in costs.items():
        report.add(name, found)
    _say("latency")
    load = LOADS["a"]
    asked = [direct(upstream), *proxies]
    medians = await median_latency_ms([proxy.targets["a"] for proxy in asked], load, options.latency_calls)
    report.latency_ms = {proxy.name: median for proxy, median in zip(asked, medians, strict=True)}
    if toll is not None and options.memory_calls:
        _say(f"memory over {options.memory_calls:,} calls")
        report.memory_calls = options.memory_calls
        await repeat(toll, load, options.memory_calls)
        report.after_mb = memory_mb(toll)
    return report


def run(options: Options, folder: Path) -> int:
    """Start everything, measure, print; the exit code."""
    measured_on, rest_on = cores()
    os.sched_setaffinity(0, rest_on)
    upstream = free_port()
    found = find_nginx() if options.only != "tollhouse" else None
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "bench.upstream", str(upstream)]
        stack.enter_context(running(command, rest_on, os.environ, folder / "upstream.log"))
        _await(direct(upstream).targets["a"])
        proxies: list[Proxy] = []
        if found is not None:
            proxies.append(stack.enter_context(nginx(found, folder, upstream, measured_on)))
            _await(proxies[0].targets["a"])
        start_s: float | None = None
        if options.only != "nginx":
            installation = Tollhouse(folder, upstream)
            start_s = statistics.median(_start_s(installation, measured_on) for _ in range(_STARTS))
            surfaces = stack.enter_context(installation.serve(measured_on))
            _await(surfaces["hpp"].targets["a"])
            proxies += surfaces.values()
        report = uvloop.run(measure(options, proxies, upstream))
        if options.only != "nginx":
            _say("routing decisions")
            report.decisions = decisions()
    report.start_s = start_s
    if options.only != "nginx":
        _say("settlements")
        report.settlements = settlements_per_second(folder, options.seconds)
    _say("")
    sys.stdout.write(report.table() + "\n\n")
    sys.stdout.writelines(f"Not as wanted: {line}.\n" for line in missed(report))
    sys.stdout.write(f"All figures: {report.save(RESULTS)}\n")
    if found is None and options.only is None:
        sys.stdout.write(f"Without ratios: {NGINX_HINT}.\n")
        return _NO_NGINX
    return 0


def main() -> int:
    """Run with the command line's options; the exit code."""
    options = read_options(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as name:
        folder = Path(name)
        try:
            return run(options, folder)
        except (WrongAnswerError, RuntimeError, OSError) as error:
            sys.stderr.write(f"\nThe bench stopped: {error}\n")
            for log in ("tollhouse.log", "nginx-error.log", "upstream.log"):
                with contextlib.suppress(OSError):
                    tail = (folder / log).read_text(errors="replace")[-2000:]
                    sys.stderr.write(f"--- end of {log}\n{tail}\n" if tail else "")
            return _BROKEN


def _await(target: Target) -> float:
    return uvloop.run(until_answered_s(target, LOADS["a"], time.perf_counter()))


def _start_s(installation: Tollhouse, on: set[int]) -> float:
    begun = time.perf_counter()
    with installation.serve(on) as surfaces:
        return uvloop.run(until_answered_s(surfaces["hpp"].targets["a"], LOADS["a"], begun))


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
