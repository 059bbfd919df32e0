"""Closing: what a call leaves behind: usage, charge and record in one commit, then metrics and log."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Literal

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.usage import GeneratedImages, Usage
from tollhouse.money.pricing import charge_lines
from tollhouse.money.settlement import Spending, postings
from tollhouse.money.store import ChargeLine
from tollhouse.observe.logs import Log
from tollhouse.observe.metrics import Metrics
from tollhouse.observe.record import Attempt, CallRecord, Routed
from tollhouse.relay.admission import Admitted
from tollhouse.relay.attempts import Opened, Paid
from tollhouse.relay.call import Call
from tollhouse.relay.candidates import paid_features
from tollhouse.relay.departure import bills_the_rest
from tollhouse.relay.metering import Received, Sent, meter, placed, with_images
from tollhouse.relay.settling import Settling
from tollhouse.relay.tool_uses import uses_by_name
from tollhouse.routing.auto import Decision
from tollhouse.tokens.encodings import Encoding, encoding
from tollhouse.wire.format import Answered
from tollhouse.wire.images import ImagesPipe

# A provider may write anything there.
_FINISH_REASON_CHARS = 64
_PROMPTS = {"embeddings": "input", "images": "prompt"}
# Prose has four bytes to a token and deeply indented code six; short answers vary more.
_MOST_BYTES_PER_TOKEN = 6
_SPARE_BYTES = 1024

Status = Literal["ok", "refused", "failed", "aborted"]


class Progress(msgspec.Struct, kw_only=True):
    """How far a call has come, filled in on its way. `asked` is the deployment that is being asked, `left` says that
    the caller hung up."""

    call: Call
    admitted: Admitted | None = None
    asked: Deployment | None = None
    left: bool = False
    opened: Opened | None = None
    trail: list[Attempt]
    paid: list[Paid] = msgspec.field(default_factory=list[Paid])
    """What failed attempts have used all the same."""
    first_byte_s: float | None = None
    streaming: bool = False
    closed: bool = False
    cut: bool = False
    """Whether the gateway has ended the stream, because the provider heeds no limit."""

    def runs_over(self) -> bool:
        """Whether the answer has passed twice the limit that the provider was sent. Its tokens are not known yet, so
        this counts bytes, and so many to a token that no honest answer is cut."""
        admitted, opened = self.admitted, self.opened
        if admitted is None or opened is None or admitted.output_limit is None:
            return False
        tokens = 2 * admitted.output_limit * admitted.scan.peek.choices
        return opened.pipe.received_bytes > tokens * _MOST_BYTES_PER_TOKEN + _SPARE_BYTES


class Closing:
    """Ends each call exactly once: charged or not, recorded, counted and logged."""

    def __init__(self, settling: Settling, metrics: Metrics, log: Log, clock_s: Callable[[], float]) -> None:
        self._settling = settling
        self._metrics = metrics
        self._log = log
        self._clock_s = clock_s
        self.in_flight: dict[str, Progress] = {}

    def opened(self, progress: Progress) -> None:
        """A call has come; `closed` follows however it ends."""
        self.in_flight[progress.call.request_id] = progress
        self._metrics.in_flight(1)

    def age_s(self, progress: Progress) -> float:
        """How long the call has been running."""
        return self._clock_s() - progress.call.started_s

    def closed(self, progress: Progress) -> bool:
        """The call has been answered, or there is nobody left to answer. False when it was held for and never settled,
        which is a fault of ours: it is counted, and the caller of this settles it now."""
        self.in_flight.pop(progress.call.request_id, None)
        self._metrics.in_flight(-1)
        if progress.admitted is None or progress.closed:
            return True
        self._metrics.leaked()
        return False

    async def settle(self, progress: Progress, status: Status, fault: Fault | None = None) -> Answered:
        """Charge what was received and keep the record; safe on return. Raises FaultError (books_unavailable).

        It happens even when the task is cancelled meanwhile.
        """
        admitted, opened = progress.admitted, progress.opened
        usage = _usage(progress)
        lines: tuple[ChargeLine, ...] = ()
        if admitted is not None and usage is not None:
            asked_tier, tool_uses = _extras(admitted, opened, progress.asked)
            service_tier = (opened.pipe.service_tier if opened else None) or asked_tier
            price = admitted.resolved.model.price
            asked = opened.deployment if opened else progress.asked
            calls = admitted.calls(asked) if asked else 1
            lines = charge_lines(price, usage, service_tier, tool_uses=tool_uses, calls=calls)
        tokens = 0 if usage is None else usage.total_tokens
        if progress.paid:
            failed = _failed_usages(progress)
            lines += _attempt_lines(failed, first=max(1, len(lines)))
            tokens += sum(each.total_tokens for each, _ in failed)
        spending = Spending(lines, tokens)
        record = self._record(progress, status, fault, usage, spending.cost_nano_usd)
        progress.closed = True
        hold = admitted.hold if admitted else None
        transfers = postings(hold, spending, record.finished_at_ms, record.usage_source) if hold else ()
        try:
            await self._settling.settle(hold, transfers, record)
        except FaultError as error:
            record = _unrecorded(record, error.fault)
            raise
        finally:
            self._report(progress, record)
        return Answered(usage=usage or Usage(source="estimated"), cost_nano_usd=spending.cost_nano_usd)

    async def give_up(self, progress: Progress, status: Status, fault: Fault | None) -> None:
        """Settle where nobody waits for the outcome: the call has failed anyway, and `settle` logs books that fail."""
        with contextlib.suppress(FaultError):
            await self.settle(progress, status, fault)

    def _record(
        self, progress: Progress, status: Status, fault: Fault | None, usage: Usage | None, cost_nano_usd: int
    ) -> CallRecord:
        call, admitted, opened = progress.call, progress.admitted, progress.opened
        now_s = self._clock_s()
        first_s = progress.first_byte_s
        usage = usage or Usage(source="estimated")
        principal = call.principal
        deployment = opened.deployment if opened else (progress.asked if progress.left else None)
        return CallRecord(
            id=call.request_id,
            started_at_ms=call.started_at_ms,
            finished_at_ms=call.started_at_ms + round((now_s - call.started_s) * 1000),
            workspace_id=principal.workspace_id if principal else None,
            key_id=principal.key_id if principal else None,
            dialect=call.voice.dialect,
            format=call.voice.format_name,
            model=admitted.resolved.slug if admitted else None,
            provider=deployment.provider.id if deployment else None,
            upstream_model=admitted.resolved.upstream_model(deployment) if admitted and deployment else None,
            stream=admitted.scan.peek.stream if admitted else False,
            status=status,
            error_code=fault.kind.value if fault else None,
            finish_reason="length" if progress.cut else _finish_reason(opened),
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cache_read_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            usage_source=usage.source if usage.total_tokens else None,
            cost_nano_usd=cost_nano_usd,
            first_byte_ms=None if first_s is None else round((first_s - call.started_s) * 1000),
            attempts=tuple(progress.trail),
            client_request_id=call.client_request_id,
            losses=_paths(opened.losses) if opened and opened.losses else (),
            routed=_routed(admitted.decision) if admitted and admitted.decision else None,
        )

    def _report(self, progress: Progress, record: CallRecord) -> None:
        if progress.admitted is not None and progress.admitted.hold.parts[0].lease is not None:
            overage = record.cost_nano_usd - progress.admitted.hold.parts[0].amount
            if overage > 0:
                self._metrics.overage(overage)
        label = progress.admitted.resolved.label if progress.admitted else "none"
        if progress.admitted is not None and record.usage_source == "estimated":
            _make_ready(encoding(progress.admitted.resolved.model.tokenizer))
        self._metrics.call(record, label)
        self._log.call(record)


def _make_ready(coding: Encoding) -> None:
    """Have the model's vocabulary loaded for the next estimate: one call in an outage of figures is seldom alone."""
    if not coding.is_loaded:
        asyncio.get_running_loop().run_in_executor(None, coding.load)


def _paths(losses: list[Loss]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(loss.path[:200] for loss in losses))[:100]


def _finish_reason(opened: Opened | None) -> str | None:
    return (opened.pipe.finish_reason or "")[:_FINISH_REASON_CHARS] or None if opened else None


def _routed(decision: Decision) -> Routed:
    return Routed(
        rules_version=decision.rules_version,
        rule_id=decision.rule_id,
        basket=decision.basket,
        tier=decision.tier,
        tokens=decision.tokens,
    )


def _unrecorded(record: CallRecord, fault: Fault) -> CallRecord:
    """What is told of a call that the books did not take: nobody was charged for it."""
    return msgspec.structs.replace(
        record,
        status="failed" if record.status == "ok" else record.status,
        error_code=record.error_code or fault.kind.value,
        cost_nano_usd=0,
    )


def _usage(progress: Progress) -> Usage | None:
    """The tokens that are charged, None without any."""
    admitted, opened = progress.admitted, progress.opened
    if admitted is None:
        return None
    if opened is not None:
        pipe = opened.pipe
        report = placed(pipe.usage, opened.deployment.quirks)
        received = Received(
            report=report,
            reported_at_bytes=pipe.reported_at_bytes,
            size_bytes=pipe.received_bytes,
            cut=progress.cut,
        )
        usage = meter(_sent(admitted, opened.deployment), received)
        if isinstance(pipe, ImagesPipe):
            return with_images(usage, pipe.generated, admitted.resolved.model.price)
        return usage
    asked = progress.asked
    if not progress.left or asked is None:
        return None
    billed = bills_the_rest(asked.provider.on_disconnect, stream=admitted.scan.peek.stream)
    if not billed:
        return None
    usage = meter(_sent(admitted, asked), Received())
    images = admitted.scan.peek.images
    if images is None:
        return usage
    made = GeneratedImages(count=images.count, size=images.size, quality=images.quality)
    return with_images(usage, made, admitted.resolved.model.price)


def _failed_usages(progress: Progress) -> list[tuple[Usage, Paid]]:
    """What failed attempts have used by their providers' reports, as far as those can be true, and where: nothing is
    estimated."""
    admitted = progress.admitted
    if admitted is None:
        return []
    metered = [
        (meter(_sent(admitted, paid.deployment), Received(report=placed(paid.usage, paid.deployment.quirks))), paid)
        for paid in progress.paid
    ]
    return [(usage, paid) for usage, paid in metered if usage.source == "provider"]


def _attempt_lines(failed: list[tuple[Usage, Paid]], first: int) -> tuple[ChargeLine, ...]:
    """A line for each paid attempt, from `first` on; line 0 is the answer's."""
    costs = [
        sum(line.amount_nano_usd for line in charge_lines(paid.price, usage, calls=paid.calls))
        for usage, paid in failed
    ]
    return tuple(
        ChargeLine(line=number, code="attempt", amount_nano_usd=cost) for number, cost in enumerate(costs, first)
    )


def _sent(admitted: Admitted, deployment: Deployment) -> Sent:
    model, peek = admitted.resolved.model, admitted.scan.peek
    # Of a chat the whole body may be prompt; beside a text to embed or to paint there are only knobs.
    field = _PROMPTS.get(admitted.format.operation)
    return Sent(
        body=admitted.call.body if field is None else bytes(admitted.scan.fields[field]),
        output_limit=admitted.output_limit,
        choices=peek.choices,
        calls=admitted.calls(deployment),
        context_length=model.context_length,
        max_output_tokens=model.max_output_tokens,
        tokenizer=model.tokenizer,
    )


def _extras(admitted: Admitted, opened: Opened | None, asked: Deployment | None) -> tuple[str | None, dict[str, int]]:
    """The service tier, and how often the provider's own tools were used: as its answer tells, and where its format
    does not tell (Chat) each that was asked for once."""
    if not admitted.scan.peek.paid:
        return None, {}
    deployment = opened.deployment if opened else asked
    native = deployment is None or deployment.format == admitted.format.name
    names = [name.partition(":") for _, name in paid_features(admitted.scan, native=native)]
    service_tier = next((name for kind, _, name in names if kind == "service_tier"), None)
    tools = [name for kind, _, name in names if kind == "tool"]
    told = opened.pipe.tool_uses if opened and tools else None
    return service_tier, dict.fromkeys(tools, 1) if told is None else uses_by_name(tools, told)


BROKEN = Fault(
    kind=FaultKind.INTERNAL,
    message="The gateway failed on its own account. The request id names the call; its operator can look it up.",
)
