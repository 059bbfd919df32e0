"""One timer for all connections."""

import asyncio

from support.door import until
from tollhouse.http.watch import Watch


class _Seen:
    def __init__(self) -> None:
        self.times: list[float] = []

    def check(self, now_s: float) -> None:
        self.times.append(now_s)


def test_the_watch_runs_while_there_are_connections_and_starts_again() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        watch, seen = Watch(0.001), _Seen()
        connections = {seen}
        for _ in range(2):
            watch.start(loop, connections)
            watch.start(loop, connections)
            await until(lambda: len(seen.times) >= 3)
            assert len(seen.times) == len(set(seen.times))
            connections.clear()
            await until(lambda: watch._timer is None)
            seen.times.clear()
            connections.add(seen)

    asyncio.run(story())
