"""The callers of the kill matrix: many calls at once, each of a price of its own, and a file of those whose last frame
came."""

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

CALLERS = 16
PROMPT_NANO_USD, OUTPUT_NANO_USD = 1_000, 10_000
_MAX_TOKENS = 500
# Streams, bodies in one piece, and streams that take long enough for their call to be noted as open.
_KINDS = (("text=3", True), ("text=3", False), ("text=30/delay=40ms", True))

CATALOG = """
extends: default
models:
  - slug: priced/*
    name: Priced
    creator: simulator
    pricing: {prompt: 1, completion: 10}
    deployments: [{provider: simulator, model: '*'}]
"""


class Callers:
    """Everything that was asked of all lives of a gateway. `asked` has the price of each call in nano-USD by the
    caller's own id; the acknowledged ones are in the file alone, each on disk before its caller goes on."""

    def __init__(self, file: Path, seed: int) -> None:
        self.asked: dict[str, int] = {}
        self.file = file
        self._random = random.Random(seed)

    def acknowledged(self) -> list[dict[str, Any]]:
        """`call` (the caller's id), `request` (the gateway's) and `cost` of each call whose last frame came."""
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    async def load(self, port: int, key: str, heard: asyncio.Event) -> None:
        """Call until the gateway is gone; `heard` is set by the first answer."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._caller(port, key, heard))

    async def _caller(self, port: int, key: str, heard: asyncio.Event) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            return
        try:
            while True:
                call, asked = self._next(key)
                writer.write(asked)
                request = await _answer(reader)
                self._note({"call": call, "request": request, "cost": self.asked[call]})
                heard.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _next(self, key: str) -> tuple[str, bytes]:
        """The next call: its id and its bytes."""
        prompt, output = self._random.randint(1, 12), self._random.randint(1, _MAX_TOKENS)
        words, stream = self._random.choices(_KINDS, weights=(5, 3, 2))[0]
        call = f"call-{len(self.asked)}"
        self.asked[call] = prompt * PROMPT_NANO_USD + output * OUTPUT_NANO_USD
        body = json.dumps(
            {
                "model": f"priced/script/{words}/usage={prompt}:{output}",
                "messages": [{"role": "user", "content": "Hello!"}],
                "stream": stream,
                "max_tokens": _MAX_TOKENS,
            }
        ).encode()
        head = f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        return call, f"{head}X-Request-Id: {call}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def _note(self, acknowledged: dict[str, Any]) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(acknowledged) + "\n")
            file.flush()
            os.fsync(file.fileno())


async def _answer(reader: asyncio.StreamReader) -> str:
    """Read an answer to its end; the gateway's id of the call."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 200"), head
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if "content-length" in fields:
        assert b"usage" in await reader.readexactly(int(fields["content-length"]))
        return fields["x-request-id"]
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    assert body.endswith(b"data: [DONE]\n\n"), body
    return fields["x-request-id"]
