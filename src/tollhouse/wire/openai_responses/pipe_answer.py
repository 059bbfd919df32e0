"""What a pipe does with a Responses answer: reads usage and status, puts in what a policy names, counts its bytes."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.response import ChatResponse
from tollhouse.wire.fields import parse_answer
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.leftovers import Losses
from tollhouse.wire.openai_responses.parts import NAME
from tollhouse.wire.openai_responses.response import answer_head
from tollhouse.wire.openai_responses.status import reason_of
from tollhouse.wire.openai_responses.usage import shown_usage

RawObject = dict[str, msgspec.Raw]

_object_decoder = msgspec.json.Decoder(RawObject)
# Calls of tools that the caller runs.
_OF_CALLERS = frozenset(
    {
        *("function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call", "computer_call"),
        "tool_search_call",
    }
)
_TEXTS = ("text", "refusal", "arguments", "input", "name")


def broken(message: str) -> FaultError:
    """The provider's answer is no sound answer of this format."""
    return FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message))


def raw(value: object) -> msgspec.Raw:
    """A value of ours among the provider's."""
    return msgspec.Raw(msgspec.json.encode(value))


def cut_object(data: bytes | msgspec.Raw) -> RawObject:
    """An object cut into its members. Raises FaultError (provider_unavailable) for anything else."""
    try:
        return _object_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise broken("The provider sent what is no JSON object.") from None


def plain_object(data: bytes) -> dict[str, object]:
    """A JSON object as plain values. Raises FaultError (provider_unavailable) for anything else."""
    try:
        value = parse_answer(data)
    except ValueError:
        value = None
    if not is_object(value):
        raise broken("The provider sent an answer that is no JSON object.")
    return value


def finish_word(answer: Mapping[str, object]) -> str | None:
    """Why the answer ended, in the provider's word."""
    status = answer.get("status")
    return reason_of(answer) or (status if isinstance(status, str) else None)


def tier_of(answer: Mapping[str, object]) -> str | None:
    """The service tier that an answer says it was made in."""
    tier = answer.get("service_tier")
    return tier if isinstance(tier, str) and tier else None


def text_bytes(item: Mapping[str, object]) -> int:
    """How many UTF-8 bytes of text, reasoning and tool arguments an item holds."""
    size = 0
    for value in (item, *_objects(item.get("content")), *_objects(item.get("summary"))):
        for key in _TEXTS:
            if isinstance(text := value.get(key), str):
                size += len(text.encode())
    return size


def used_tool(item: Mapping[str, object]) -> str | None:
    """The kind of the provider's own tool whose use the item tells of and that is paid for; None for any other item.
    Of a web search only searching is, not reading what was found (developers.openai.com, web search, 2026-11)."""
    kind = item.get("type")
    if not isinstance(kind, str) or not kind.endswith("_call") or kind in _OF_CALLERS or item.get("status") == "failed":
        return None
    action = item.get("action")
    done = action.get("type") if is_object(action) else None
    if kind == "web_search_call" and done not in (None, "search"):
        return None
    return kind.removesuffix("_call")


class Patch:
    """What a policy puts into every answer object, and into the last."""

    def __init__(self, policy: AnswerPolicy) -> None:
        named = {"id": policy.answer_id, "model": policy.model}
        self.changes = {key: raw(value) for key, value in named.items() if value is not None}
        self._policy = policy

    def named(self, answer: RawObject) -> RawObject:
        """An answer object with what the policy names; with every member that the contract requires, if it is to be
        tidy."""
        return {**(_required() if self._policy.tidy else {}), **answer, **self.changes}

    def settled(self, answer: RawObject, answered: Answered, *, own_usage: bool) -> RawObject:
        """The last answer object. `own_usage` says that the provider told no usage."""
        patched = self.named(answer)
        if own_usage or self._policy.makes_usage:
            cost = answered.cost_nano_usd if self._policy.cost else None
            told = None if own_usage or self._policy.settled_usage else plain_object(bytes(answer["usage"]))
            patched["usage"] = raw(shown_usage(told, answered.usage, cost))
        return patched


def _required() -> RawObject:
    head = answer_head(ChatResponse(), "completed", Losses(NAME, []))
    return {key: raw(value) for key, value in head.items()}


def _objects(value: object) -> list[dict[str, object]]:
    return [member for member in value if is_object(member)] if is_array(value) else []
