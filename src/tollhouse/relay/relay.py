"""Relay: the story of one call, from the door to the provider and back."""

import asyncio
import urllib.parse
from collections.abc import Callable

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import Fault, FaultError
from tollhouse.ir.loss import Loss
from tollhouse.observe.logs import Log
from tollhouse.observe.trail import attempts_headers
from tollhouse.relay.admission import Admission, Admitted
from tollhouse.relay.attempts import AFTER_END_S, Attempts, Opened, Traces
from tollhouse.relay.call import Call, Caller, CallerGoneError, Headers
from tollhouse.relay.closing import BROKEN, Closing, Progress
from tollhouse.relay.departure import Departure, Drains
from tollhouse.relay.keepalive import KeepAlive

_LOSS_HEADER = b"x-tollhouse-loss"
_MAX_TOKENS_HEADER = b"x-tollhouse-max-tokens"
_LOSS_HEADER_BYTES = 1024
_JSON_TYPE = "application/json"
_JSON = (b"content-type", b"application/json")
_STREAM: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx in front of us would otherwise collect a stream before it hands it on.
    (b"x-accel-buffering", b"no"),
)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The relay's time: a monotonic clock, and after how much silence the caller of a stream gets a comment."""

    clock_s: Callable[[], float]
    comment_after_s: float = 15.0


class Relay:
    """Handles calls; one instance serves all."""

    def __init__(
        self, admission: Admission, attempts: Attempts, closing: Closing, drains: Drains, log: Log, pace: Pace
    ) -> None:
        self._admission = admission
        self._attempts = attempts
        self._closing = closing
        self._drains = drains
        self._log = log
        self._pace = pace

    async def handle(self, call: Call, caller: Caller) -> None:
        """Answer one call, whatever happens; never raises but when its task is cancelled."""
        progress = Progress(call=call, trail=[], paid=[])
        departure = Departure(caller, self._drains)
        self._closing.opened(progress)
        try:
            admitted = await self._admit(progress)
            if admitted.scan.peek.stream:
                await self._stream(progress, admitted, caller, departure)
            else:
                await self._body(progress, admitted, caller, departure)
        except FaultError as error:
            await self._fail(progress, caller, error.fault)
        except CallerGoneError:
            await self._abandon(progress, departure)
        except asyncio.CancelledError:
            await self._settle_abandoned(progress, departure)
            raise
        except Exception as error:
            self._log.broken(call.request_id, error)
            await self._fail(progress, caller, BROKEN)
        finally:
            departure.done()
            if not self._closing.closed(progress):
                await self._closing.give_up(progress, "failed", BROKEN)

    async def _admit(self, progress: Progress) -> Admitted:
        call = progress.call
        if call.principal is None:
            raise FaultError(BROKEN)
        progress.admitted = await self._admission.admit(call, call.principal)
        return progress.admitted

    async def _open(
        self, progress: Progress, admitted: Admitted, departure: Departure, told: Callable[[], bool]
    ) -> Opened:
        """An answer that has begun; `told` says whether the caller knows already which model answers."""
        call = progress.call
        policy = call.voice.policy(call.request_id, admitted.resolved.slug, admitted.scan.peek)
        stream = admitted.scan.peek.stream

        def asks(deployment: Deployment | None, now: Admitted) -> None:
            progress.asked = None
            departure.asking(None if deployment is None else deployment.provider.on_disconnect, stream=stream)
            progress.asked = deployment
            # Another model may answer than the one that was asked for.
            progress.admitted = now

        traces = Traces(trail=progress.trail, paid=progress.paid, asks=asks, told=told)
        opened = progress.opened = await self._attempts.open(admitted, policy, traces)
        progress.admitted = opened.admitted
        return opened

    async def _stream(self, progress: Progress, admitted: Admitted, caller: Caller, departure: Departure) -> None:
        """The head goes out with the first content, or with the first keep-alive: the status stands from then on, while
        other deployments of the model may still be asked for the content."""
        loop = asyncio.get_running_loop()
        await caller.start(200, (*_STREAM, *self._headers(progress)))
        alive = KeepAlive(caller, self._pace.comment_after_s, loop)
        try:
            with departure:
                opened = await self._open(progress, admitted, departure, lambda: alive.begun)
                if not alive.begun:
                    await caller.start(200, (*_STREAM, *self._headers(progress)))
                progress.first_byte_s = self._pace.clock_s()
                progress.streaming = True
                await caller.write(opened.first)
                alive.sent_s = loop.time()
                while not opened.ended:
                    if out := await _more(opened):
                        await caller.write(out)
                        alive.sent_s = loop.time()
                    if progress.runs_over():
                        progress.cut = opened.ended = True
            opened.answer.close()
            answered = await self._closing.settle(progress, "aborted" if departure.gone else "ok")
        finally:
            alive.stop()
            progress.streaming = progress.streaming or alive.begun
        await caller.end(opened.pipe.finish(answered))

    async def _body(self, progress: Progress, admitted: Admitted, caller: Caller, departure: Departure) -> None:
        with departure:
            opened = await self._open(progress, admitted, departure, lambda: False)
        opened.answer.close()
        answered = await self._closing.settle(progress, "aborted" if departure.gone else "ok")
        media_type = _JSON if opened.media_type == _JSON_TYPE else (b"content-type", opened.media_type.encode())
        await caller.start(200, (media_type, *self._headers(progress)))
        await caller.end(opened.pipe.finish(answered))

    def _headers(self, progress: Progress) -> Headers:
        admitted = progress.admitted
        slug, decision = (admitted.resolved.slug, admitted.decision) if admitted else ("", None)
        own = progress.call.voice.headers(slug, decision)
        if progress.opened and progress.opened.losses:
            own = (*own, (_LOSS_HEADER, _named(progress.opened.losses)))
        own = (*own, *attempts_headers(progress.trail))
        limit = progress.admitted.injected_limit if progress.admitted else None
        return own if limit is None else (*own, (_MAX_TOKENS_HEADER, str(limit).encode()))

    async def _fail(self, progress: Progress, caller: Caller, fault: Fault) -> None:
        """Tell the caller, in the words of his dialect: as an error answer, or as the stream's error frame."""
        call = progress.call
        opened = progress.opened
        if opened is not None and fault.from_provider:
            opened.broke_off()
            fault = msgspec.structs.replace(fault, provider=opened.deployment.provider.id)
        _let_go(progress)
        if not progress.closed:
            await self._closing.give_up(progress, "failed" if progress.admitted else "refused", fault)
        worded = call.voice.word(fault, call.request_id, call.endpoint, tuple(progress.trail))
        try:
            spoken = progress.admitted.format if progress.admitted else None
            if progress.streaming and spoken is not None and spoken.operation == "chat":
                await caller.end(spoken.error_frame(worded.body))
                return
            await caller.start(worded.status, (_JSON, *worded.headers, *attempts_headers(progress.trail)))
            await caller.end(worded.body)
        except CallerGoneError:
            return

    async def _abandon(self, progress: Progress, departure: Departure) -> None:
        """The caller has left. What is drained is read to its end first, or until it goes beyond what was asked for."""
        opened = progress.opened
        try:
            if opened is not None and departure.draining and not progress.closed:
                with departure:
                    while not opened.ended and not progress.runs_over():
                        await _more(opened)
        except (CallerGoneError, FaultError):
            # Time is over, or the provider broke off: what came is what is charged.
            return
        finally:
            await self._settle_abandoned(progress, departure)

    async def _settle_abandoned(self, progress: Progress, departure: Departure) -> None:
        """The caller has left, or the gateway is being stopped: charge what came, and keep the record."""
        progress.left = departure.gone
        _let_go(progress)
        if not progress.closed:
            await self._closing.give_up(progress, "aborted", None)


def _let_go(progress: Progress) -> None:
    """Nobody reads the answer any longer; one that is incomplete is cut off."""
    if progress.opened is not None:
        progress.opened.answer.close()


def _named(losses: list[Loss]) -> bytes:
    """Paths of what was lost, separated by commas. They may hold names of the caller's, so they are percent-encoded;
    a list that is too long for a header ends in `...`: the record has it whole."""
    text = ", ".join(dict.fromkeys(urllib.parse.quote(loss.path, safe="[]._-~:") for loss in losses))
    if len(text) > _LOSS_HEADER_BYTES:
        text = text[:_LOSS_HEADER_BYTES].rpartition(", ")[0] + ", ..."
    return text.encode()


async def _more(opened: Opened) -> bytes:
    """What the caller may have next. An answer that is complete stands, however its connection ends."""
    pipe = opened.pipe
    answer = opened.answer
    try:
        data = b"" if pipe.is_complete and not await answer.arrives(AFTER_END_S) else await answer.read()
    except FaultError as error:
        try:
            out = pipe.close()
        except FaultError:
            raise error from None
        opened.ended = True
        return out
    opened.ended = not data
    return pipe.feed(data) if data else pipe.close()
