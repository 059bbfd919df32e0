"""Attempts: asks one deployment after another until an answer begins."""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.usage import Usage
from tollhouse.observe.record import Attempt
from tollhouse.relay.admission import Admitted
from tollhouse.relay.outgoing import OnLoss, Outgoing
from tollhouse.routing.plan import Plan
from tollhouse.tokens.bounds import likely_prompt_tokens
from tollhouse.upstream.auth import authorization
from tollhouse.upstream.client import Upstream, UpstreamAnswer, UpstreamRequest
from tollhouse.wire.format import AnswerPolicy, WireFormat
from tollhouse.wire.pipe import Pipe, open_pipe
from tollhouse.wire.translation import Made, open_translation

_ON_LOSS_HEADER = "x-tollhouse-on-loss"
_ERROR_BODY_BYTES = 64 * 1024
_OWN_HEADERS = (("content-type", "application/json"), ("user-agent", "tollhouse"))


class Opened(msgspec.Struct, kw_only=True):
    """An answer that has begun: `first` is what the caller may have now; `ended` says that nothing more will come."""

    deployment: Deployment
    answer: UpstreamAnswer
    pipe: Pipe
    first: bytes
    ended: bool
    losses: list[Loss]
    """What the translation has lost so far; a stream may add to it until its end."""


class Paid(msgspec.Struct, frozen=True):
    """What a provider says that a failed attempt has used."""

    deployment: Deployment
    usage: Usage


class AttemptLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often one call may try, and whether it may lose anything on the way."""

    attempts: int
    budget_s: float
    on_loss: OnLoss = "report"


class _Asking(msgspec.Struct, frozen=True):
    """One call on its way out."""

    admitted: Admitted
    outgoing: Outgoing
    policy: AnswerPolicy
    paid: list[Paid]


class Attempts:
    """Runs a `Plan`; every try leaves an `Attempt` in the trail."""

    def __init__(
        self,
        upstream: Upstream,
        formats: Mapping[str, WireFormat],
        limits: AttemptLimits,
        clock_s: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._upstream = upstream
        self._formats = formats
        self._limits = limits
        self._clock_s = clock_s
        self._chance = chance

    async def open(
        self,
        admitted: Admitted,
        policy: AnswerPolicy,
        trail: list[Attempt],
        paid: list[Paid],
        asks: Callable[[Deployment | None], None],
    ) -> Opened:
        """The first answer that begins well. Raises FaultError with the last fault when the plan ends without one.

        `asks` is told which deployment is asked now, and (None) that none is; what it raises ends the plan. `paid` gets
        what failed attempts used all the same, where their providers say so.
        """
        asked = admitted.call.headers.get(_ON_LOSS_HEADER, "").strip().lower()
        on_loss: OnLoss = "reject" if asked == "reject" else self._limits.on_loss
        outgoing = Outgoing(admitted, self._formats, on_loss)
        asking = _Asking(admitted, outgoing, policy, paid)
        plan = Plan(
            outgoing.order(admitted.deployments),
            attempts=self._limits.attempts,
            started_s=admitted.call.started_s,
            budget_s=self._limits.budget_s,
            chance=self._chance,
        )
        fault: Fault | None = None
        while (planned := plan.next(fault, self._clock_s())) is not None:
            asks(None)
            if planned.delay_s > 0:
                await asyncio.sleep(planned.delay_s)
            asks(planned.deployment)
            started_s = self._clock_s()
            request = self._request(asking, planned.deployment)
            try:
                opened = await self._try(asking, planned.deployment, request)
            except FaultError as error:
                fault = msgspec.structs.replace(error.fault, provider=planned.deployment.provider.id)
                status = fault.upstream_status or 0
                trail.append(self._attempt(planned.deployment, request, fault.kind.value, status, started_s))
                continue
            except asyncio.CancelledError:
                trail.append(self._attempt(planned.deployment, request, "aborted", 0, started_s))
                raise
            trail.append(self._attempt(planned.deployment, request, "ok", 200, started_s))
            return opened
        if fault is None:
            message = "No time was left to ask a provider. Try again later."
            fault = Fault(kind=FaultKind.PROVIDER_TIMEOUT, source="gateway", message=message)
        raise FaultError(fault)

    def _request(self, asking: _Asking, deployment: Deployment) -> UpstreamRequest:
        admitted, outgoing = asking.admitted, asking.outgoing
        provider = deployment.provider
        stream = admitted.scan.peek.stream
        target = outgoing.format_of(deployment)
        came = admitted.call.headers
        # They are options of the caller's format: in another one they would mean nothing.
        names = () if outgoing.is_translated(deployment) else target.forwarded_headers
        forwarded = tuple((name, came[name]) for name in names if name in came)
        accept = "text/event-stream" if stream else "application/json"
        headers = (*_OWN_HEADERS, ("accept", accept), *forwarded, *provider.headers)
        return UpstreamRequest(
            url=provider.base_url + target.path,
            headers=(*headers, *authorization(provider, headers)),
            body=outgoing.body(deployment),
            timeouts=deployment.timeouts,
            stream=stream,
        )

    async def _try(self, asking: _Asking, deployment: Deployment, request: UpstreamRequest) -> Opened:
        answer = await self._upstream.send(request)
        seen = _Seen()
        try:
            await _refuse_failure(asking.outgoing.format_of(deployment), answer, seen, stream=request.stream)
            pipe, losses = _open(asking, deployment)
            first = b""
            ended = False
            while not first and not ended:
                data = await answer.read()
                seen.note(data)
                ended = not data
                first = pipe.close() if ended else pipe.feed(data)
        except BaseException as error:
            answer.close()
            if isinstance(error, FaultError):
                usage = asking.outgoing.format_of(deployment).failed_usage(seen.body())
                if usage is not None and usage.total_tokens:
                    asking.paid.append(Paid(deployment, usage))
            raise
        return Opened(deployment=deployment, answer=answer, pipe=pipe, first=first, ended=ended, losses=losses)

    def _attempt(
        self, deployment: Deployment, request: UpstreamRequest, outcome: str, status: int, started_s: float
    ) -> Attempt:
        return Attempt(
            deployment=deployment.name,
            provider=deployment.provider.id,
            url=request.url,
            outcome=outcome,
            status=status,
            elapsed_ms=round((self._clock_s() - started_s) * 1000),
        )


def _open(asking: _Asking, deployment: Deployment) -> tuple[Pipe, list[Loss]]:
    """The pipe for the deployment's answer, and the list to which it adds what it cannot carry over."""
    admitted, outgoing, policy = asking.admitted, asking.outgoing, asking.policy
    losses = list(outgoing.losses(deployment))
    if not outgoing.is_translated(deployment):
        return open_pipe(admitted.format, policy, admitted.scan.peek), losses
    call = admitted.call
    made = Made(
        id=policy.answer_id or call.request_id,
        created=call.started_at_ms // 1000,
        creator=admitted.resolved.model.creator.slug,
        custom_tools=outgoing.custom_tools(deployment),
        losses=losses,
        grouped=outgoing.grouped_tools(),
        input_tokens=likely_prompt_tokens(call.body) if admitted.scan.peek.stream else 0,
    )
    source = outgoing.format_of(deployment)
    return open_translation(source, admitted.format, policy, admitted.scan.peek, made), losses


class _Seen:
    """The beginning of an answer, in case it turns out to be none."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def note(self, data: bytes) -> None:
        """One more piece."""
        if self._size < _ERROR_BODY_BYTES:
            self._parts.append(data)
            self._size += len(data)

    def body(self) -> bytes:
        """All of it, as far as it was kept."""
        return b"".join(self._parts)


async def _refuse_failure(source: WireFormat, answer: UpstreamAnswer, seen: _Seen, *, stream: bool) -> None:
    """A 200 that is a web page, or one JSON body where a stream was asked for, is a failure in disguise."""
    status = answer.status
    content_type = next((value for name, value in answer.headers if name == "content-type"), "")
    kind = content_type.partition(";")[0].strip().lower()
    if status == 200 and (kind == "text/html" or (stream and kind == "application/json")):
        status = 502
    if status != 200:
        body = await _read_at_most(answer, _ERROR_BODY_BYTES)
        seen.note(body)
        raise FaultError(source.decode_fault(status, answer.headers, body))


async def _read_at_most(answer: UpstreamAnswer, cap_bytes: int) -> bytes:
    """The body of an error, cut off at the cap: only its beginning is of use."""
    parts: list[bytes] = []
    size = 0
    while size < cap_bytes and (data := await answer.read()):
        parts.append(data)
        size += len(data)
    return b"".join(parts)[:cap_bytes]
