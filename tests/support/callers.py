"""A plain HTTP client for the tests of a running gateway, and a strict reader of its streams."""

import http.client
import json
from typing import Any

import msgspec

from support.gateway import RunningGateway

USER = {"role": "user", "content": "Say something about toll houses."}


class Reply(msgspec.Struct, frozen=True):
    """One answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        """The id under which the call is recorded."""
        return self.headers["x-request-id"]

    def text(self) -> str:
        """The text of the first choice, streamed or not."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return self.json()["choices"][0]["message"]["content"]
        chunks = [json.loads(frame) for frame in self.frames() if frame != "[DONE]"]
        return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk.get("choices", []))

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def frames(self) -> list[str]:
        """The data of each event of a stream, read as the standard says; anything but data and comments fails."""
        assert self.headers["content-type"].startswith("text/event-stream"), self.body
        *blocks, rest = self.body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
        assert rest == "", "the stream ends inside of an event"
        lines = [[line for line in block.split("\n") if not line.startswith(":")] for block in blocks]
        assert all(line.startswith("data:") for block in lines for line in block)
        data = [[line[5:].removeprefix(" ") for line in block] for block in lines]
        return ["\n".join(event) for event in data if event]

    def chunks(self) -> list[dict[str, Any]]:
        """The JSON frames of a stream that has to end with `[DONE]`."""
        *chunks, done = self.frames()
        assert done == "[DONE]"
        return [json.loads(chunk) for chunk in chunks]


class Face(msgspec.Struct, frozen=True):
    """One dialect as a caller sees it: where it chats, and in which headers it takes a key."""

    name: str
    base: str
    key_headers: tuple[str, ...]

    @property
    def chat(self) -> str:
        """The path of chat."""
        return f"{self.base}/chat/completions"

    @property
    def models(self) -> str:
        """The path of the list of models."""
        return f"{self.base}/models"

    def auth(self, key: str, header: str | None = None) -> dict[str, str]:
        """The headers that carry `key`."""
        chosen = header or self.key_headers[0]
        return {chosen: f"Bearer {key}" if chosen == "authorization" else key}


HPP = Face("hpp", "/llm/v1", ("apikey", "authorization"))
HYPERINFER = Face("hyperinfer", "/api/v1", ("authorization",))
VOLTAGE = Face("voltage", "/v1", ("x-voltagegpu-key", "authorization"))
VOLTAGE_LOCAL = Face("voltage-local", "/api/voltage/v1", ("x-voltagegpu-key", "authorization"))
DIALECTS = (HPP, HYPERINFER, VOLTAGE)
FACES = (HPP, HYPERINFER, VOLTAGE, VOLTAGE_LOCAL)


def ask(
    gateway: RunningGateway,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: dict[str, Any] | bytes | None = None,
) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    try:
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, sent, {"content-type": "application/json"} | (headers or {}))
        response = connection.getresponse()
        data = response.read()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, data)
    finally:
        connection.close()


def chat(gateway: RunningGateway, face: Face, key: str, model: str, **fields: Any) -> Reply:
    """A chat call through one face; `fields` stand beside or in place of the model and a short message."""
    request = {"model": model, "messages": [USER]} | fields
    return ask(gateway, "POST", face.chat, face.auth(key), request)
