"""The simulator as an ASGI application: finds the format and the script of a request, and delivers the answer."""

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, cast

import msgspec

from tollhouse.simulator.anthropic_messages import AnthropicMessages, AnthropicTokenCount
from tollhouse.simulator.bodies import error_body
from tollhouse.simulator.delivery import CallerGoneError, Delivery, Line, frames
from tollhouse.simulator.diffusion import DiffusionServer
from tollhouse.simulator.format import Asked, Format, Received, RequestError
from tollhouse.simulator.gallery import PATH as GALLERY_PATH
from tollhouse.simulator.gallery import Gallery
from tollhouse.simulator.openai_chat import OpenAIChat
from tollhouse.simulator.openai_embeddings import OpenAIEmbeddings
from tollhouse.simulator.openai_images import OpenAIImages
from tollhouse.simulator.openai_responses import OpenAIResponses
from tollhouse.simulator.recorder import Arrival, Recorder
from tollhouse.simulator.script import DEFAULT, Plan, Script, ScriptError, plan_from_json, plan_from_model
from tollhouse.simulator.talk import Talk

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LINE_EXTENSION: Final = "tollhouse.simulator.line"
CONTROL_HEADER: Final = "x-simulator-script"
_TALKS: Final[tuple[Format, ...]] = tuple(
    Talk(form) for form in (OpenAIChat(), OpenAIResponses(), AnthropicMessages(), AnthropicTokenCount())
)
_RECORDER_PATH: Final = "/_simulator/requests"
_MODELS: Final = (
    "echo",
    "script/text=200",
    "script/reasoning=20/text=50",
    "script/tools=2",
    "gpt-image-1",
    "text-embedding-3-small",
)
_MAX_COUNTED: Final = 4096


class Simulator:
    """The application; with `record`, `recorder` holds what arrived. `clock` gives Unix seconds.

    It needs the server of `serve`, which hands it the connection of a call (LINE_EXTENSION).
    """

    def __init__(self, *, record: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.recorder = Recorder() if record else None
        self._clock = clock
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._gallery = Gallery()
        self._formats: tuple[Format, ...] = (
            *_TALKS,
            OpenAIEmbeddings(),
            OpenAIImages(self._gallery),
            DiffusionServer(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        method: str = scope["method"]
        if self.recorder is not None and path == _RECORDER_PATH:
            await self._recordings(self.recorder, method, send)
        elif method == "GET" and path.endswith("/models"):
            await _answer(send, 200, _models())
        elif method == "GET" and path.startswith(GALLERY_PATH):
            await self._show(path, send)
        else:
            await self._call(scope, receive, send)

    async def _recordings(self, recorder: Recorder, method: str, send: Send) -> None:
        if method == "DELETE":
            recorder.clear()
        await _answer(send, 200, recorder.to_json())

    async def _show(self, path: str, send: Send) -> None:
        hanging = self._gallery.at(path)
        if hanging is None:
            await _answer(send, 404, _TALKS[0].error(404, "no picture hangs here").encode())
        else:
            await _answer(send, 200, await asyncio.to_thread(hanging.file), f"image/{hanging.file_format}")

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        arrival = _arrival(scope, body)
        if self.recorder is not None:
            self.recorder.add(arrival)
        spoken = next((f for f in self._formats if scope["path"].endswith(f.suffix)), None)
        if spoken is None or scope["method"] != "POST":
            message = f"the simulator knows POST paths that end with {', '.join(f.suffix for f in self._formats)}"
            await _answer(send, 404, _TALKS[0].error(404, message).encode())
            arrival.outcome = "done"
            return
        gone = asyncio.Event()
        watch = asyncio.create_task(_watch(receive, gone))
        try:
            await self._perform(spoken, body, arrival, _Way(send, scope["extensions"][LINE_EXTENSION], gone))
            if arrival.outcome == "running":
                arrival.outcome = "done"
        except CallerGoneError:
            arrival.outcome = "gone"
        finally:
            watch.cancel()

    async def _perform(self, spoken: Format, body: bytes, arrival: Arrival, way: "_Way") -> None:
        try:
            request = _object(body)
            origin = f"http://{arrival.header('host')}"
            asked = spoken.read(Received(body=request, digest=hashlib.sha256(body).hexdigest(), origin=origin))
            script = self._script(asked.model, arrival.header(CONTROL_HEADER))
        except (RequestError, ScriptError) as error:
            await _answer(way.send, spoken.refusal, spoken.error(spoken.refusal, str(error)).encode())
            return
        delivery = Delivery(way.send, way.line, way.gone, script, arrival)
        if not await delivery.before():
            return
        if script.endless is not None:
            await delivery.endless_line(script.endless)
        elif script.html or script.empty or script.status is not None or script.body is not None:
            await _fail(delivery, spoken, script, arrival)
        else:
            await self._speak(delivery, spoken, asked, script)

    async def _speak(self, delivery: Delivery, spoken: Format, asked: Asked, script: Script) -> None:
        created = int(self._clock())
        if (asked.stream or script.sse) and not script.plain:
            events = asked.events(script, created)
            error = spoken.error(500, "The simulator was told to fail in the middle of a stream.")
            await delivery.stream(200, frames(events, script, error))
            return
        if spoken.slow:
            text = await asyncio.to_thread(asked.whole, script, created)
        else:
            text = asked.whole(script, created)
        if script.bad_json is not None:
            text = text[: len(text) // 2]
        await delivery.whole(200, "application/json", text.encode())

    def _script(self, model: str, control: str | None) -> Script:
        plan = plan_from_model(model) if control is None else plan_from_json(control.encode("latin-1"))
        return DEFAULT.attempts[0] if plan is DEFAULT else plan.attempt(self._count(plan))

    def _count(self, plan: Plan) -> int:
        if len(plan.attempts) == 1:
            return 0
        number = self._attempts.pop(plan.token, 0)
        self._attempts[plan.token] = number + 1
        if len(self._attempts) > _MAX_COUNTED:
            self._attempts.popitem(last=False)
        return number


class _Way(msgspec.Struct, frozen=True):
    """How one answer reaches its caller."""

    send: Send
    line: Line
    gone: asyncio.Event


async def _fail(delivery: Delivery, spoken: Format, script: Script, arrival: Arrival) -> None:
    status = script.status or 200
    if script.empty:
        content_type, text = "text/plain", ""
    elif script.html:
        content_type, text = error_body("html", status, "", spoken.error)
    else:
        credential = arrival.header("authorization") or arrival.header("x-api-key") or ""
        content_type, text = error_body(script.body, status, credential, spoken.error)
    if script.sse:
        await delivery.stream(status, [f"data: {text}\n\n".encode()])
    else:
        await delivery.whole(status, content_type, text.encode())


def _arrival(scope: Scope, body: bytes) -> Arrival:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return Arrival(
        number=0,
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
        body=body.decode(errors="replace"),
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        document: object = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise RequestError(f"the request body is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError("the request body must be a JSON object")
    return cast("dict[str, Any]", document)


def _models() -> bytes:
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in _MODELS]
    return json.dumps({"object": "list", "data": entries}).encode()


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _watch(receive: Receive, gone: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


async def _answer(send: Send, status: int, body: bytes, content_type: str = "application/json") -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
