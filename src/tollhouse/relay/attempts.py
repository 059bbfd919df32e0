"""Attempts: asks one deployment after another until an answer begins."""

import asyncio
import functools
from collections.abc import Callable
from datetime import datetime

import msgspec

from tollhouse.catalog.entries import Deployment, Price, Provider
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.usage import Usage
from tollhouse.observe.record import Attempt
from tollhouse.relay.admission import Admitted
from tollhouse.relay.fan_out import ask_all
from tollhouse.relay.pictures import Pictures, handing_of
from tollhouse.relay.stages import Asking, Stages, Surroundings
from tollhouse.relay.way_out import OnLoss
from tollhouse.routing.budget import BudgetRules, RetryBudget
from tollhouse.routing.health import Choice
from tollhouse.routing.plan import Plan, PlanLimits, PlannedAttempt
from tollhouse.upstream.auth import authorization
from tollhouse.upstream.client import Upstream, UpstreamAnswer, UpstreamRequest
from tollhouse.wire.format import AnswerPolicy, UpstreamFormat
from tollhouse.wire.gathering import Gathering
from tollhouse.wire.images import ImagesPipe
from tollhouse.wire.pipe import Pipe
from tollhouse.wire.provider_faults import retry_after

_ON_LOSS_HEADER = "x-tollhouse-on-loss"
_ERROR_BODY_BYTES = 64 * 1024
_MESSAGE_CHARS = 300
_KEPT_HEADERS = 1024
AFTER_END_S = 0.25
"""For so long more is waited for once a stream has told its end: a late report of usage, or the end of the bytes, by
which the connection may be used again. Providers that keep the line open must not keep the caller waiting."""
_OWN_HEADERS = (("content-type", "application/json"), ("user-agent", "tollhouse"))


class Opened(msgspec.Struct, kw_only=True):
    """An answer that has begun: `first` is what the caller may have now; `ended` says that nothing more will come.
    `admitted` is the call with the model that answers, at its price."""

    admitted: Admitted
    deployment: Deployment
    answer: UpstreamAnswer
    pipe: Pipe
    first: bytes
    ended: bool
    losses: list[Loss]
    """What the translation has lost so far; a stream may add to it until its end."""
    media_type: str = "application/json"
    """Of an answer in one piece."""
    broke_off: Callable[[], None]
    """To be told when the provider did not bring the answer to its end."""


class Paid(msgspec.Struct, frozen=True):
    """What a provider says that a failed attempt has used, in so many calls, and what callers pay there."""

    deployment: Deployment
    usage: Usage
    price: Price
    calls: int = 1


class AttemptLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often one call may try, whether it may lose anything on the way, and for how long the start of
    a stream that has no content yet may be held back."""

    attempts: int
    budget_s: float
    on_loss: OnLoss = "report"
    hold_back_s: float = 10.0
    retries: BudgetRules = BudgetRules()


class Notices(msgspec.Struct, frozen=True):
    """Whom the attempts tell, and the time of day, which dates of providers are compared with."""

    retry_denied: Callable[[str], None]
    now: Callable[[], datetime]


class Traces(msgspec.Struct, frozen=True):
    """What the attempts of one call leave behind, and whom they ask. `asks` is told which deployment is asked now and
    the call as it stands if that one answers, or (None) that none is; what it raises ends the plan. `paid` gets what
    failed attempts used all the same, where their providers say so. From the moment at which `told` says that the
    caller knows which model answers, no other one does."""

    trail: list[Attempt]
    paid: list[Paid]
    asks: Callable[[Deployment | None, Admitted], None]
    told: Callable[[], bool]


class _Seen:
    """The beginning of an answer, in case it turns out to be none."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        """What an error in the stream, or an earlier frame of it, said was used."""
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


class Attempts:
    """Runs a `Plan`; every try leaves an `Attempt` in the trail."""

    def __init__(
        self, upstream: Upstream, limits: AttemptLimits, around: Surroundings, notices: Notices, pictures: Pictures
    ) -> None:
        self._upstream = upstream
        self._pictures = pictures
        self._limits = limits
        self._around = around
        self._health = around.health
        self._notices = notices
        self._clock_s = around.clock_s
        self._budgets: dict[str, RetryBudget] = {}
        self._kept_headers: dict[tuple[int, int, bool], tuple[Provider, tuple[tuple[str, str], ...]]] = {}

    async def open(self, admitted: Admitted, policy: AnswerPolicy, traces: Traces) -> Opened:
        """The first answer that begins well. Raises FaultError with the last fault when the plan ends without one."""
        asked = admitted.call.headers.get(_ON_LOSS_HEADER, "").strip().lower()
        on_loss: OnLoss = "reject" if asked == "reject" else self._limits.on_loss
        stages = Stages(admitted, policy, on_loss, self._around)
        if (images := admitted.scan.peek.images) is not None:
            await self._pictures.check_room(admitted.call, images, policy)
        budget = self._budget(admitted.resolved.label)
        limits = PlanLimits(attempts=self._limits.attempts, deadline_s=admitted.call.started_s + self._limits.budget_s)
        plan = Plan(stages.stages(traces.told), self._health, budget, limits, self._around.chance)
        fault: Fault | None = None
        while (planned := plan.next(fault, self._clock_s())) is not None:
            try:
                opened = await self._attempt(stages.asking(planned.stage), planned, traces)
            except FaultError as error:
                fault = error.fault
                continue
            budget.answered(self._clock_s(), by_retry=planned.is_retry)
            return opened
        if fault is None:
            message = "No time was left to ask a provider. Try again later."
            fault = Fault(kind=FaultKind.PROVIDER_TIMEOUT, source="gateway", message=message)
        traces.asks(None, admitted)
        if fault.from_provider:
            budget.failed(self._clock_s())
        if plan.denied:
            self._notices.retry_denied(admitted.resolved.label)
        raise FaultError(fault)

    def _budget(self, label: str) -> RetryBudget:
        budget = self._budgets.get(label)
        if budget is None:
            budget = self._budgets[label] = RetryBudget(self._limits.retries, self._clock_s())
        return budget

    async def _attempt(self, asking: Asking, planned: PlannedAttempt, traces: Traces) -> Opened:
        """One try, with its traces: in the trail, and in what is known of the deployment."""
        choice = planned.choice
        reported = False
        try:
            if planned.delay_s > 0:
                traces.asks(None, asking.admitted)
                await asyncio.sleep(planned.delay_s)
            traces.asks(choice.deployment, asking.answered_by(choice.deployment))
            request = self._request(asking, choice)
            started_s = self._clock_s()
            traced = functools.partial(self._traced, asking, planned, request.url, started_s)
            try:
                opened = await self._try(asking, choice, request, traces.paid)
            except FaultError as error:
                fault = msgspec.structs.replace(error.fault, provider=choice.deployment.provider.id)
                reported = True
                self._health.failed(choice, fault, self._clock_s())
                traces.trail.append(traced(fault))
                raise FaultError(fault) from error
            except asyncio.CancelledError:
                traces.trail.append(msgspec.structs.replace(traced(), outcome="aborted", status=0))
                raise
            reported = True
            now_s = self._clock_s()
            self._health.succeeded(choice, now_s - started_s, now_s)
            traces.trail.append(traced())
        finally:
            if not reported:
                self._health.abandoned(choice)
        return opened

    def _request(self, asking: Asking, choice: Choice) -> UpstreamRequest:
        admitted, outgoing, deployment = asking.admitted, asking.outgoing, choice.deployment
        provider = deployment.provider
        stream = admitted.scan.peek.stream
        target = outgoing.format_of(deployment)
        came = admitted.call.headers
        # They are options of the caller's format: in another one they would mean nothing.
        names = () if outgoing.is_translated(deployment) else target.forwarded_headers
        forwarded = tuple([(name, came[name]) for name in names if name in came]) if names else ()
        return UpstreamRequest(
            url=provider.base_url + target.path,
            headers=self._headers(provider, choice.key, forwarded, stream=stream),
            body=outgoing.body(deployment),
            timeouts=deployment.timeouts,
            stream=stream,
        )

    def _headers(
        self, provider: Provider, key: int, forwarded: tuple[tuple[str, str], ...], *, stream: bool
    ) -> tuple[tuple[str, str], ...]:
        """All headers of a request. Where none are forwarded they are the same for every call, and kept."""
        known = self._kept_headers.get((id(provider), key, stream))
        if known is not None and known[0] is provider and not forwarded:
            return known[1]
        accept = "text/event-stream" if stream else "application/json"
        headers = (*_OWN_HEADERS, ("accept", accept), *forwarded, *provider.headers)
        headers = (*headers, *authorization(provider, headers, key))
        if not forwarded:
            if len(self._kept_headers) >= _KEPT_HEADERS:
                self._kept_headers.clear()
            # With the provider, so that no other one can come to have its id.
            self._kept_headers[id(provider), key, stream] = (provider, headers)
        return headers

    async def _try(self, asking: Asking, choice: Choice, request: UpstreamRequest, paid: list[Paid]) -> Opened:
        deployment = choice.deployment
        source = asking.outgoing.format_of(deployment)
        admitted = asking.answered_by(deployment)
        seen = _Seen()
        answer: UpstreamAnswer | None = None
        pipe: Pipe | None = None
        calls = admitted.calls(deployment)
        try:
            if calls == 1:
                answer = await self._ask(source, request, seen)
            else:
                answer = await ask_all(calls, lambda: self._ask(source, request, seen))
            losses = [*admitted.candidates.asked.losses, *asking.outgoing.losses(deployment)]
            pipe = asking.outgoing.pipe(deployment, asking.policy, losses)
            first, ended = await self._beginning(answer, pipe, seen, stream=request.stream)
            media_type = await self._handed_over(pipe, asking, deployment)
        except BaseException as error:
            if answer is not None:
                answer.close()
            if isinstance(error, FaultError):
                usage, calls = _used_in_vain(source, pipe, seen)
                if usage is not None and usage.total_tokens:
                    paid.append(Paid(deployment, usage, admitted.resolved.model.price, calls))
            raise
        return Opened(
            admitted=admitted,
            deployment=deployment,
            answer=answer,
            pipe=pipe,
            first=first,
            ended=ended,
            losses=losses,
            media_type=media_type,
            broke_off=lambda: self._health.broke_off(choice, self._clock_s()),
        )

    async def _ask(self, source: UpstreamFormat, request: UpstreamRequest, seen: _Seen) -> UpstreamAnswer:
        """One call; raises FaultError when its answer is a failure."""
        answer = await self._upstream.send(request)
        try:
            await self._refuse_failure(source, answer, seen, stream=request.stream)
        except BaseException:
            answer.close()
            raise
        return answer

    async def _handed_over(self, pipe: Pipe, asking: Asking, deployment: Deployment) -> str:
        """The media type of an answer in one piece, whose pictures, if any, are where the caller wants them: what fails
        until then fails over."""
        images = asking.admitted.scan.peek.images
        if images is None or not isinstance(pipe, ImagesPipe):
            return "application/json"
        handing = handing_of(asking.admitted.call, images, asking.policy)
        return await self._pictures.hand_over(pipe, asking.admitted.call, handing, deployment.provider.base_url)

    async def _beginning(self, answer: UpstreamAnswer, pipe: Pipe, seen: _Seen, *, stream: bool) -> tuple[bytes, bool]:
        """The first bytes for the caller, and whether they are all. The pipe keeps the frames before the first content
        back, so that what fails until then fails over; from the first frame on that lasts `hold_back_s` at most."""
        until_s: float | None = None
        first, ended = b"", False
        while not first and not ended:
            within_s = None if until_s is None else max(0.0, until_s - self._clock_s())
            if pipe.is_complete:
                within_s = AFTER_END_S
            quiet = within_s is not None and not await answer.arrives(within_s)
            if quiet and not pipe.is_complete:
                first = pipe.release()
                until_s, stream = None, False
                continue
            data = b"" if quiet else await answer.read()
            seen.note(data)
            ended = not data
            try:
                first = pipe.close() if ended else pipe.feed(data)
            except FaultError:
                # An answer that was cut off is none of which the provider says that it failed.
                seen.usage = pipe.usage if pipe.is_complete or not ended else None
                raise
            if stream and until_s is None:
                until_s = self._clock_s() + self._limits.hold_back_s
        return first, ended

    async def _refuse_failure(
        self, source: UpstreamFormat, answer: UpstreamAnswer, seen: _Seen, *, stream: bool
    ) -> None:
        """A 200 that is a web page, or one JSON body where a stream was asked for, is a failure in disguise."""
        status = answer.status
        content_type = ""
        for name, value in answer.headers:
            if name == "content-type":
                content_type = value
                break
        kind = content_type.partition(";")[0].strip().lower()
        if status == 200 and (kind == "text/html" or (stream and kind == "application/json")):
            status = 502
        if status == 200:
            return
        body = await _read_at_most(answer, _ERROR_BODY_BYTES)
        seen.note(body)
        fault = source.decode_fault(status, answer.headers, body)
        if fault.retry_after_s is None and fault.retryable:
            # A date means nothing to the formats, which know no time.
            wait_s = retry_after(answer.headers, self._notices.now())
            fault = msgspec.structs.replace(fault, retry_after_s=wait_s)
        raise FaultError(fault)

    def _traced(
        self, asking: Asking, planned: PlannedAttempt, url: str, started_s: float, fault: Fault | None = None
    ) -> Attempt:
        choice = planned.choice
        return Attempt(
            deployment=choice.deployment.name,
            provider=choice.deployment.provider.id,
            url=url,
            outcome=fault.kind.value if fault else "ok",
            status=(fault.upstream_status or 0) if fault else 200,
            elapsed_ms=round((self._clock_s() - started_s) * 1000),
            why=planned.why,
            model=asking.admitted.resolved.slug if planned.stage else None,
            key_number=choice.key + 1,
            probe=choice.probe,
            message=fault.message[:_MESSAGE_CHARS] if fault else None,
        )


def _used_in_vain(source: UpstreamFormat, pipe: Pipe | None, seen: _Seen) -> tuple[Usage | None, int]:
    """What a failed attempt has used all the same, and in how many calls: of several those that were answered."""
    if isinstance(pipe, Gathering):
        return pipe.complete_usage, max(1, pipe.complete_calls)
    return seen.usage or source.failed_usage(seen.body()), 1


async def _read_at_most(answer: UpstreamAnswer, cap_bytes: int) -> bytes:
    """The body of an error, cut off at the cap: only its beginning is of use."""
    parts: list[bytes] = []
    size = 0
    while size < cap_bytes and (data := await answer.read()):
        parts.append(data)
        size += len(data)
    return b"".join(parts)[:cap_bytes]
