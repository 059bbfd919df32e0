"""Whole answers of Responses, in both directions."""

from collections.abc import Mapping, Sequence

from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import Extensions, Part
from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.response import ChatResponse, Choice, Finish, has_tool_calls
from tollhouse.ir.usage import Usage
from tollhouse.wire.fields import Fields, parse_answer, render, unreadable_answer
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_responses.output import MadeUpId, decode_output_item, encode_output_item, grouped, marked
from tollhouse.wire.openai_responses.parts import NAME
from tollhouse.wire.openai_responses.status import decode_finish, encode_finish, raise_failure
from tollhouse.wire.openai_responses.usage import decode_usage, encode_usage

# What an answer repeats of its request, and what follows from the rest of it.
_ECHOES = (
    "object", "status", "error", "incomplete_details", "output", "output_text", "usage", "completed_at", "background",
    "instructions", "input", "prompt", "metadata", "parallel_tool_calls", "temperature", "top_p", "top_logprobs",
    "frequency_penalty", "presence_penalty", "tool_choice", "tools", "max_output_tokens", "max_tool_calls", "reasoning",
    "text", "truncation", "store", "user", "previous_response_id", "prompt_cache_key", "prompt_cache_retention",
    "prompt_cache_options", "safety_identifier",
)  # fmt: skip


def decode_response(body: bytes) -> ChatResponse:
    """The answer that `body` says. Raises FaultError (provider_unavailable, or what an error object in it means) when
    it is no answer of this format."""
    try:
        value = parse_answer(body)
    except ValueError as error:
        unreadable_answer("The provider's answer is not valid JSON.", str(error))
    if not is_object(value):
        unreadable_answer("The provider's answer is not a JSON object.")
    if value.get("error"):
        raise_failure(value)
    output = value.get("output")
    if not is_array(output):
        unreadable_answer("The provider's answer holds no output.")
    parts: list[Part] = []
    for item in output:
        if not is_object(item):
            unreadable_answer("An item of the provider's answer is not a JSON object.")
        parts += marked(decode_output_item(item), parts[-1] if parts else None)
    finish = decode_finish(value, has_tool_calls=has_tool_calls(parts))
    head = decode_head(value)
    return ChatResponse(
        id=head.id,
        model=head.model,
        created=head.created,
        choices=(Choice(parts=tuple(parts), finish=finish),),
        usage=decode_answer_usage(value),
        service_tier=head.service_tier,
        extensions=head.extensions,
    )


def decode_head(value: Mapping[str, object]) -> ChatResponse:
    """What an answer, whole or just begun, says about itself; without its output and its usage."""
    fields = Fields({key: each for key, each in value.items() if each is not None and key not in _ECHOES})
    created = fields.number("created_at")
    return ChatResponse(
        id=fields.text("id") or None,
        model=fields.text("model") or None,
        created=None if created is None else _whole(created),
        service_tier=fields.text("service_tier") or None,
        extensions=kept(NAME, fields.rest()),
    )


def _whole(seconds: float) -> int | None:
    return int(seconds) or None if 0 <= seconds < 2**53 else None


def decode_answer_usage(value: Mapping[str, object]) -> Usage | None:
    """The usage of an answer, where there is one that can be trusted."""
    usage = value.get("usage")
    return decode_usage(usage) if is_object(usage) else None


def encode_response(response: ChatResponse, losses: list[Loss]) -> bytes:
    """The body of an answer; appends to `losses` what this format cannot say."""
    noted = Losses(NAME, losses)
    choice = response.choices[0] if response.choices else Choice()
    for number in range(1, len(response.choices)):
        noted.note(f"choices[{number}]", f"{NAME} gives one answer")
    output = _encode_output(choice, response.id, noted)
    noted.restore({}, _foreign(choice.extensions, noted), "choices[0]")
    body = answer_body(response, output, choice.finish, noted)
    return render(body)


def _foreign(extensions: Extensions, losses: Losses) -> Extensions:
    """The leftovers of a choice that are not this format's own; it has none, since it gives one answer."""
    for key in extensions.get(NAME, {}):
        losses.note(f"choices[0].{key}", f"{NAME} has no such field")
    return {name: fields for name, fields in extensions.items() if name != NAME}


def _encode_output(choice: Choice, answer_id: str | None, losses: Losses) -> list[object]:
    numbered = ((f"choices[0].parts[{number}]", part) for number, part in enumerate(choice.parts))
    groups = list(grouped(numbered))
    status, _ = encode_finish(choice.finish)
    items: list[object] = []
    for number, group in enumerate(groups):
        last = number == len(groups) - 1
        item = encode_output_item(group, MadeUpId(answer_id, len(items)), status if last else "completed", losses)
        if item is not None:
            items.append(item)
    return items


def answer_body(
    response: ChatResponse, output: Sequence[object], finish: Finish | None, losses: Losses
) -> dict[str, object]:
    """A whole answer. What would repeat the request has the values that stand for "nothing was said", since clients
    with types require it to be there."""
    status, details = encode_finish(finish)
    return {**answer_head(response, status, losses), "incomplete_details": details, "output": output} | {
        "usage": None if response.usage is None else encode_usage(response.usage)
    }


def answer_head(response: ChatResponse, status: str, losses: Losses) -> dict[str, object]:
    """An answer that has said nothing yet."""
    body: dict[str, object] = {
        "id": response.id or "",
        "object": "response",
        "created_at": response.created or 0,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": response.model or "",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }
    if response.service_tier is not None:
        body["service_tier"] = response.service_tier
    own = {key: value for key, value in response.extensions.get(NAME, {}).items() if key not in _ECHOES}
    losses.restore(body, {**response.extensions, NAME: own}, "")
    return body
