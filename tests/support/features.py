"""The features of a request, one small request each, as the table of what a translation keeps shows them."""

from typing import Any

from tollhouse.ir.parts import (
    AudioPart,
    CacheControl,
    FilePart,
    ImagePart,
    MediaData,
    MediaId,
    MediaUrl,
    Part,
    ReasoningOrigin,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.request import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    Message,
    NamespaceTool,
    ReasoningSetting,
    ResponseFormat,
    Sampling,
    ToolChoice,
)

_SCHEMA: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOL = FunctionTool(name="weather", description="The weather.", parameters=_SCHEMA)
_USER = Message(role="user", parts=(TextPart(text="Hello"),))
_PNG = "iVBORw0KGgo="


def _asked(**fields: Any) -> ChatRequest:
    return ChatRequest(**{"model": "m", "output_limit": 100, "messages": (_USER,), **fields})


def _said(*parts: Part) -> ChatRequest:
    return _asked(messages=(Message(role="user", parts=(TextPart(text="Look"), *parts)),))


def _answered(*parts: Part) -> ChatRequest:
    return _asked(messages=(_USER, Message(role="assistant", parts=(*parts, TextPart(text="So"))), _USER))


def _round(*results: ToolResultPart) -> ChatRequest:
    calls = tuple(ToolCallPart(id=one.call_id, name="weather", arguments='{"city":"Rome"}') for one in results)
    turns = (_USER, Message(role="assistant", parts=calls), Message(role="tool", parts=results))
    return _asked(messages=turns, tools=(_TOOL,))


def _result(call_id: str = "call_1", *parts: Any, **fields: Any) -> ToolResultPart:
    return ToolResultPart(call_id=call_id, parts=parts or (TextPart(text="sun"),), **fields)


_SYSTEM = Message(role="system", parts=(TextPart(text="Be brief."),))
_ANSWER = Message(role="assistant", parts=(TextPart(text="Hi"),))
_IMAGE = ImagePart(source=MediaData(data=_PNG, media_type="image/png"))
_PDF = MediaData(data="JVBERi0=", media_type="application/pdf")

FEATURES: dict[str, ChatRequest] = {
    "text of one turn": _asked(),
    "system text": _asked(messages=(_SYSTEM, _USER)),
    "system text in the middle": _asked(messages=(_USER, _ANSWER, _SYSTEM, _USER)),
    "developer text": _asked(messages=(Message(role="developer", parts=(TextPart(text="Be brief."),)), _USER)),
    "name of a speaker": _asked(messages=(Message(role="user", name="ann", parts=(TextPart(text="Hello"),)),)),
    "image as data": _said(_IMAGE),
    "image by URL": _said(ImagePart(source=MediaUrl(url="https://images.example/a.png"))),
    "image's detail": _said(ImagePart(source=MediaUrl(url="https://images.example/a.png"), detail="low")),
    "PDF as data": _said(FilePart(source=_PDF, filename="a.pdf")),
    "PDF by URL": _said(FilePart(source=MediaUrl(url="https://files.example/a.pdf"))),
    "file by id": _said(FilePart(source=MediaId(id="file-1"))),
    "audio": _said(AudioPart(source=MediaData(data="UklGRg==", media_type="audio/wav"))),
    "tool": _asked(tools=(_TOOL,)),
    "strict tool": _asked(tools=(FunctionTool(name="weather", parameters=_SCHEMA, strict=True),)),
    "custom tool": _asked(tools=(CustomTool(name="sql", description="SQL."),)),
    "group of tools": _asked(tools=(NamespaceTool(name="sky", tools=(_TOOL,)),)),
    "tool choice: any": _asked(tools=(_TOOL,), tool_choice=ToolChoice(mode="required")),
    "tool choice: none": _asked(tools=(_TOOL,), tool_choice=ToolChoice(mode="none")),
    "tool choice: one": _asked(tools=(_TOOL,), tool_choice=ToolChoice(mode="tool", name="weather")),
    "one tool call at a time": _asked(tools=(_TOOL,), parallel_tool_calls=False),
    "tool call and result": _round(_result()),
    "parallel tool calls": _round(_result("call_1"), _result("call_2")),
    "image in a tool result": _round(_result("call_1", TextPart(text="see"), _IMAGE)),
    "failed tool result": _round(_result("call_1", is_error=True)),
    "reasoning text": _answered(ReasoningPart(text="Hm.")),
    "signed reasoning": _answered(
        ReasoningPart(text="Hm.", opaque="c2ln", origin=ReasoningOrigin(format="anthropic_messages"))
    ),
    "encrypted reasoning": _answered(
        ReasoningPart(summary=("Hm.",), opaque="ZW5j", id="rs_1", origin=ReasoningOrigin(format="openai_responses"))
    ),
    "refusal": _answered(RefusalPart(text="No.")),
    "cache breakpoint": _said(TextPart(text="long", cache_control=CacheControl(said_in="anthropic_messages"))),
    "temperature up to 1": _asked(sampling=Sampling(temperature=0.5)),
    "temperature above 1": _asked(sampling=Sampling(temperature=1.5)),
    "top_p": _asked(sampling=Sampling(top_p=0.5)),
    "top_k": _asked(sampling=Sampling(top_k=5)),
    "penalties": _asked(sampling=Sampling(frequency_penalty=0.5, presence_penalty=0.5)),
    "seed": _asked(sampling=Sampling(seed=7)),
    "logprobs": _asked(sampling=Sampling(logprobs=True, top_logprobs=2)),
    "stop sequences": _asked(stop=("END",)),
    "JSON object": _asked(response_format=ResponseFormat(type="json_object")),
    "JSON schema": _asked(response_format=ResponseFormat(type="json_schema", name="out", schema=_SCHEMA, strict=True)),
    "verbosity": _asked(verbosity="low"),
    "reasoning effort": _asked(reasoning=ReasoningSetting(effort="low")),
    "reasoning budget": _asked(reasoning=ReasoningSetting(mode="enabled", budget_tokens=2048), output_limit=4096),
    "user": _asked(user="u1"),
    "metadata": _asked(metadata={"a": "b"}),
    "service tier": _asked(service_tier="priority"),
    "store": _asked(store=False),
    "prompt cache key": _asked(prompt_cache_key="k"),
}  # fmt: skip
