"""A run of many calls by chance over flapping providers: all formats and APIs, streamed and not, some hung up on."""

import asyncio
import json
import random
import re
from collections import Counter
from typing import Any

import msgspec

from support.verdicts import DOORS, Door, check_answer, text_of
from tollhouse.simulator import tokens

_CALLERS = 24
_WORDS_FIT = (
    "text=5",
    "text=30/delay=5ms",
    "text=12/reasoning=4",
    "tools=1",
    "text=60/burst",
    "text=8/slice=1",
    "text=8/crlf",
    "text=8/comments/fields",
    "text=8/multiline",
    "text=8/informational=3",
    "text=8/encoding=gzip",
    "text=8/no_done",
    "text=8/stall=1000",
    "text=8/first=300ms",
    "text=8/wait=300ms",
    "text=6/delay=90ms",
    "text=8/usage=none",
    "text=8/usage_at=choices",
)
_WORDS_BAD = (
    "status=500",
    "status=503",
    "status=529",
    "status=429/retry_after=0",
    "reset",
    "html",
    "empty",
    "garbage",
    "bad_json=0",
    "text=9/bad_json=5",
    "text=9/cut=2",
    "text=9/cut=6",
    "text=9/eof=6",
    "text=9/error_at=0",
    "text=9/error_at=6",
    "text=9/stall=0",
    "text=9/stall=6",
    "text=9/truncate",
    "text=9/length_off=5",
    "encoding=bad_gzip",
    "encoding=bomb",
    "text=9/usage=negative",
    "text=9/usage=huge",
    "text=9/usage=nan",
    "infinite/delay=20ms",
    "first=forever",
)
_SAID = "".join(tokens.words(100))


class Outcome(msgspec.Struct, frozen=True):
    """What came of one call: `ok`, `failed`, `refused` or `left`, and its id where the caller saw it."""

    door: Door
    model: str
    stream: bool
    verdict: str
    request_id: str | None = None


class FaultRun:
    """`calls` calls on the gateway at `port`; the same seed makes the same calls."""

    def __init__(self, port: int, key: str, seed: int, calls: int) -> None:
        self.outcomes: list[Outcome] = []
        self._port = port
        self._key = key
        self._chance = random.Random(f"{seed} calls")
        self._left = calls
        self._wrong: list[Exception] = []

    def run(self) -> Counter[str]:
        """Make them all; how they ended. Raises an ExceptionGroup of those that were no answer and no refusal of their
        API."""
        asyncio.run(self._run())
        if self._wrong:
            raise ExceptionGroup("calls that were answered wrongly", self._wrong)
        return Counter(one.verdict for one in self.outcomes)

    async def _run(self) -> None:
        async with asyncio.timeout(240), asyncio.TaskGroup() as group:
            for _ in range(_CALLERS):
                group.create_task(self._caller())

    async def _caller(self) -> None:
        while self._left:
            self._left -= 1
            number = self._left
            chance = random.Random(self._chance.random())
            door = chance.choice(DOORS)
            stream = chance.random() < 0.6 and door.form != "embeddings"
            words = chance.choice(_WORDS_FIT if chance.random() < 0.6 else _WORDS_BAD)
            if chance.random() < 0.2:
                words = f"fail=1:{chance.choice((500, 503, 429))}/{words}"
            model = f"{'vector' if door.form == 'embeddings' else 'flaky'}/script/{words}/token={number}"
            leave_at = chance.randint(0, 1500) if chance.random() < 0.08 else None
            try:
                self.outcomes.append(await self._call(door, model, stream=stream, leave_at=leave_at))
            except Exception as error:  # noqa: BLE001 -- whatever it is, the others go on, and it is raised at the end
                error.add_note(f"{door} {model} stream={stream} leave_at={leave_at}")
                self._wrong.append(error)

    async def _call(self, door: Door, model: str, *, stream: bool, leave_at: int | None) -> Outcome:
        body = _body(door, model, stream=stream)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        try:
            data = json.dumps(body).encode()
            token = f"Bearer {self._key}" if door.key_header == "authorization" else self._key
            head = f"POST {door.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}{door.key_header}: {token}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
            got = b""
            while leave_at is None or len(got) < leave_at:
                piece = await reader.read(65536)
                if not piece:
                    return _judged(door, model, got, stream=stream)
                got += piece
            return Outcome(door, model, stream, "left")
        finally:
            writer.transport.abort()


def _body(door: Door, model: str, *, stream: bool) -> dict[str, Any]:
    if door.form == "embeddings":
        return {"model": model, "input": ["a toll house", "a gate"]}
    said = [{"role": "user", "content": "Say something about toll houses."}]
    body: dict[str, Any] = {"model": model, "stream": stream}
    body |= {"input": said, "max_output_tokens": 60} if door.form == "responses" else {"messages": said}
    if door.form != "responses":
        body["max_tokens"] = 60
    if "tools" in model and door.name != "voltage":
        body["tools"] = [_tool(door.form)]
    return body


def _judged(door: Door, model: str, got: bytes, *, stream: bool) -> Outcome:
    head, _, rest = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    body = _dechunked(rest) if headers.get("transfer-encoding") == "chunked" else rest
    if "content-length" in headers:
        assert len(body) == int(headers["content-length"])
    verdict = check_answer(door, status, headers, body, stream=stream)
    if status == 200 and "text=" in model and door.form != "embeddings":
        _check_text(text_of(door, body, stream=stream), model, whole=verdict == "ok")
    return Outcome(door, model, stream, verdict, headers["x-request-id"])


def _check_text(text: str, model: str, *, whole: bool) -> None:
    """No part of it twice, none left out: the simulator always says the same."""
    number = int(re.findall(r"text=(\d+)", model)[0])
    expected = _SAID[: len(text)]
    assert text == expected, f"{text!r} is not {expected!r}"
    words = len(text.split())
    assert words == number if whole else words <= number


def _dechunked(data: bytes) -> bytes:
    """The body; a stream that does not end in its last chunk fails."""
    parts: list[bytes] = []
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert data == b"\r\n"
            return b"".join(parts)
        parts.append(data[:length])
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]


def _tool(form: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"city": {"const": "Rome"}}, "required": ["city"]}
    match form:
        case "chat":
            return {"type": "function", "function": {"name": "weather", "parameters": schema}}
        case "responses":
            return {"type": "function", "name": "weather", "parameters": schema}
        case _:
            return {"name": "weather", "input_schema": schema}
