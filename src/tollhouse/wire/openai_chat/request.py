"""Requests of Chat Completions, in both directions."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.fault import invalid_request
from tollhouse.ir.loss import Loss
from tollhouse.ir.request import ChatRequest, ReasoningSetting, ResponseFormat, Sampling
from tollhouse.wire.effort import encode_effort
from tollhouse.wire.end_user import encode_user
from tollhouse.wire.fields import Fields, parse, render
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_chat.messages import decode_messages, encode_messages
from tollhouse.wire.openai_chat.parts import NAME
from tollhouse.wire.openai_chat.tools import decode_tool, decode_tool_choice, encode_tool_choice, encode_tools

_FORMAT_TYPES = ("text", "json_object", "json_schema")


def decode_request(fields: Mapping[str, msgspec.Raw]) -> ChatRequest:
    """The request that the top-level `fields` of a body say; `top_k` and other vendors' settings become extensions.

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
    messages = fields.array("messages")
    if messages is None:
        raise fields.missing("messages", "an array of messages")
    tools = fields.array("tools")
    newer, older = fields.integer("max_completion_tokens"), fields.integer("max_tokens")
    stream_options = fields.child("stream_options")
    effort = fields.text("reasoning_effort")
    return ChatRequest(
        model=model,
        messages=decode_messages(messages),
        tools=None if tools is None else tuple(decode_tool(tool, f"tools[{n}]") for n, tool in enumerate(tools)),
        tool_choice=decode_tool_choice(fields),
        parallel_tool_calls=fields.boolean("parallel_tool_calls"),
        output_limit=older if newer is None else newer,
        stop=_decode_stop(fields),
        choices=fields.integer("n"),
        sampling=_decode_sampling(fields),
        response_format=_decode_response_format(fields),
        verbosity=fields.text("verbosity"),
        reasoning=None if effort is None else ReasoningSetting(effort=effort),
        stream=fields.boolean("stream") or False,
        stream_usage=stream_options is not None and (stream_options.boolean("include_usage") or False),
        user=fields.text("user"),
        metadata=fields.plain("metadata"),
        service_tier=fields.text("service_tier"),
        store=fields.boolean("store"),
        prompt_cache_key=fields.text("prompt_cache_key"),
        extensions=kept(NAME, fields.rest()),
    )


def _decode_stop(fields: Fields) -> tuple[str, ...]:
    if isinstance(fields.get("stop"), str):
        return (fields.text("stop") or "",)
    stop: list[str] = []
    for text in fields.array("stop") or []:
        if not isinstance(text, str):
            raise fields.wrong("stop", "a string or an array of strings")
        stop.append(text)
    return tuple(stop)


def _decode_sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        frequency_penalty=fields.number("frequency_penalty"),
        presence_penalty=fields.number("presence_penalty"),
        seed=fields.integer("seed"),
        logprobs=fields.boolean("logprobs"),
        top_logprobs=fields.integer("top_logprobs"),
    )


def _decode_response_format(fields: Fields) -> ResponseFormat | None:
    """The shape asked for; a type that is not known stays where it is."""
    value = fields.get("response_format")
    if isinstance(value, dict) and "type" in value and value["type"] not in _FORMAT_TYPES:
        return None
    wanted = fields.child("response_format")
    if wanted is None:
        return None
    kind = wanted.text("type")
    if kind == "text":
        return ResponseFormat(type="text")
    if kind == "json_object":
        return ResponseFormat(type="json_object")
    if kind is None:
        raise wanted.missing("type", f"one of {', '.join(_FORMAT_TYPES)}")
    schema = wanted.child("json_schema")
    if schema is None:
        raise wanted.missing("json_schema", "an object with a name and a schema")
    return ResponseFormat(
        type="json_schema",
        name=schema.text("name"),
        description=schema.text("description"),
        schema=schema.plain("schema"),
        strict=schema.boolean("strict"),
    )


def encode_request(request: ChatRequest, losses: list[Loss]) -> bytes:
    """The body of a request, keys always in the same order; appends to `losses` what this format cannot say.

    The output limit is written as `max_completion_tokens`, which the format's own vendor takes for every model.
    """
    noted = Losses(NAME, losses)
    body: dict[str, object] = {"model": request.model, "messages": encode_messages(request.messages, noted)}
    if request.tools is not None:
        tools = encode_tools(request.tools, noted)
        if tools or not request.tools:
            body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = encode_tool_choice(request.tool_choice)
    body |= _present(
        parallel_tool_calls=request.parallel_tool_calls,
        max_completion_tokens=request.output_limit,
        stop=list(request.stop) or None,
        n=request.choices,
        **_encode_sampling(request.sampling, noted),
        response_format=_encode_response_format(request.response_format),
        verbosity=request.verbosity,
        reasoning_effort=_encode_reasoning(request.reasoning, noted),
        stream=request.stream or None,
        stream_options={"include_usage": True} if request.stream_usage else None,
        user=encode_user(request.user, noted),
        metadata=request.metadata,
        service_tier=request.service_tier,
        store=request.store,
        prompt_cache_key=request.prompt_cache_key,
    )
    noted.restore(body, request.extensions, "")
    return render(body)


def _encode_sampling(sampling: Sampling, losses: Losses) -> dict[str, object]:
    losses.drop("sampling.top_k", sampling.top_k)
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "seed": sampling.seed,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
    }


def _encode_response_format(wanted: ResponseFormat | None) -> dict[str, object] | None:
    if wanted is None:
        return None
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    # The name is required here, while other formats have none.
    schema: dict[str, object] = {"name": wanted.name or "response"}
    schema |= _present(description=wanted.description, schema=wanted.schema, strict=wanted.strict)
    return {"type": "json_schema", "json_schema": schema}


def _encode_reasoning(setting: ReasoningSetting | None, losses: Losses) -> str | None:
    if setting is None:
        return None
    losses.drop("reasoning.summary", setting.summary)
    return encode_effort(setting, losses)


def _present(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}
