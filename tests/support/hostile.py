"""Hostile input: JSON that uses a format's own words in the wrong places, and bytes that were damaged on the way."""

import json

from hypothesis import strategies as st

WORDS = {
    "openai_chat": [
        "id", "model", "created", "choices", "index", "delta", "message", "role", "content", "text", "type", "refusal",
        "reasoning", "reasoning_content", "reasoning_details", "signature", "summary", "data", "thinking", "tool_calls",
        "function", "custom", "name", "arguments", "input", "finish_reason", "logprobs", "annotations", "url_citation",
        "url", "usage", "prompt_tokens", "x_groq", "error", "code", "service_tier", "object", "messages", "tools",
        "tool_choice", "tool_call_id", "image_url", "file", "file_data", "input_audio", "stop", "response_format",
        "json_schema", "stream_options", "include_usage", "cache_control", "allowed_tools", "mode", "parameters",
    ],
    "openai_responses": [
        "id", "type", "model", "created_at", "status", "output", "item", "response", "output_index", "content_index",
        "summary_index", "delta", "role", "content", "text", "refusal", "part", "annotation", "annotations", "logprobs",
        "reasoning", "summary", "encrypted_content", "call_id", "name", "arguments", "input", "usage", "input_tokens",
        "incomplete_details", "reason", "error", "code", "message", "service_tier", "object", "instructions", "tools",
        "tool_choice", "format", "schema", "include", "previous_response_id", "image_url", "file_data", "file_id",
        "input_audio", "url", "phase", "allowed_tools", "mode", "parameters", "cache_control", "item_id",
    ],
    "anthropic_messages": [
        "id", "model", "type", "role", "content", "text", "thinking", "signature", "data", "input", "name", "index",
        "source", "media_type", "url", "file_id", "title", "citations", "citation", "cited_text", "document_title",
        "tool_use_id", "is_error", "cache_control", "ttl", "stop_reason", "stop_sequence", "usage", "input_tokens",
        "output_tokens", "cache_creation", "message", "delta", "content_block", "partial_json", "error", "system",
        "messages", "tools", "tool_choice", "disable_parallel_tool_use", "input_schema", "description", "thinking",
        "budget_tokens", "output_config", "effort", "format", "schema", "metadata", "user_id", "service_tier",
        "max_tokens", "stop_sequences", "container", "stop_details", "context_management", "strict", "display",
    ],
}  # fmt: skip
KINDS = ["text", "thinking", "redacted_thinking", "tool_use", "tool_result", "server_tool_use", "image", "document",
         "text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta", "base64", "url",
         "web_search_result_location", "char_location", "enabled", "adaptive", "any", "custom", "system",
         "web_search_20250305", "end_turn", "max_tokens", "ephemeral", "file", "compaction_delta"]  # fmt: skip
EVENTS = ["content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_start",
          "message_stop", "ping"]  # fmt: skip
VALUES = ["assistant", "user", "tool", "text", "function", "custom", "stop", "error", "reasoning.text",
          "reasoning.encrypted", "image_url", "file", "input_audio", "thinking", "json_schema", "auto", "message",
          "output_text", "input_text", "input_image", "input_file", "refusal", "reasoning", "summary_text",
          "function_call", "custom_tool_call", "function_call_output", "item_reference", "completed", "failed",
          "incomplete", "response.created", "response.output_item.added", "response.output_item.done",
          "response.content_part.added", "response.output_text.delta", "response.refusal.delta",
          "response.reasoning_summary_text.delta", "response.function_call_arguments.delta", "response.completed",
          ""]  # fmt: skip


def hostile_values(format_name: str):
    """Any JSON value built of the words of the format."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, 1, -1, 127, 2**70, -(2**63), 1.5, 1e300]),
        st.sampled_from(VALUES + KINDS + WORDS[format_name]),
    )
    keys = st.sampled_from(WORDS[format_name])
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=25,
    )


def hostile_objects(format_name: str):
    """Top-level objects, with the keys that lead deepest into a decoder."""
    values = hostile_values(format_name)
    choice = st.dictionaries(st.sampled_from(["index", "delta", "message", "finish_reason", "logprobs"]), values)
    inner = st.dictionaries(st.sampled_from(WORDS[format_name]), values, max_size=6)
    if format_name == "anthropic_messages":
        return _hostile_messages(inner, values).map(lambda value: json.dumps(value).encode())
    whole = st.fixed_dictionaries(
        {"choices": st.lists(choice | st.fixed_dictionaries({"delta": inner, "message": inner}), max_size=3)}
    )
    optional = dict.fromkeys(("tools", "tool_choice", "stop", "response_format", "stream_options", "metadata"), values)
    messages = st.lists(inner, max_size=3)
    asked = st.fixed_dictionaries({"model": st.just("m"), "messages": messages, "input": messages}, optional=optional)
    answered = st.fixed_dictionaries({"output": messages}, optional={"status": values, "usage": values, "id": values})
    event = st.fixed_dictionaries(
        {"type": st.sampled_from(VALUES), "output_index": st.integers(0, 2)},
        optional={"item": inner, "response": answered, "part": inner, "delta": st.just("x"), "annotation": inner},
    )
    return st.one_of(inner, whole, asked, answered, event).map(lambda value: json.dumps(value).encode())


def _hostile_blocks(inner):
    kind = st.fixed_dictionaries({"type": st.sampled_from(KINDS)})
    return st.builds(lambda block, kind: {**block, **kind}, inner, kind)


def _hostile_messages(inner, values):
    """Answers and requests of Messages."""
    blocks = st.lists(_hostile_blocks(inner), max_size=3)
    whole = st.fixed_dictionaries({"content": blocks}, optional=dict.fromkeys(("usage", "stop_reason", "id"), values))
    turn = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": blocks})
    optional = dict.fromkeys(
        ("tool_choice", "thinking", "output_config", "metadata", "stop_sequences", "temperature"), values | inner
    )
    optional |= {"system": blocks, "tools": st.lists(inner, max_size=2)}
    asked = st.fixed_dictionaries({"model": st.just("m"), "messages": st.lists(turn, max_size=4)}, optional=optional)
    return st.one_of(inner, whole, asked)


def hostile_streams(format_name: str):
    """Streams of hostile events that begin and end as they should, where the format has such frames."""
    inner = st.dictionaries(st.sampled_from(WORDS[format_name]), hostile_values(format_name), max_size=6)
    if format_name != "anthropic_messages":
        return inner.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n")
    block = _hostile_blocks(inner)
    event = st.builds(
        lambda kind, index, block, delta, more: {
            **more, "type": kind, "index": index, "content_block": block, "delta": delta, "message": more,
        },
        st.sampled_from(EVENTS), st.integers(0, 2), block, block, inner,
    )  # fmt: skip
    start = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}}

    def joined(events):
        stream = [start, *events, {"type": "message_stop"}]
        return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in stream)

    return st.lists(event, max_size=6).map(joined)


@st.composite
def damaged(draw, data: bytes):
    """`data` with a piece cut out, doubled or overwritten."""
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 40)))
    piece = draw(
        st.sampled_from([b"", b"\x00", b"\xff\xfe", b"}", b'"', b"\n\n", b"data: {", b"[DONE]", data[start:end] * 2])
    )
    return data[:start] + piece + data[end:]
