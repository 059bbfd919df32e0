"""Measures: CPU time per call under load, latency of calls far apart, memory, and the time to the first answer."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import Connection, Tally, Target, call_once, connect
from bench.loads import CHUNKS, Load, WrongAnswerError
from bench.processes import cpu_s, resident_mb
from bench.proxies import Proxy

CONNECTIONS = 32
_WARM_UP_S = 0.5
_CALLS_PER_S = 20
_RETRY_S = 0.005
_UP_S = 30
_END_S = 30


@dataclass(frozen=True)
class Cost:
    """One window of one load: CPU microseconds per call of the proxy's process tree, and calls per second."""

    cpu_us: float
    calls_per_s: float


async def cost(proxy: Proxy, load: Load, window_s: float) -> Cost:
    """Ask on CONNECTIONS connections at once for `window_s`, after a warm-up. Raises WrongAnswerError, OSError."""
    tally = Tally(load)
    connections = [await connect(proxy.targets[load.name], tally) for _ in range(CONNECTIONS)]
    asking = [connection.ask(again=True) for connection in connections]
    try:
        await _run(asking, _warm_up_s(load))
        calls, cpu, begun = tally.calls, cpu_s(proxy.pid), time.perf_counter()
        await _run(asking, window_s)
        calls, cpu, passed = tally.calls - calls, cpu_s(proxy.pid) - cpu, time.perf_counter() - begun
        tally.stopping = True
        await _run(asking, _END_S)
    finally:
        _close(connections, asking)
    if not calls:
        raise WrongAnswerError(f"load {load.name}: {proxy.name} answered nothing in {window_s} s")
    return Cost(cpu_us=cpu / calls * 1e6, calls_per_s=calls / passed)


async def repeat(proxy: Proxy, load: Load, calls: int) -> None:
    """At least `calls` calls, as fast as they go."""
    tally = Tally(load)
    connections = [await connect(proxy.targets[load.name], tally) for _ in range(CONNECTIONS)]
    asking = [connection.ask(again=True) for connection in connections]
    try:
        while tally.answers < calls:
            await _run(asking, _RETRY_S * 10)
        tally.stopping = True
        await _run(asking, _END_S)
    finally:
        _close(connections, asking)


async def median_latency_ms(targets: Sequence[Target], load: Load, calls: int) -> list[float]:
    """Of each target the median of `calls` calls, 20 a second, in turn with the others."""
    tallies = [Tally(load) for _ in targets]
    connections = [await connect(target, tally) for target, tally in zip(targets, tallies, strict=True)]
    loop = asyncio.get_running_loop()
    begun = loop.time()
    spacing_s = 1 / _CALLS_PER_S / len(targets)
    for number in range((calls + 5) * len(targets)):
        await asyncio.sleep(max(0.0, begun + number * spacing_s - loop.time()))
        await connections[number % len(targets)].ask(again=False)
    for connection in connections:
        connection.close()
    return [statistics.median(tally.latencies[5:]) * 1000 for tally in tallies]


async def until_answered_s(target: Target, load: Load, begun: float) -> float:
    """Seconds from `begun` (time.perf_counter) to the first answered call. Raises TimeoutError after 30 s."""
    while True:
        try:
            await call_once(target, load)
        except OSError as error:
            if time.perf_counter() - begun > _UP_S:
                raise TimeoutError(f"{target.name} did not answer within {_UP_S} s: {error}") from error
            await asyncio.sleep(_RETRY_S)
        else:
            return time.perf_counter() - begun


def memory_mb(proxy: Proxy) -> float:
    """Resident memory of the proxy's process tree."""
    return resident_mb(proxy.pid)


def _warm_up_s(load: Load) -> float:
    return _WARM_UP_S + load.pace_s * CHUNKS


async def _run(asking: Sequence[asyncio.Future[None]], for_s: float) -> None:
    """Wait for `for_s`, or until all are idle; an error of any ends it at once."""
    done, _ = await asyncio.wait(asking, timeout=for_s, return_when=asyncio.FIRST_EXCEPTION)
    for future in done:
        future.result()


def _close(connections: Sequence[Connection], asking: Sequence[asyncio.Future[None]]) -> None:
    for connection in connections:
        connection.close()
    for future in asking:
        if future.done():
            with contextlib.suppress(asyncio.CancelledError):
                future.exception()
        else:
            future.cancel()
