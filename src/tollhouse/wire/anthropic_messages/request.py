"""Requests of Messages, in both directions."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.fault import invalid_request
from tollhouse.ir.loss import Loss
from tollhouse.ir.plain import is_object
from tollhouse.ir.request import ChatRequest, ResponseFormat, Sampling
from tollhouse.wire.anthropic_messages.messages import decode_messages, decode_system
from tollhouse.wire.anthropic_messages.names import NAME, present
from tollhouse.wire.anthropic_messages.thinking import Thinking, decode_thinking_setting, encode_thinking_setting
from tollhouse.wire.anthropic_messages.tools import decode_tool, decode_tool_choice, encode_tool_choice, encode_tools
from tollhouse.wire.anthropic_messages.turns import encode_turns
from tollhouse.wire.fields import Fields, parse, render
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.quirks import STANDARD, Quirks

DEFAULT_MAX_TOKENS = 4096
"""The output limit where nobody gave one, before a thinking budget is added to it: the format requires a limit, and
every model that is still served takes this."""

_TIERS = {"auto": "auto", "standard_only": "default"}
_OWN_TIERS = {tier: own for own, tier in _TIERS.items()}


def decode_request(fields: Mapping[str, msgspec.Raw]) -> ChatRequest:
    """The request that the top-level `fields` of a body say. A missing `max_tokens` is for the dialect to refuse.

    Raises FaultError (invalid_request) naming the field that does not fit.
    """
    return _decode(Fields({key: _parsed(key, raw) for key, raw in fields.items()}, strict=True))


def _parsed(key: str, raw: msgspec.Raw) -> object:
    try:
        return parse(raw)
    except ValueError:
        raise invalid_request(f"{key} is not valid JSON.", key) from None


def _decode(fields: Fields) -> ChatRequest:
    model = fields.text("model")
    if model is None:
        raise fields.missing("model", "the name of a model")
    turns = fields.array("messages")
    if turns is None:
        raise fields.missing("messages", "an array of messages")
    tools = fields.array("tools")
    choice, parallel = decode_tool_choice(fields)
    metadata = fields.child("metadata")
    output = fields.child("output_config")
    effort = None if output is None else output.text("effort")
    stream = fields.boolean("stream") or False
    return ChatRequest(
        model=model,
        messages=decode_system(fields) + decode_messages(turns),
        tools=None if tools is None else tuple(decode_tool(tool, f"tools[{n}]") for n, tool in enumerate(tools)),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output_limit=fields.integer("max_tokens"),
        stop=_decode_stop(fields),
        sampling=Sampling(
            temperature=fields.number("temperature"), top_p=fields.number("top_p"), top_k=fields.integer("top_k")
        ),
        response_format=None if output is None else _decode_format(output),
        reasoning=decode_thinking_setting(fields, effort),
        stream=stream,
        stream_usage=stream,
        user=None if metadata is None else metadata.text("user_id"),
        service_tier=_decode_tier(fields),
        extensions=kept(NAME, fields.rest()),
    )


def _decode_stop(fields: Fields) -> tuple[str, ...]:
    stop: list[str] = []
    for text in fields.array("stop_sequences") or []:
        if not isinstance(text, str):
            raise fields.wrong("stop_sequences", "an array of strings")
        stop.append(text)
    return tuple(stop)


def _decode_format(output: Fields) -> ResponseFormat | None:
    """The shape asked for; a type that is not known stays where it is."""
    value = output.get("format")
    if not is_object(value) or value.get("type") != "json_schema":
        return None
    wanted = output.child("format") or Fields({})
    wanted.drop("type")
    schema = wanted.plain("schema")
    if schema is None:
        raise wanted.missing("schema", "a JSON Schema")
    return ResponseFormat(type="json_schema", schema=schema)


def _decode_tier(fields: Fields) -> str | None:
    """In the words of the other formats; a tier that is not known stays where it is."""
    tier = _TIERS.get(str(fields.get("service_tier")))
    if tier is not None or fields.get("service_tier") is None:
        fields.drop("service_tier")
    return tier


def encode_request(request: ChatRequest, losses: list[Loss], quirks: Quirks = STANDARD) -> bytes:
    """The body of a request, keys always in the same order; appends to `losses` what this format, or the deployment
    with these `quirks`, cannot say. Whoever knows the model's own output limit puts it into the request."""
    noted = Losses(NAME, losses)
    system, turns = encode_turns(request.messages, noted, system_turns=quirks.system_turns)
    thinking = _encode_thinking(request, noted, quirks)
    body = present(model=request.model, max_tokens=request.output_limit or DEFAULT_MAX_TOKENS + thinking.budget)
    if system:
        body["system"] = system
    body["messages"] = turns
    tools = encode_tools(request.tools or (), noted)
    if tools or request.tools == ():
        body["tools"] = tools
    body |= present(
        tool_choice=encode_tool_choice(request, tools, noted),
        thinking=thinking.thinking,
        output_config=_encode_output(request.response_format, thinking.effort, noted),
        **_encode_sampling(_known_sampling(request.sampling, noted, quirks), thinking, noted),
        stop_sequences=_encode_stop(request.stop, noted),
        stream=request.stream or None,
        metadata=None if request.user is None else {"user_id": request.user},
        service_tier=_encode_tier(request.service_tier, noted),
    )
    _drop_others(request, noted)
    noted.restore(body, request.extensions, "")
    return render(body)


def _encode_thinking(request: ChatRequest, losses: Losses, quirks: Quirks) -> Thinking:
    """A model that has to call a tool may not think within a budget, the provider says; the tool goes first."""
    limit = request.output_limit
    found = encode_thinking_setting(request.reasoning, limit, losses, only=quirks.thinking)
    choice = request.tool_choice
    if found.budget and request.tools and choice is not None and choice.mode in ("required", "tool"):
        losses.note("reasoning", f"{NAME} does not think within a budget where a tool must be called")
        return Thinking()
    return found


def _known_sampling(sampling: Sampling, losses: Losses, quirks: Quirks) -> Sampling:
    """What a model that takes no sampling settings is still told: nothing."""
    if quirks.sampling:
        return sampling
    for name in ("temperature", "top_p", "top_k"):
        if getattr(sampling, name) not in (None, 1):
            losses.note(f"sampling.{name}", "the model takes no sampling settings")
    return msgspec.structs.replace(sampling, temperature=None, top_p=None, top_k=None)


def _encode_sampling(sampling: Sampling, thinking: Thinking, losses: Losses) -> dict[str, object]:
    temperature, top_k, top_p = sampling.temperature, sampling.top_k, sampling.top_p
    if temperature is not None and temperature > 1:
        losses.note("sampling.temperature", f"{NAME} knows 0 to 1; sent as 1")
        temperature = 1
    if thinking.thinks:
        if temperature is not None and temperature != 1:
            losses.note("sampling.temperature", f"{NAME} thinks at temperature 1 only")
            temperature = None
        if top_k is not None:
            losses.note("sampling.top_k", f"{NAME} takes none where the model thinks")
            top_k = None
        if top_p is not None and top_p < 0.95:
            losses.note("sampling.top_p", f"{NAME} takes 0.95 to 1 where the model thinks")
            top_p = None
    for name in ("frequency_penalty", "presence_penalty", "seed", "logprobs", "top_logprobs"):
        if getattr(sampling, name) is not None:
            losses.note(f"sampling.{name}", f"{NAME} has no such field")
    return {"temperature": temperature, "top_p": top_p, "top_k": top_k}


def _encode_stop(stop: tuple[str, ...], losses: Losses) -> list[str] | None:
    """The provider refuses sequences without a visible letter."""
    for number, text in enumerate(stop):
        if not text.strip():
            losses.note(f"stop[{number}]", f"{NAME} takes no stop sequence of blanks")
    return [text for text in stop if text.strip()] or None


def _encode_output(wanted: ResponseFormat | None, effort: str | None, losses: Losses) -> dict[str, object] | None:
    output: dict[str, object] = {} if effort is None else {"effort": effort}
    if wanted is not None and wanted.type == "json_schema":
        output["format"] = {"type": "json_schema", "schema": wanted.schema or {}}
        losses.drop("response_format.description", wanted.description)
    elif wanted is not None and wanted.type == "json_object":
        losses.note("response_format", f"{NAME} has no JSON mode without a schema")
    return output or None


def _encode_tier(tier: str | None, losses: Losses) -> str | None:
    if tier is None or tier in _OWN_TIERS:
        return None if tier is None else _OWN_TIERS[tier]
    losses.note("service_tier", f"{NAME} has no such tier")
    return None


def _drop_others(request: ChatRequest, losses: Losses) -> None:
    """What has no place at all. One answer is what the format gives anyway."""
    losses.drop("choices", request.choices if request.choices != 1 else None)
    losses.drop("verbosity", request.verbosity)
    losses.drop("metadata", request.metadata)
    losses.drop("store", request.store)
    losses.drop("prompt_cache_key", request.prompt_cache_key)
