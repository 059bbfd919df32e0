"""A whole gateway on loopback for tests: real sockets, a real store, and a simulator that records what arrives."""

import asyncio
import io
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
import uvloop

from tollhouse.accounts import keys
from tollhouse.accounts.store import NewKey
from tollhouse.observe.record import CallRecord
from tollhouse.server import Gateway
from tollhouse.settings import Settings
from tollhouse.simulator.recorder import Arrival
from tollhouse.simulator.serve import RunningSimulator, start_simulator

T = TypeVar("T")

CATALOG = """
extends: default
providers:
  - id: simulator
    formats: [openai_chat, openai_embeddings, openai_images]
    base_url: '{simulator}/v1'
    api_key: upstream-secret-canary
  - {{id: simulator-diffusion, format: sdapi, base_url: '{simulator}', api_key: upstream-secret-canary}}
"""


# Many tests share a gateway; what one provider did in one of them must not decide the next.
NO_MEMORY = {"breakers": False, "retry_percent": 1000}


class RunningGateway:
    """A gateway in a thread with a loop of its own, so that blocking clients can call it.

    `catalog` is YAML in which `{simulator}` stands for the recording simulator's URL.
    """

    def __init__(
        self, data_dir: Path, catalog: str = CATALOG, environ: Mapping[str, str] | None = None, **settings: Any
    ) -> None:
        self.data_dir = data_dir
        self.log_bytes = io.BytesIO()
        self._catalog = catalog
        self._environ = dict(environ or {})
        self._settings = settings
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.simulator: RunningSimulator = self.do(start_simulator(record=True))
        self.gateway, self.port, self._server, self._serving = self.do(self._start())
        self.url = f"http://127.0.0.1:{self.port}"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the gateway's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def key(self, workspace: str = "tests", usd: int = 5, **more: Any) -> str:
        """A fresh key of a workspace that is made with so much credit when it is new."""
        return self.do(self._make_key(workspace, usd, more))

    def balance(self, workspace: str = "tests") -> int:
        """In nano-USD, as the store has it."""

        async def read() -> int:
            found = await self.gateway.store.workspace(workspace)
            assert found is not None
            return found.balance_nano_usd

        return self.do(read())

    def record(self, request_id: str) -> CallRecord:
        """The record of a call; it is there when the answer has been sent."""
        record = self.do(self.gateway.store.call(request_id))
        assert record is not None, f"no record of {request_id}"
        return record

    def arrivals(self) -> list[Arrival]:
        """What reached the simulator, oldest first."""
        return self.simulator.requests

    def last_body(self) -> dict[str, Any]:
        """The body of the last request that reached the simulator."""
        return json.loads(self.arrivals()[-1].body)

    def eventually(self, check: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Poll until `check` holds; fails when it does not in time."""
        deadline_s = time.monotonic() + timeout_s
        while not check():
            assert time.monotonic() < deadline_s, "it did not come to pass in time"
            time.sleep(0.01)

    def log(self) -> str:
        """All that was logged so far."""
        return self.log_bytes.getvalue().decode()

    def stop(self) -> None:
        """Drain, stop, close."""
        self.do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> tuple[Gateway, int, uvicorn.Server, asyncio.Task[None]]:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        file = self.data_dir / "catalog.yaml"
        file.write_text(self._catalog.format(simulator=self.simulator.url))
        settings = Settings(data_dir=self.data_dir / "data", catalog=file, **{**NO_MEMORY, **self._settings})
        gateway = await Gateway.wire(settings, self._environ, self.log_bytes)  # type: ignore[arg-type]
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        server = uvicorn.Server(gateway.config)
        # The socket listens already: a connection made before the server is up waits for it.
        serving = asyncio.create_task(server.serve([listener]))
        return gateway, listener.getsockname()[1], server, serving

    async def _make_key(self, workspace: str, usd: int, more: dict[str, Any]) -> str:
        store = self.gateway.store
        now_ms = time.time_ns() // 1_000_000
        found = await store.workspace(workspace)
        if found is None:
            found = await store.create_workspace(workspace, now_ms)
            if usd:
                await store.top_up(found.id, usd * 10**9, f"tests:{workspace}", now_ms)
        key = keys.new_key(secrets.token_bytes(32))
        row = {"expires_at_ms": None, "name": "test", **more}
        await store.add_key(
            NewKey(
                id=secrets.token_hex(8),
                workspace_id=found.id,
                digest=keys.digest(key),
                hint=keys.hint(key),
                created_at_ms=now_ms,
                **row,
            )
        )
        return key

    async def _stop(self) -> None:
        self._server.should_exit = True
        await self._serving
        await self.gateway.close()
        await self.simulator.stop()
