"""Four providers behind networks that fail and recover by chance, in a thread of their own; the same seed, the same
weather."""

import asyncio
import random
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from support.fault_proxy import CLEAR, FaultProxy, Weather
from tollhouse.simulator.serve import RunningSimulator, start_simulator

T = TypeVar("T")

PROVIDERS = {"a": "openai_chat", "b": "openai_chat", "c": "openai_responses", "d": "anthropic_messages"}

_WEATHERS = (
    Weather(refuse=True),
    Weather(deaf=True),
    Weather(latency_s=0.05),
    Weather(slice_bytes=7),
    Weather(slice_bytes=1, latency_s=0.0005),
    Weather(bytes_per_s=20_000.0),
    Weather(reset_after=0),
    Weather(reset_after=700),
    Weather(close_after=400),
    Weather(blackhole_after=0),
    Weather(blackhole_after=900),
)


class FlappingProviders:
    """A simulator that speaks every format, reached through a proxy for each of PROVIDERS; `catalogue` names them as
    the deployments of `flaky/*`, and those that can of `vector/*`."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"{seed} weather")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.simulator: RunningSimulator = self._do(start_simulator())
        host, port = self.simulator.url.removeprefix("http://").split(":")
        self.proxies = {name: FaultProxy((host, int(port))) for name in PROVIDERS}
        self._urls = {name: self._do(proxy.start()) for name, proxy in self.proxies.items()}
        self._flapping: asyncio.Task[None] | None = None

    def catalogue(self) -> str:
        """For a RunningGateway, with limits of time that a test can wait for."""
        limits = "timeouts: {connect_s: 1, first_byte_s: 0.8, idle_s: 0.6, total_s: 2.5, stream_s: 4}"
        providers = "".join(
            f"  - {{id: {name}, formats: [{form}{', openai_embeddings' * (form == 'openai_chat')}], "
            f"base_url: '{self._urls[name]}/v1', api_key: key-of-{name}, {limits}}}\n"
            for name, form in PROVIDERS.items()
        )
        deployments = ", ".join(f"{{provider: {name}, model: '*'}}" for name in PROVIDERS)
        model = (
            "{slug: flaky/*, name: Flaky, creator: simulator, max_output_tokens: 1000, context_length: 100000, "
            f"pricing: {{prompt: 1, completion: 10, cached_prompt: 0.1}}, deployments: [{deployments}]}}"
        )
        vectors = (
            "{slug: vector/*, name: Vector, creator: simulator, operations: [embeddings], context_length: 100000, "
            "pricing: {prompt: 1}, deployments: [{provider: a, model: '*'}, {provider: b, model: '*'}]}"
        )
        text = f"extends: default\nproviders:\n{providers}models:\n  - {model}\n  - {vectors}\n"
        return text.replace("{", "{{").replace("}", "}}")

    def begin(self) -> None:
        """From now on the weather changes."""
        self._flapping = self._do(self._begin())

    def calm(self) -> None:
        """From now on it is fine."""
        self._do(self._end())

    @property
    def is_open(self) -> bool:
        """Whether `stop` is still to come."""
        return not self._loop.is_closed()

    def stop(self) -> None:
        """Close every port and every connection."""
        self.calm()
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._flap())

    async def _flap(self) -> None:
        chance = self._chance
        while True:
            if chance.random() < 0.04:
                # All at once, for a moment.
                for proxy in self.proxies.values():
                    proxy.weather = chance.choice(_WEATHERS[:2])
                await asyncio.sleep(chance.uniform(0.1, 0.4))
                for proxy in self.proxies.values():
                    proxy.weather = CLEAR
            proxy = chance.choice(list(self.proxies.values()))
            proxy.weather = CLEAR if chance.random() < 0.5 else chance.choice(_WEATHERS)
            await asyncio.sleep(chance.uniform(0.02, 0.25))

    async def _end(self) -> None:
        flapping, self._flapping = self._flapping, None
        if flapping is not None:
            flapping.cancel()
            await asyncio.gather(flapping, return_exceptions=True)
        for proxy in self.proxies.values():
            proxy.weather = CLEAR

    async def _stop(self) -> None:
        for proxy in self.proxies.values():
            await proxy.stop()
        await self.simulator.stop()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
