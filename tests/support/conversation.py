"""A conversation, told by the official SDKs in any format, and what a provider was told of it.

A caller's `model` may change from turn to turn.
`fold` is a reader of its own: it shares nothing with the gateway's decoders.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import anthropic
import openai

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(90))).decode()
PDF = base64.b64encode(b"%PDF-1.7\n" + bytes(range(200))).decode()
PHOTO_URL = "https://images.example.com/lighthouse.jpg"
SYSTEM = "Answer in one line."
TOOLS = {
    "weather": {"type": "object", "properties": {"city": {"const": "Rome"}}, "required": ["city"]},
    "clock": {"type": "object", "properties": {"zone": {"const": "CET"}}, "required": ["zone"]},
}

Said = Sequence[tuple[str, str]]
Folded = list[tuple[str, str, str]]


def media_hash(data_or_url: str) -> str:
    """What stands for media in a folded list: the hash of its bytes, or of its address."""
    raw = data_or_url.encode() if "://" in data_or_url else base64.b64decode(data_or_url)
    return hashlib.sha256(raw).hexdigest()


class ChatCaller:
    """Chat Completions, as its SDK's users keep a history: the message that came is sent back as it is."""

    def __init__(self, client: openai.OpenAI) -> None:
        self.model = ""
        self._client = client
        self._history: list[Any] = [{"role": "system", "content": SYSTEM}]
        functions = [{"name": name, "description": "A tool.", "parameters": TOOLS[name]} for name in TOOLS]
        tools = [{"type": "function", "function": function} for function in functions]
        self._asked: dict[str, Any] = {"tools": tools, "reasoning_effort": "low", "max_tokens": 4000}
        self.calls: list[str] = []

    def say(self, said: Said, *, stream: bool) -> None:
        shapes: dict[str, Any] = {
            "text": lambda text: {"type": "text", "text": text},
            "image": lambda data: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
            "photo": lambda url: {"type": "image_url", "image_url": {"url": url}},
            "pdf": lambda data: {
                "type": "file",
                "file": {"filename": "sums.pdf", "file_data": f"data:application/pdf;base64,{data}"},
            },
        }
        self._turn({"role": "user", "content": [shapes[kind](value) for kind, value in said]}, stream=stream)

    def answer_calls(self, results: Sequence[str], *, stream: bool) -> None:
        pairs = zip(self.calls, results, strict=True)
        self._turn(*({"role": "tool", "tool_call_id": call, "content": text} for call, text in pairs), stream=stream)

    def _turn(self, *messages: Any, stream: bool) -> None:
        self._history += messages
        completions = self._client.chat.completions
        if stream:
            with completions.stream(model=self.model, messages=self._history, **self._asked) as events:
                message: Any = events.get_final_completion().choices[0].message
        else:
            message = completions.create(model=self.model, messages=self._history, **self._asked).choices[0].message
        self.calls = [call.id for call in message.tool_calls or []]
        # What a parsing helper adds to a message is nothing that a server sent.
        self._history.append(message.to_dict(exclude_none=True) | {"role": "assistant"})


class ResponsesCaller:
    """Responses, stateless: the items that came are sent back as they are."""

    def __init__(self, client: openai.OpenAI) -> None:
        self.model = ""
        self._client = client
        self._history: list[Any] = []
        self._asked: dict[str, Any] = {
            "instructions": SYSTEM,
            "tools": [{"type": "function", "name": name, "parameters": TOOLS[name], "strict": False} for name in TOOLS],
            "reasoning": {"effort": "low", "summary": "auto"},
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "max_output_tokens": 4000,
        }
        self.calls: list[str] = []

    def say(self, said: Said, *, stream: bool) -> None:
        shapes: dict[str, Any] = {
            "text": lambda text: {"type": "input_text", "text": text},
            "image": lambda data: {"type": "input_image", "image_url": f"data:image/png;base64,{data}"},
            "photo": lambda url: {"type": "input_image", "image_url": url},
            "pdf": lambda data: {
                "type": "input_file",
                "filename": "sums.pdf",
                "file_data": f"data:application/pdf;base64,{data}",
            },
        }
        self._turn({"role": "user", "content": [shapes[kind](value) for kind, value in said]}, stream=stream)

    def answer_calls(self, results: Sequence[str], *, stream: bool) -> None:
        pairs = zip(self.calls, results, strict=True)
        items = ({"type": "function_call_output", "call_id": call, "output": text} for call, text in pairs)
        self._turn(*items, stream=stream)

    def _turn(self, *items: Any, stream: bool) -> None:
        self._history += items
        if stream:
            with self._client.responses.stream(model=self.model, input=self._history, **self._asked) as events:
                answer: Any = events.get_final_response()
        else:
            answer = self._client.responses.create(model=self.model, input=self._history, **self._asked)
        output = [item.to_dict(exclude_none=True) for item in answer.output]
        # The streaming helper adds what it parsed, which the SDK's own documents say to leave out.
        for item in output:
            item.pop("parsed_arguments", None)
            for part in item.get("content") or []:
                part.pop("parsed", None)
        self.calls = [item["call_id"] for item in output if item["type"] == "function_call"]
        self._history += output


class MessagesCaller:
    """Messages, whose assistant's turn is sent back with the very blocks that came."""

    def __init__(self, client: anthropic.Anthropic) -> None:
        self.model = ""
        self._client = client
        self._history: list[Any] = []
        self._asked: dict[str, Any] = {
            "system": SYSTEM,
            "tools": [{"name": name, "description": "A tool.", "input_schema": TOOLS[name]} for name in TOOLS],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "max_tokens": 4000,
        }
        self.calls: list[str] = []

    def say(self, said: Said, *, stream: bool) -> None:
        shapes: dict[str, Any] = {
            "text": lambda text: {"type": "text", "text": text},
            "image": lambda data: {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": data},
            },
            "photo": lambda url: {"type": "image", "source": {"type": "url", "url": url}},
            "pdf": lambda data: {
                "type": "document",
                "title": "sums.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": data},
            },
        }
        self._turn([shapes[kind](value) for kind, value in said], stream=stream)

    def answer_calls(self, results: Sequence[str], *, stream: bool) -> None:
        pairs = zip(self.calls, results, strict=True)
        blocks = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in pairs]
        self._turn(blocks, stream=stream)

    def _turn(self, blocks: list[Any], *, stream: bool) -> None:
        self._history.append({"role": "user", "content": blocks})
        if stream:
            with self._client.messages.stream(model=self.model, messages=self._history, **self._asked) as events:
                answer: Any = events.get_final_message()
        else:
            answer = self._client.messages.create(model=self.model, messages=self._history, **self._asked)
        self.calls = [block.id for block in answer.content if block.type == "tool_use"]
        self._history.append({"role": "assistant", "content": answer.content})


def fold(upstream: str, body: dict[str, Any]) -> Folded:
    """What the request says, as (role, kind, text or arguments or media hash); a call is named by its number."""
    found = {"chat": _fold_chat, "responses": _fold_responses, "messages": _fold_messages}[upstream](body)
    numbers: dict[str, str] = {}
    folded: Folded = []
    for role, kind, value, call_id in found:
        if kind == "call":
            numbers[call_id] = f"call {len(numbers)}"
        folded.append((role, kind, value if not call_id else f"{numbers[call_id]}: {value}"))
    return folded


_Item = tuple[str, str, str, str]


def _media(url: str) -> str:
    return media_hash(url.partition(",")[2] if url.startswith("data:") else url)


def _call(name: str, arguments: Any) -> str:
    return f"{name} {json.dumps(arguments, sort_keys=True)}"


def _fold_chat(body: dict[str, Any]) -> list[_Item]:
    items: list[_Item] = []
    for message in body["messages"]:
        role = message["role"]
        texts = {message[key] for key in ("reasoning", "reasoning_content") if message.get(key)}
        items += [(role, "reasoning", text, "") for text in texts]
        content = message.get("content") or []
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            match part["type"]:
                case "text" if role == "tool":
                    items.append((role, "result", part["text"], message["tool_call_id"]))
                case "text":
                    items.append((role, "text", part["text"], ""))
                case "image_url":
                    items.append((role, "image", _media(part["image_url"]["url"]), ""))
                case "file":
                    items.append((role, "file", _media(part["file"]["file_data"]), ""))
        for call in message.get("tool_calls") or []:
            function = call["function"]
            items.append((role, "call", _call(function["name"], json.loads(function["arguments"])), call["id"]))
    return items


def _fold_responses(body: dict[str, Any]) -> list[_Item]:
    items: list[_Item] = [("system", "text", body["instructions"], "")] if body.get("instructions") else []
    for item in body["input"]:
        match item.get("type", "message"):
            case "reasoning":
                told = [*item["summary"], *item.get("content", [])]
                items.append(("assistant", "reasoning", "".join(part["text"] for part in told), ""))
            case "function_call":
                call = _call(item["name"], json.loads(item["arguments"]))
                items.append(("assistant", "call", call, item["call_id"]))
            case "function_call_output":
                items.append(("tool", "result", item["output"], item["call_id"]))
            case _:
                items += _fold_item(item)
    return items


def _fold_item(item: dict[str, Any]) -> list[_Item]:
    content, role = item["content"], item["role"]
    items: list[_Item] = []
    for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content:
        match part["type"]:
            case "input_text" | "output_text":
                items.append((role, "text", part["text"], ""))
            case "input_image":
                items.append((role, "image", _media(part["image_url"]), ""))
            case "input_file":
                items.append((role, "file", _media(part["file_data"]), ""))
    return items


def _fold_messages(body: dict[str, Any]) -> list[_Item]:
    system = body.get("system") or []
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    items: list[_Item] = [("system", "text", block["text"], "") for block in blocks]
    for turn in body["messages"]:
        role, content = turn["role"], turn["content"]
        said = [{"type": "text", "text": content}] if isinstance(content, str) else content
        items += [_fold_block(role, block) for block in said]
    return items


def _fold_block(role: str, block: dict[str, Any]) -> _Item:
    match block["type"]:
        case "text":
            return role, "text", block["text"], ""
        case "thinking":
            return role, "reasoning", block["thinking"], ""
        case "redacted_thinking":
            return role, "reasoning", "", ""
        case "tool_use":
            return role, "call", _call(block["name"], block["input"]), block["id"]
        case "tool_result":
            content = block["content"]
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            return "tool", "result", text, block["tool_use_id"]
        case "image" | "document" as kind:
            source = block["source"]
            named = "image" if kind == "image" else "file"
            return role, named, media_hash(source.get("data") or source["url"]), ""
    raise AssertionError(block)
