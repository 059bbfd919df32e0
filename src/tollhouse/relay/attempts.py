"""Attempts: asks one deployment after another until an answer begins."""

import asyncio
from collections.abc import Callable

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.observe.record import Attempt
from tollhouse.relay.admission import Admitted
from tollhouse.routing.plan import Plan
from tollhouse.upstream.auth import authorization
from tollhouse.upstream.client import Upstream, UpstreamAnswer, UpstreamRequest
from tollhouse.wire.format import AnswerPolicy
from tollhouse.wire.pipe import Pipe, open_pipe

_ERROR_BODY_BYTES = 64 * 1024
_OWN_HEADERS = (("content-type", "application/json"), ("user-agent", "tollhouse"))


class Opened(msgspec.Struct, kw_only=True):
    """An answer that has begun: `first` is what the caller may have now; `ended` says that nothing more will come."""

    deployment: Deployment
    answer: UpstreamAnswer
    pipe: Pipe
    first: bytes
    ended: bool


class AttemptLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often one call may try."""

    attempts: int
    budget_s: float


class Attempts:
    """Runs a `Plan`; every try leaves an `Attempt` in the trail."""

    def __init__(
        self, upstream: Upstream, limits: AttemptLimits, clock_s: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._upstream = upstream
        self._limits = limits
        self._clock_s = clock_s
        self._chance = chance

    async def open(self, admitted: Admitted, policy: AnswerPolicy, trail: list[Attempt]) -> Opened:
        """The first answer that begins well. Raises FaultError with the last fault when the plan ends without one."""
        plan = Plan(
            admitted.resolved.model.deployments,
            attempts=self._limits.attempts,
            started_s=admitted.call.started_s,
            budget_s=self._limits.budget_s,
            chance=self._chance,
        )
        fault: Fault | None = None
        while (planned := plan.next(fault, self._clock_s())) is not None:
            if planned.delay_s > 0:
                await asyncio.sleep(planned.delay_s)
            started_s = self._clock_s()
            request = self._request(admitted, planned.deployment)
            try:
                opened = await self._try(admitted, policy, planned.deployment, request)
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

    def _request(self, admitted: Admitted, deployment: Deployment) -> UpstreamRequest:
        provider = deployment.provider
        scan = admitted.scan
        changes = {name: value for name, value in admitted.call.voice.defaults().items() if name not in scan.fields}
        changes["model"] = msgspec.Raw(msgspec.json.encode(admitted.resolved.upstream_model(deployment)))
        headers = admitted.call.headers
        forwarded = tuple((name, headers[name]) for name in admitted.format.forwarded_headers if name in headers)
        accept = "text/event-stream" if scan.peek.stream else "application/json"
        return UpstreamRequest(
            url=provider.base_url + admitted.format.path,
            headers=(*_OWN_HEADERS, ("accept", accept), *forwarded, *provider.headers, *authorization(provider)),
            body=admitted.format.rewrite(scan, changes, deployment.quirks),
            timeouts=deployment.timeouts,
            stream=scan.peek.stream,
        )

    async def _try(
        self, admitted: Admitted, policy: AnswerPolicy, deployment: Deployment, request: UpstreamRequest
    ) -> Opened:
        answer = await self._upstream.send(request)
        try:
            if answer.status != 200:
                body = await _read_at_most(answer, _ERROR_BODY_BYTES)
                raise FaultError(admitted.format.decode_fault(answer.status, answer.headers, body))
            await _refuse_other_content(admitted, answer)
            pipe = open_pipe(admitted.format, policy, admitted.scan.peek)
            first = b""
            ended = False
            while not first and not ended:
                data = await answer.read()
                ended = not data
                first = pipe.close() if ended else pipe.feed(data)
        except BaseException:
            answer.close()
            raise
        return Opened(deployment=deployment, answer=answer, pipe=pipe, first=first, ended=ended)

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


async def _refuse_other_content(admitted: Admitted, answer: UpstreamAnswer) -> None:
    """A 200 that is a web page, or one JSON body where a stream was asked for, is a failure in disguise."""
    content_type = next((value for name, value in answer.headers if name == "content-type"), "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/html" or (admitted.scan.peek.stream and kind == "application/json"):
        body = await _read_at_most(answer, _ERROR_BODY_BYTES)
        raise FaultError(admitted.format.decode_fault(502, answer.headers, body))


async def _read_at_most(answer: UpstreamAnswer, cap_bytes: int) -> bytes:
    """The body of an error, cut off at the cap: only its beginning is of use."""
    parts: list[bytes] = []
    size = 0
    while size < cap_bytes and (data := await answer.read()):
        parts.append(data)
        size += len(data)
    return b"".join(parts)[:cap_bytes]
