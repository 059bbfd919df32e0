"""Values of the internal representation of every kind, for property tests over all wire formats."""

from hypothesis import strategies as st

from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    AudioPart,
    CacheControl,
    Citation,
    FilePart,
    ImagePart,
    MediaData,
    MediaId,
    MediaText,
    MediaUrl,
    OpaquePart,
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
    ProviderTool,
    ReasoningSetting,
    ResponseFormat,
    Sampling,
    ToolChoice,
)
from tollhouse.ir.response import ChatResponse, Choice, Finish, FinishReason
from tollhouse.ir.usage import Usage

FORMAT_NAMES = ("openai_chat", "openai_responses", "anthropic_messages")

# Letters that break naive code: quotes, escapes, line ends, what looks like framing, several bytes, several units.
_LETTERS = st.sampled_from([*'ab:{}[]"\\\n\r\t ', "data: ", "[DONE]", "\u2028", "é", "漢", "🦊", "\x00", "\ufeff"])
texts = st.lists(_LETTERS, min_size=1, max_size=8).map("".join)
names = st.sampled_from(["get_weather", "search", "a", "Tool-9"])
ids = st.integers(0, 10**6).map("id_{}".format)


def _maybe(strategy):
    return st.none() | strategy


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.sampled_from([0.5, -1.25e10]) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["k", "l", "ключ"]), inner, max_size=2),
    max_leaves=4,
)
_leftovers = st.dictionaries(st.sampled_from(["x_one", "x_two"]), plain_values, max_size=2)


def extensions(own: str | None = None):
    """Leftovers of one format, or of any; empty most of the time."""
    name = st.sampled_from(FORMAT_NAMES) if own is None else st.just(own)
    filled = st.builds(lambda name, left: {name: left} if left else {}, name, _leftovers)
    return st.one_of(st.just({}), st.just({}), filled)


_breakpoints = st.builds(
    CacheControl, ttl=st.sampled_from([None, "1h"]), said_in=st.sampled_from([None, *FORMAT_NAMES])
)
cache_controls = st.one_of(st.none(), st.none(), _breakpoints)
_media_urls = st.builds(MediaUrl, url=ids.map("https://example.org/{}.png".format))
_media_data = st.builds(MediaData, data=st.sampled_from(["iVBORw0KGgo=", "AAAA"]), media_type=st.just("image/png"))
_media_ids = st.builds(MediaId, id=ids)
_logprobs = st.lists(st.fixed_dictionaries({"token": texts, "logprob": st.just(-0.5)}), max_size=2).map(tuple)
_citations = st.builds(
    Citation,
    url=_maybe(st.just("https://example.org/")),
    title=_maybe(texts),
    cited_text=_maybe(texts),
    start=_maybe(st.integers(0, 99)),
    end=_maybe(st.integers(0, 99)),
    extensions=extensions(),
)


def text_parts(own: str | None = None):
    return st.builds(
        TextPart, text=texts, item_id=_maybe(ids), cache_control=cache_controls, extensions=extensions(own)
    )


_answer_texts = st.builds(
    TextPart, text=texts, citations=st.lists(_citations, max_size=2).map(tuple), logprobs=_logprobs
)
refusal_parts = st.builds(RefusalPart, text=texts)
image_parts = st.builds(
    ImagePart,
    source=_media_urls | _media_data | _media_ids,
    detail=_maybe(st.sampled_from(["low", "high"])),
    cache_control=cache_controls,
    extensions=extensions(),
)
file_parts = st.builds(
    FilePart,
    source=_media_urls | _media_data | _media_ids | st.builds(MediaText, text=texts),
    filename=_maybe(texts),
    cache_control=cache_controls,
    extensions=extensions(),
)
audio_parts = st.builds(AudioPart, source=_media_data | _media_urls, extensions=extensions())
opaque_parts = st.builds(
    OpaquePart, format=st.sampled_from(FORMAT_NAMES), value=_leftovers.map(lambda left: {"type": "x_kind", **left})
)


@st.composite
def reasoning_parts(draw):
    opaque = draw(_maybe(texts))
    redacted = opaque is not None and draw(st.booleans())
    origin = None if opaque is None else ReasoningOrigin(format=draw(st.sampled_from(FORMAT_NAMES)), creator="acme")
    return ReasoningPart(
        text="" if redacted else draw(texts | st.just("")),
        summary=() if redacted else tuple(draw(st.lists(texts, max_size=2))),
        opaque=opaque,
        origin=origin,
        redacted=redacted,
        id=draw(_maybe(ids)),
        form=draw(
            st.sampled_from([None, None, "thinking", "reasoning_content", "reasoning.text", "reasoning.summary"])
        ),
        extensions=draw(extensions()),
    )


@st.composite
def tool_call_parts(draw):
    kind = draw(st.sampled_from(["function", "function", "custom"]))
    arguments = draw(texts) if kind == "custom" else draw(st.sampled_from(["{}", '{"city": "Rīga"}', "", '{"broken']))
    return ToolCallPart(
        id=draw(ids),
        name=draw(names),
        arguments=arguments,
        kind=kind,
        item_id=draw(_maybe(ids)),
        extensions=draw(extensions()),
    )


tool_result_parts = st.builds(
    ToolResultPart,
    call_id=ids,
    parts=st.lists(text_parts() | image_parts | file_parts | audio_parts | opaque_parts, max_size=3).map(tuple),
    is_error=st.booleans(),
    cache_control=cache_controls,
    extensions=extensions(),
)

_said = text_parts() | image_parts | file_parts | audio_parts | opaque_parts
_answered = st.one_of(text_parts(), refusal_parts, reasoning_parts(), tool_call_parts(), opaque_parts)


@st.composite
def messages(draw):
    role = draw(st.sampled_from(["system", "developer", "user", "user", "assistant", "assistant", "tool"]))
    parts = {"system": text_parts(), "developer": text_parts(), "user": _said, "assistant": _answered}
    return Message(
        role=role,
        parts=tuple(draw(st.lists(parts.get(role, tool_result_parts), max_size=4))),
        name=draw(_maybe(names)),
        id=draw(_maybe(ids)),
        extensions=draw(extensions()),
    )


_schemas = st.just({"$schema": "s", "type": "object", "properties": {"b": {"const": 1.0}, "a": {"anyOf": []}}})
_tool_marks = {"cache_control": cache_controls, "extensions": extensions()}
_function_tools = st.builds(
    FunctionTool,
    name=names,
    description=_maybe(texts),
    parameters=_maybe(_schemas),
    strict=_maybe(st.booleans()),
    **_tool_marks,
)
tools = st.one_of(
    _function_tools,
    st.builds(
        NamespaceTool,
        name=names,
        description=_maybe(texts),
        tools=st.lists(_function_tools, max_size=2).map(tuple),
        extensions=extensions(),
    ),
    st.builds(CustomTool, name=names, description=_maybe(texts), grammar=_maybe(_leftovers), **_tool_marks),
    st.builds(ProviderTool, format=st.sampled_from(FORMAT_NAMES), value=st.just({"type": "web_search", "max": 3})),
)
tool_choices = st.one_of(
    st.builds(ToolChoice, mode=st.sampled_from(["auto", "none", "required"])),
    st.builds(ToolChoice, mode=st.just("tool"), name=names, kind=st.sampled_from(["function", "custom"])),
    st.builds(ToolChoice, mode=st.sampled_from(["auto", "required"]), allowed=st.lists(names, max_size=2).map(tuple)),
)
_tokens = st.integers(1, 10**6)
samplings = st.builds(
    Sampling,
    temperature=_maybe(st.sampled_from([0, 0.5, 1.0])),
    top_p=_maybe(st.just(0.9)),
    top_k=_maybe(st.just(40)),
    frequency_penalty=_maybe(st.just(-0.5)),
    presence_penalty=_maybe(st.just(0.5)),
    seed=_maybe(st.integers(-(2**40), 2**40)),
    logprobs=_maybe(st.booleans()),
    top_logprobs=_maybe(st.integers(0, 20)),
)
response_formats = st.one_of(
    st.builds(ResponseFormat, type=st.sampled_from(["text", "json_object"])),
    st.builds(
        ResponseFormat, type=st.just("json_schema"), name=_maybe(names), schema=_schemas, strict=_maybe(st.booleans())
    ),
)
reasoning_settings = st.builds(
    ReasoningSetting,
    mode=st.sampled_from([None, "enabled", "disabled", "adaptive"]),
    effort=_maybe(st.sampled_from(["low", "high", "xhigh"])),
    budget_tokens=_maybe(_tokens),
    summary=_maybe(st.just("auto")),
)
requests = st.builds(
    ChatRequest,
    model=st.just("acme/model"),
    messages=st.lists(messages(), max_size=4).map(tuple),
    tools=_maybe(st.lists(tools, max_size=3).map(tuple)),
    tool_choice=_maybe(tool_choices),
    parallel_tool_calls=_maybe(st.booleans()),
    output_limit=_maybe(_tokens),
    stop=st.lists(texts, max_size=2).map(tuple),
    choices=_maybe(st.integers(1, 4)),
    sampling=samplings,
    response_format=_maybe(response_formats),
    verbosity=_maybe(st.just("low")),
    reasoning=_maybe(reasoning_settings),
    stream=st.booleans(),
    stream_usage=st.booleans(),
    user=_maybe(texts),
    metadata=_maybe(_leftovers),
    service_tier=_maybe(st.just("flex")),
    store=_maybe(st.booleans()),
    prompt_cache_key=_maybe(texts),
    extensions=extensions(),
)

finishes = st.builds(
    Finish,
    reason=st.sampled_from([reason for reason in FinishReason if reason is not FinishReason.ERROR]),
    raw=_maybe(st.just("raw")),
)


@st.composite
def usages(draw):
    output = draw(st.integers(0, 10**6))
    return Usage(
        input_tokens=draw(st.integers(0, 10**6)),
        cache_read_tokens=draw(st.integers(0, 10**6)),
        output_tokens=output,
        reasoning_tokens=draw(st.integers(0, output)),
    )


_answer_parts = st.one_of(
    _answer_texts,
    refusal_parts,
    reasoning_parts(),
    tool_call_parts(),
    opaque_parts,
    image_parts,
)


@st.composite
def responses(draw):
    """Whole answers, with choices 0, 1, … as every format counts them."""
    choices = draw(
        st.lists(
            st.builds(
                Choice,
                parts=st.lists(_answer_parts, max_size=5).map(tuple),
                finish=finishes,
                extensions=extensions(),
            ),
            min_size=1,
            max_size=2,
        )
    )
    numbered = [Choice(index=n, parts=c.parts, finish=c.finish, extensions=c.extensions) for n, c in enumerate(choices)]
    return ChatResponse(
        id=draw(_maybe(ids)),
        model=draw(_maybe(st.just("acme/model"))),
        created=draw(_maybe(st.integers(1, 2**33))),
        choices=tuple(numbered),
        usage=draw(_maybe(usages())),
        service_tier=draw(_maybe(st.just("flex"))),
        extensions=draw(extensions()),
    )


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` cut at `places`, each taken modulo its length."""
    ends = sorted({place % (len(data) + 1) for place in places})
    starts = [0, *ends]
    return [data[start:end] for start, end in zip(starts, [*ends, len(data)], strict=True)]


def loss_paths(losses: list[Loss]) -> list[str]:
    return [loss.path for loss in losses]
