"""Long runs of a whole gateway process: memory over many calls, and books that survive being killed under load."""

import asyncio
import json
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.books import ask
from support.process import GatewayProcess

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CALLS = 60_000
WARM_UP_CALLS = 10_000
CONNECTIONS = 16
KILLS = 10
MAX_GROWTH_BYTES = 20 * 1000 * 1000


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []

    def start() -> GatewayProcess:
        started.append(GatewayProcess(tmp_path / "data", environ={"TOLLHOUSE_LOG_LEVEL": "warning"}))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def request_bytes(key: str, model: str, *, stream: bool) -> bytes:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}], "stream": stream}).encode()
    head = f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """The request id and the whole body of one answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 200"), head
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if "content-length" in fields:
        return fields["x-request-id"], await reader.readexactly(int(fields["content-length"]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return fields["x-request-id"], body


async def call_for_ever(port: int, asked: bytes, answered: Callable[[str, bytes], bool]) -> None:
    """One connection, one call after another, until `answered` says that it is enough or the gateway is gone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            writer.write(asked)
            if not answered(*await read_answer(reader)):
                return
    except (ConnectionError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_memory_does_not_grow_with_the_number_of_calls(serve: Callable[..., GatewayProcess]) -> None:
    process = serve()
    key = process.demo_key()
    warm_bytes = 0
    done = 0

    def answered(_request_id: str, _body: bytes) -> bool:
        nonlocal done, warm_bytes
        done += 1
        if done == WARM_UP_CALLS:
            warm_bytes = resident_bytes(process.pid)
        return done < CALLS

    async def run() -> None:
        whole = request_bytes(key, "simulator/script/text=3/usage=1:1", stream=False)
        streamed = request_bytes(key, "simulator/script/text=3/usage=1:1", stream=True)
        asked = [streamed if number % 4 == 0 else whole for number in range(CONNECTIONS)]
        await asyncio.gather(*(call_for_ever(process.port, one, answered) for one in asked))

    asyncio.run(run())
    assert done >= CALLS
    assert resident_bytes(process.pid) - warm_bytes < MAX_GROWTH_BYTES


@pytest.mark.fault(68)
def test_every_answer_that_a_caller_has_seen_survives_kills_under_load(serve: Callable[..., GatewayProcess]) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    charged: dict[str, int] = {}

    def answered(request_id: str, body: bytes) -> bool:
        # A stream counts once its last frame has come: the charge is durable before that.
        text = body.decode()
        last: dict[str, Any] = json.loads(text.split("data: ")[-2]) if text.startswith("data:") else json.loads(text)
        charged[request_id] = round(last["usage"]["cost"] * 10**9)
        return True

    async def run(process: GatewayProcess) -> None:
        async def kill() -> None:
            await asyncio.sleep(chance.uniform(0.1, 0.8))
            process.signal(signal.SIGKILL)

        key = process.demo_key()
        model = "simulator/script/text=4/usage=3:4"
        asked = [request_bytes(key, model, stream=number % 2 == 0) for number in range(CONNECTIONS)]
        await asyncio.gather(kill(), *(call_for_ever(process.port, one, answered) for one in asked))
        process.kill()

    for _ in range(KILLS):
        asyncio.run(run(serve()))
    database = serve().data_dir
    kept = dict(ask(database, "SELECT id, cost_nano_usd FROM request"))
    assert len(charged) > KILLS
    assert {request_id: kept.get(request_id) for request_id in charged} == charged, f"seed {seed}"
    transfers = ask(database, "SELECT request, amount FROM transfer WHERE code = 'model'")
    assert len(transfers) == len(dict(transfers)), "a call was charged twice"
    (balance,) = ask(database, "SELECT credits - debits FROM account WHERE kind = 'credit'")
    assert balance[0] == 5 * 10**9 - sum(amount for _, amount in transfers)
