"""The body of HyperInfer's `GET /api/v1/generation`: what became of one call."""

from datetime import UTC, datetime

import msgspec

from tollhouse.dialects.hyperinfer.errors import verdict
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.money.amount import micro_usd_text
from tollhouse.observe.record import CallRecord
from tollhouse.relay.generations import Generation
from tollhouse.wire.counters import usd_number

_FORMATS = {
    "openai_chat": "chat_completions",
    "openai_responses": "responses",
    "anthropic_messages": "anthropic_messages",
}
_KINDS = {kind.value: kind for kind in FaultKind}


def generation_body(generation: Generation) -> bytes:
    """`data` as the contract has it. What a call has none of is left out: a format for calls without one of the three,
    an error code when all went well, a model when none was found."""
    record = generation.record
    data: dict[str, object] = {
        "id": record.id,
        "model": record.model,
        "ingress_format": _FORMATS.get(record.format),
        "source": "api",
        "tokens_prompt": record.prompt_tokens,
        "tokens_completion": record.completion_tokens,
        "tokens_reasoning": record.reasoning_tokens,
        "tokens_cached_prompt": record.cached_tokens,
        "total_cost": usd_number(record.cost_nano_usd),
        "cost_micro_usd": micro_usd_text(record.cost_nano_usd),
        "tool_costs_micro_usd": {name: micro_usd_text(cost) for name, cost in generation.tool_costs_nano_usd},
        "latency_ms": max(0, record.finished_at_ms - record.started_at_ms),
        "status": record.status,
        "error_code": _error_code(record),
        "created_at": datetime.fromtimestamp(record.started_at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
    }
    return msgspec.json.encode({"data": {name: value for name, value in data.items() if value is not None}})


def _error_code(record: CallRecord) -> str | None:
    if record.error_code is None:
        return None
    kind = _KINDS.get(record.error_code, FaultKind.INTERNAL)
    return verdict(Fault(kind=kind, message=""), record.id)[1]
