"""Requests of Responses, in both directions."""

from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.ir.fault import invalid_request
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import TextPart
from tollhouse.ir.plain import is_array
from tollhouse.ir.request import ChatRequest, Message, ReasoningSetting, ResponseFormat, Sampling
from tollhouse.wire.effort import encode_effort
from tollhouse.wire.end_user import encode_user
from tollhouse.wire.fields import Fields, parse, render
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_responses.items import decode_items, encode_items
from tollhouse.wire.openai_responses.parts import NAME
from tollhouse.wire.openai_responses.tools import decode_tool, decode_tool_choice, encode_tool_choice, encode_tools

LOGPROBS = "message.output_text.logprobs"
"""The member of `include` that asks for the probabilities of tokens."""

_FORMAT_TYPES = ("text", "json_object", "json_schema")


def decode_request(fields: Mapping[str, msgspec.Raw]) -> ChatRequest:
    """The request that the top-level `fields` of a body say; other settings of the vendor's become extensions.

    Raises FaultError (invalid_request) naming the field that does not fit. Nothing is stored between calls, so a
    `previous_response_id` or `conversation` cannot be followed and is refused: an answer without the turns in it would
    be wrong, and nobody would see it.
    """
    parsed = {key: _parsed(key, raw) for key, raw in fields.items()}
    return _decode(Fields({key: value for key, value in parsed.items() if value is not None}, strict=True))


def _parsed(key: str, raw: msgspec.Raw) -> object:
    try:
        return parse(raw)
    except ValueError:
        raise invalid_request(f"{key} is not valid JSON.", key) from None


def _decode(fields: Fields) -> ChatRequest:
    model = fields.text("model")
    if model is None:
        raise fields.missing("model", "the name of a model")
    for field in ("previous_response_id", "conversation"):
        if fields.get(field) is not None:
            message = f"{field} cannot be followed: nothing is stored here. Send the whole input instead."
            raise invalid_request(message, field)
    messages = _decode_messages(fields)
    tools = fields.array("tools")
    text = fields.child("text") or Fields({})
    return ChatRequest(
        model=model,
        messages=messages,
        tools=None if tools is None else tuple(decode_tool(tool, f"tools[{n}]") for n, tool in enumerate(tools)),
        tool_choice=decode_tool_choice(fields),
        parallel_tool_calls=fields.boolean("parallel_tool_calls"),
        output_limit=fields.integer("max_output_tokens"),
        sampling=_decode_sampling(fields),
        response_format=_decode_format(text),
        verbosity=text.text("verbosity"),
        reasoning=_decode_reasoning(fields),
        stream=fields.boolean("stream") or False,
        user=fields.text("user"),
        metadata=fields.plain("metadata"),
        service_tier=fields.text("service_tier"),
        store=fields.boolean("store"),
        prompt_cache_key=fields.text("prompt_cache_key"),
        extensions=kept(NAME, fields.rest()),
    )


def _decode_messages(fields: Fields) -> tuple[Message, ...]:
    """The turns; instructions are the first of them, as the words of the system."""
    instructions = fields.text("instructions")
    said = () if instructions is None else (Message(role="system", parts=(TextPart(text=instructions),)),)
    value = fields.get("input")
    if isinstance(value, str):
        fields.drop("input")
        return (*said, Message(role="user", parts=(TextPart(text=value),)))
    items = fields.array("input")
    if items is None:
        raise fields.missing("input", "a string or an array of items")
    return (*said, *decode_items(items))


def _decode_sampling(fields: Fields) -> Sampling:
    include = fields.get("include")
    logprobs = None
    if is_array(include):
        logprobs = True if LOGPROBS in include else None
        fields.replace("include", [member for member in include if member != LOGPROBS] or None)
    return Sampling(
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        logprobs=logprobs,
        top_logprobs=fields.integer("top_logprobs"),
    )


def _decode_format(text: Fields) -> ResponseFormat | None:
    """The shape asked for; a type that is not known stays where it is."""
    value = text.get("format")
    if isinstance(value, dict) and "type" in value and value["type"] not in _FORMAT_TYPES:
        return None
    wanted = text.child("format")
    if wanted is None:
        return None
    kind = wanted.text("type")
    if kind == "text":
        return ResponseFormat(type="text")
    if kind == "json_object":
        return ResponseFormat(type="json_object")
    if kind is None:
        raise wanted.missing("type", f"one of {', '.join(_FORMAT_TYPES)}")
    return ResponseFormat(
        type="json_schema",
        name=wanted.text("name"),
        description=wanted.text("description"),
        schema=wanted.plain("schema"),
        strict=wanted.boolean("strict"),
    )


def _decode_reasoning(fields: Fields) -> ReasoningSetting | None:
    reasoning = fields.child("reasoning")
    if reasoning is None:
        return None
    effort, summary = reasoning.text("effort"), reasoning.text("summary")
    return None if effort is None and summary is None else ReasoningSetting(effort=effort, summary=summary)


def encode_request(request: ChatRequest, losses: list[Loss]) -> bytes:
    """The body of a request, keys always in the same order; appends to `losses` what this format cannot say."""
    noted = Losses(NAME, losses)
    instructions = _instructions(request.messages)
    first = 0 if instructions is None else 1
    body: dict[str, object] = {"model": request.model}
    if instructions is not None:
        body["instructions"] = instructions
    body["input"] = encode_items(request.messages[first:], noted, first)
    if request.tools is not None:
        tools = encode_tools(request.tools, noted)
        if tools or not request.tools:
            body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = encode_tool_choice(request.tool_choice)
    noted.drop("stop", request.stop)
    if request.choices is not None and request.choices > 1:
        noted.note("choices", f"{NAME} gives one answer")
    body |= _present(
        parallel_tool_calls=request.parallel_tool_calls,
        max_output_tokens=request.output_limit,
        **_encode_sampling(request, noted),
        text=_present(format=_encode_format(request.response_format), verbosity=request.verbosity) or None,
        reasoning=_encode_reasoning(request.reasoning, noted),
        stream=request.stream or None,
        user=encode_user(request.user, noted),
        metadata=request.metadata,
        service_tier=request.service_tier,
        store=request.store,
        prompt_cache_key=request.prompt_cache_key,
    )
    noted.restore(body, request.extensions, "")
    return render(body)


def _instructions(messages: Sequence[Message]) -> str | None:
    """The first turn, if it is plain text of the system's and nothing else."""
    first = messages[0] if messages else None
    if first is None or first.role != "system" or len(first.parts) != 1:
        return None
    part = first.parts[0]
    if not isinstance(part, TextPart) or msgspec.structs.replace(part, item_id=None) != TextPart(text=part.text):
        return None
    return part.text if first == Message(role="system", parts=first.parts) else None


def _encode_sampling(request: ChatRequest, losses: Losses) -> dict[str, object]:
    sampling = request.sampling
    for name in ("top_k", "frequency_penalty", "presence_penalty", "seed"):
        value: object = getattr(sampling, name)
        if value is not None:
            losses.note(f"sampling.{name}", f"{NAME} has no such field")
    include = request.extensions.get(NAME, {}).get("include")
    members: list[object] = [LOGPROBS] if sampling.logprobs else []
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_logprobs": sampling.top_logprobs,
        "include": [*members, *include] if is_array(include) else members or None,
    }


def _encode_format(wanted: ResponseFormat | None) -> dict[str, object] | None:
    if wanted is None:
        return None
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    # The name is required here, while other formats have none.
    schema: dict[str, object] = {"type": "json_schema", "name": wanted.name or "response"}
    return schema | _present(description=wanted.description, schema=wanted.schema, strict=wanted.strict)


def _encode_reasoning(setting: ReasoningSetting | None, losses: Losses) -> dict[str, object] | None:
    if setting is None:
        return None
    return _present(effort=encode_effort(setting, losses), summary=setting.summary) or None


def _present(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}
