"""ChatRequest: one call for an answer, whatever the format in which it was asked."""

from typing import Literal

import msgspec

from tollhouse.ir.parts import CacheControl, Extensions, Part

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. Results of tools stand in messages of role `tool`, never beside other parts; system text stands
    where it was said, at the front or in the middle. Of a format that has items, those of one speaker in a row are
    one message, with the ids of the items on their parts. `id` means nothing to another format and is no loss."""

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    id: str | None = None
    extensions: Extensions = {}


class FunctionTool(msgspec.Struct, frozen=True, kw_only=True, tag="function"):
    """A function of the caller's; `parameters` is its JSON Schema, untouched."""

    name: str
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


class CustomTool(msgspec.Struct, frozen=True, kw_only=True, tag="custom"):
    """A tool of the caller's that takes free text; `grammar` is the vendor's description of what it may be."""

    name: str
    description: str | None = None
    grammar: dict[str, object] | None = None
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


class ProviderTool(msgspec.Struct, frozen=True, kw_only=True, tag="provider"):
    """A tool that the provider runs itself, verbatim; only `format` can say it."""

    format: str
    value: dict[str, object]


class NamespaceTool(msgspec.Struct, frozen=True, kw_only=True, tag="namespace"):
    """Tools under one heading; each is known by the name of the group and its own."""

    name: str
    description: str | None = None
    tools: tuple[FunctionTool | CustomTool | ProviderTool, ...] = ()
    extensions: Extensions = {}


ToolSpec = FunctionTool | CustomTool | ProviderTool | NamespaceTool


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which tools the model may or must call. `name` is set exactly when `mode` is "tool", with the `namespace` of a
    tool in a group; `allowed`, where not None, narrows "auto" and "required" to these tools."""

    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None
    namespace: str | None = None
    kind: Literal["function", "custom"] = "function"
    allowed: tuple[str, ...] | None = None


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is chosen; None leaves it to the provider. `top_logprobs` implies `logprobs`."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ReasoningSetting(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model may reason. `mode`: "enabled" (with a budget), "disabled" or "adaptive", None when unsaid.
    `effort` is the caller's own word (low, medium, high, …); `summary` the kind of summary asked for."""

    mode: Literal["enabled", "disabled", "adaptive"] | None = None
    effort: str | None = None
    budget_tokens: int | None = None
    summary: str | None = None


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The shape that the answer's text must have; `schema` is a JSON Schema, untouched, with type "json_schema"."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, object] | None = None
    strict: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole request. `output_limit` is in tokens, reasoning included. `tools` None means that nothing was said,
    () that an empty list was sent. `stream_usage`: the caller asked for usage in the stream."""

    model: str
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output_limit: int | None = None
    stop: tuple[str, ...] = ()
    choices: int | None = None
    sampling: Sampling = Sampling()
    response_format: ResponseFormat | None = None
    verbosity: str | None = None
    reasoning: ReasoningSetting | None = None
    stream: bool = False
    stream_usage: bool = False
    user: str | None = None
    metadata: dict[str, object] | None = None
    service_tier: str | None = None
    store: bool | None = None
    prompt_cache_key: str | None = None
    extensions: Extensions = {}
