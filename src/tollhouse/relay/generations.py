"""Generations: what became of one call, told to the workspace that made it, and to nobody else."""

import re
from typing import Protocol

import msgspec

from tollhouse.accounts.principal import Principal
from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.observe.record import CallRecord

# The ids of answers hold that of the call: gen-..., chatcmpl-..., resp_..., msg_...
_ID = re.compile(r"(?:[a-z]{1,16}[-_])?([0-9a-f]{44})", re.ASCII)
_TOOL = "tool:"


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """A call and what each tool in it cost, by the tool's name."""

    record: CallRecord
    tool_costs_nano_usd: tuple[tuple[str, int], ...] = ()


class GenerationStore(Protocol):
    """Where calls are kept. Raises FaultError (books_unavailable)."""

    async def call(self, request_id: str) -> CallRecord | None:
        """The record of one call."""
        ...

    async def charges(self, request_id: str) -> tuple[tuple[str, int], ...]:
        """The lines that one call was charged: what was bought, and nano-USD."""
        ...


class Generations:
    """Looks calls up."""

    def __init__(self, store: GenerationStore) -> None:
        self._store = store

    async def find(self, principal: Principal, given: str) -> Generation:
        """The call of this id, bare or as an answer's. Raises FaultError: invalid_request, in the same words for an id
        that nobody has, one of another workspace and none at all; books_unavailable."""
        matched = _ID.fullmatch(given)
        record = None if matched is None else await self._store.call(matched.group(1))
        if record is None or record.workspace_id != principal.workspace_id:
            raise _unknown(given)
        charges = await self._store.charges(record.id)
        tools = tuple((code.removeprefix(_TOOL), amount) for code, amount in charges if code.startswith(_TOOL))
        return Generation(record=record, tool_costs_nano_usd=tools)


def _unknown(given: str) -> FaultError:
    if not given:
        return invalid_request("`id` is required: the `X-Request-Id` of an answer, or the id in it.", "id")
    return invalid_request(
        "No call of this workspace has that id. Send the `X-Request-Id` of an answer, or the id in it; records of old "
        "calls may have been deleted.",
        "id",
    )
