"""Two thousand streams open at once on one worker: all are served to their end, and none takes much memory."""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.books import ask
from support.process import GatewayProcess
from tollhouse.simulator.serve import start_simulator

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

STREAMS = 2_000
WARM_UP = 300
MOST_BYTES_EACH = {"same": 30 * 1024, "translated": 40 * 1024}
EVENTS, EVERY_S = 20, 2
FORMATS = {"same": "openai_chat", "translated": "anthropic_messages"}


def catalogue(url: str) -> str:
    providers = "".join(
        f"  - {{id: {name}, format: {form}, base_url: '{url}/v1', api_key: none}}\n" for name, form in FORMATS.items()
    )
    models = "".join(
        f"  - {{slug: {name}/*, creator: simulator, pricing: {{prompt: 1, completion: 1}}, max_output_tokens: 100, "
        f"context_length: 1000, deployments: [{{provider: {name}, model: '*'}}]}}\n"
        for name in FORMATS
    )
    return f"extends: default\nproviders:\n{providers}models:\n{models}"


def add_credit(data_dir: Path) -> None:
    add = ("credits", "add", "demo", "1000", "--data-dir", str(data_dir))
    subprocess.run([sys.executable, "-m", "tollhouse", *add], check=True, capture_output=True)


class Site:
    """A gateway in a process of its own, before a simulator in this one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def measure(self, route: str) -> int:
        """Bytes of memory for each of STREAMS open streams, all of which have to come to their end."""
        simulator = await start_simulator()
        file = self._folder / "catalog.yaml"
        file.write_text(catalogue(simulator.url))
        environ = {"TOLLHOUSE_LOG_LEVEL": "warning", "TOLLHOUSE_CATALOG": str(file)}
        process = await asyncio.to_thread(GatewayProcess, self._folder / "data", environ=environ)
        try:
            await asyncio.to_thread(add_credit, process.data_dir)
            await self._streams(process, f"{route}/script/text=3/delay=4s", WARM_UP, [])
            before = resident_bytes(process.pid)
            open_bytes: list[int] = []
            model = f"{route}/script/text={EVENTS}/delay={EVERY_S}s/usage=3:{EVENTS}"
            await self._streams(process, model, STREAMS, open_bytes)
            served = ask(
                process.data_dir, "SELECT COUNT(*) FROM request WHERE status = 'ok' AND completion_tokens = 20"
            )
            assert served == [(STREAMS,)]
            return (open_bytes[0] - before) // STREAMS
        finally:
            await asyncio.to_thread(process.kill)
            await simulator.stop()

    async def _streams(self, process: GatewayProcess, model: str, count: int, open_bytes: list[int]) -> None:
        """Open them all; once each has said something, note the gateway's memory; then read them to their end."""
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
        head = f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {process.demo_key()}\r\n"
        asked = f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        waiting = count
        all_begun = asyncio.Event()
        ended = 0
        door = asyncio.Semaphore(500)

        async def one() -> None:
            nonlocal waiting, ended
            async with door:
                reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
                writer.write(asked)
                got = await reader.readuntil(b'"content":')
            assert got.startswith(b"HTTP/1.1 200"), got
            waiting -= 1
            if not waiting:
                all_begun.set()
            rest = await reader.read()
            ended += 1
            assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            writer.close()

        async with asyncio.timeout(180), asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())
            await all_begun.wait()
            assert not ended, "the first streams have ended before the last ones have begun"
            open_bytes.append(resident_bytes(process.pid))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.fixture(autouse=True)
def _files() -> Iterator[None]:
    """Two sockets for each stream on either side."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("route", FORMATS)
def test_two_thousand_streams_are_served_within_their_memory(tmp_path: Path, route: str) -> None:
    each = asyncio.run(Site(tmp_path).measure(route))
    sys.stdout.write(f"{route}: {each} bytes for each of {STREAMS} open streams\n")
    assert each <= MOST_BYTES_EACH[route]
