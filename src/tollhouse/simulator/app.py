"""The simulator as an ASGI application: finds the format and the script of a request, and delivers the answer."""

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, cast

import msgspec

from tollhouse.simulator.answer import Question, compose
from tollhouse.simulator.anthropic_messages import AnthropicMessages, AnthropicTokenCount
from tollhouse.simulator.bodies import error_body
from tollhouse.simulator.delivery import CallerGoneError, Delivery, Line, frames
from tollhouse.simulator.format import Format, RequestError
from tollhouse.simulator.openai_chat import OpenAIChat
from tollhouse.simulator.openai_responses import OpenAIResponses
from tollhouse.simulator.recorder import Arrival, Recorder
from tollhouse.simulator.script import DEFAULT, Plan, Script, ScriptError, plan_from_json, plan_from_model

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LINE_EXTENSION: Final = "tollhouse.simulator.line"
CONTROL_HEADER: Final = "x-simulator-script"
FORMATS: Final[tuple[Format, ...]] = (
    OpenAIChat(),
    OpenAIResponses(),
    AnthropicMessages(),
    AnthropicTokenCount(),
)
_RECORDER_PATH: Final = "/_simulator/requests"
_MODELS: Final = ("echo", "script/text=200", "script/reasoning=20/text=50", "script/tools=2")
_MAX_COUNTED: Final = 4096


class Simulator:
    """The application; with `record`, `recorder` holds what arrived. `clock` gives Unix seconds.

    It needs the server of `serve`, which hands it the connection of a call (LINE_EXTENSION).
    """

    def __init__(self, *, record: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.recorder = Recorder() if record else None
        self._clock = clock
        self._attempts: OrderedDict[str, int] = OrderedDict()

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
        else:
            await self._call(scope, receive, send)

    async def _recordings(self, recorder: Recorder, method: str, send: Send) -> None:
        if method == "DELETE":
            recorder.clear()
        await _answer(send, 200, recorder.to_json())

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        arrival = _arrival(scope, body)
        if self.recorder is not None:
            self.recorder.add(arrival)
        spoken = next((f for f in FORMATS if scope["path"].endswith(f.suffix)), None)
        if spoken is None or scope["method"] != "POST":
            message = f"the simulator knows POST paths that end with {', '.join(f.suffix for f in FORMATS)}"
            await _answer(send, 404, FORMATS[0].error(404, message).encode())
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
            question = spoken.read(request, hashlib.sha256(body).hexdigest())
            script = self._script(question.model, arrival.header(CONTROL_HEADER))
        except (RequestError, ScriptError) as error:
            await _answer(way.send, 400, spoken.error(400, str(error)).encode())
            return
        delivery = Delivery(way.send, way.line, way.gone, script, arrival)
        if not await delivery.before():
            return
        if script.endless is not None:
            await delivery.endless_line(script.endless)
        elif script.html or script.empty or script.status is not None or script.body is not None:
            await _fail(delivery, spoken, script, arrival)
        else:
            await self._speak(delivery, spoken, question, script)

    async def _speak(self, delivery: Delivery, spoken: Format, question: Question, script: Script) -> None:
        answer = compose(question, script, int(self._clock()))
        if (question.stream or script.sse) and not script.plain:
            events = spoken.events(answer, question, script)
            error = spoken.error(500, "The simulator was told to fail in the middle of a stream.")
            await delivery.stream(200, frames(events, script, error))
            return
        text = spoken.whole(answer, script)
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


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
