"""OpenAI Responses as a provider speaks them, with the oddities of a script on demand."""

from collections.abc import Iterator
from typing import Final

from tollhouse.simulator import tokens
from tollhouse.simulator.answer import Answer, Question, Tool, ToolCall
from tollhouse.simulator.format import Event, RequestError
from tollhouse.simulator.openai_chat import openai_error
from tollhouse.simulator.reading import Json, JsonObject, as_text, list_of, object_of, size_of
from tollhouse.simulator.script import Script
from tollhouse.simulator.usage import Counters, usage_report

_COUNTERS: Final = Counters(prompt="input_tokens", completion="output_tokens")
_REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")


class OpenAIResponses:
    """The format `openai_responses`; see the API reference, Responses, "Create a model response" and "Streaming"."""

    suffix = "/responses"

    def read(self, body: JsonObject, digest: str) -> Question:
        """What the request asks for. Raises RequestError where OpenAI would answer 400."""
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise RequestError("Missing required parameter: 'model'.")
        asked = body.get("input")
        if not isinstance(asked, (str, list)) or not asked:
            raise RequestError("'input' must be a string or a list with at least one item")
        if body.get("previous_response_id") is not None:
            raise RequestError("Previous response not found: the simulator stores nothing.")
        items: list[JsonObject] = (
            [{"role": "user", "content": asked}] if isinstance(asked, str) else [object_of(i) for i in list_of(asked)]
        )
        said = [_Said(item) for item in items]
        if isinstance(body.get("instructions"), str):
            said.insert(0, _Said({"role": "system", "content": body["instructions"]}))
        tools = [_tool(tool) for tool in list_of(body.get("tools"))]
        wanted = object_of(object_of(body.get("text")).get("format"))
        results = [item.text for item in said[-1:] if item.role == "tool"]
        return Question(
            model=model,
            digest=digest,
            roles=tuple(item.role for item in said if item.role),
            last_user_text=next((item.text for item in reversed(said) if item.role == "user"), ""),
            last_tool_result=results[0] if results else None,
            has_tool_results=any(item.role == "tool" for item in said),
            images=sum(item.images for item in said),
            files=sum(item.files for item in said),
            tools=tuple(tool for tool in tools if tool),
            tool_choice=_tool_choice(body.get("tool_choice")),
            parallel=body.get("parallel_tool_calls") is not False,
            max_tokens=_limit(body),
            stream=body.get("stream") is True,
            include_usage=True,
            json_mode=wanted.get("type", "text") != "text",
            schema=wanted.get("schema"),
            prompt_tokens=sum(item.tokens for item in said) + sum(size_of(t) for t in list_of(body.get("tools"))),
        )

    def whole(self, answer: Answer, script: Script) -> str:
        """The answer as one `response`."""
        return as_text(_response(answer, script, _output(answer, script)))

    def events(self, answer: Answer, question: Question, script: Script) -> Iterator[Event]:
        """The answer as events with names and numbers; the last of them holds all of it. Nothing is sent after it."""
        del question
        for number, event in enumerate(_Events(answer, script).all()):
            yield Event(as_text({**event, "sequence_number": number}), event["type"])

    def error(self, status: int, message: str) -> str:
        """OpenAI's error object."""
        return openai_error(status, message)


class _Said:
    """One item of the request: who said it, its text, and what else is in it. Items without words have no role."""

    def __init__(self, item: JsonObject) -> None:
        kind = item.get("type", "message")
        self.role = "tool" if kind in _OUTPUTS else str(item.get("role", ""))
        content = item.get("output" if kind in _OUTPUTS else "content")
        parts = (
            [{"type": "input_text", "text": content}]
            if isinstance(content, str)
            else [object_of(part) for part in list_of(content)]
        )
        kinds = [part.get("type") for part in parts]
        self.text = " ".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))
        self.images = kinds.count("input_image")
        self.files = kinds.count("input_file")
        self.tokens = (
            tokens.MESSAGE_OVERHEAD + tokens.count(self.text) + self.images * tokens.IMAGE_TOKENS
            if self.role
            else size_of(item)
        )


class _Events:
    """The events of one streamed answer, not yet numbered."""

    def __init__(self, answer: Answer, script: Script) -> None:
        self.answer = answer
        self.script = script
        self.items = 0

    def all(self) -> Iterator[JsonObject]:
        """From `response.created` to the end."""
        begun = {**_response(self.answer, self.script, []), "status": "in_progress", "usage": None}
        begun["incomplete_details"] = None
        yield {"type": "response.created", "response": begun}
        yield {"type": "response.in_progress", "response": begun}
        if self.answer.reasoning:
            yield from self._reasoning()
        if self.answer.text or self.answer.endless or self.answer.refusal:
            yield from self._message()
        for call in self.answer.calls:
            yield from self._call(call)
        if self.script.no_finish or self.script.no_done:
            return
        whole = _response(self.answer, self.script, _output(self.answer, self.script))
        end = {"type": f"response.{whole['status']}", "response": whole}
        yield end
        if self.script.finish_twice:
            yield end

    def _item(self, begun: JsonObject, done: JsonObject, growth: Iterator[JsonObject]) -> Iterator[JsonObject]:
        place = {"output_index": self.items}
        self.items += 1
        yield {"type": "response.output_item.added", **place, "item": begun}
        for event in growth:
            yield {**event, "item_id": done["id"], **place}
        yield {"type": "response.output_item.done", **place, "item": done}

    def _reasoning(self) -> Iterator[JsonObject]:
        done = _reasoning_item(self.answer, self.script)

        def growth() -> Iterator[JsonObject]:
            if self.script.hidden:
                return
            place, name = {"summary_index": 0}, "response.reasoning_summary"
            text = "".join(self.answer.reasoning)
            yield {"type": f"{name}_part.added", **place, "part": {"type": "summary_text", "text": ""}}
            for piece in self.answer.reasoning:
                yield {"type": f"{name}_text.delta", **place, "delta": piece}
            yield {"type": f"{name}_text.done", **place, "text": text}
            yield {"type": f"{name}_part.done", **place, "part": {"type": "summary_text", "text": text}}

        return self._item({**done, "summary": []}, done, growth())

    def _message(self) -> Iterator[JsonObject]:
        refusal = self.answer.refusal
        done = _message_item(self.answer)
        begun: JsonObject = {**done, "status": "in_progress", "content": []}
        whole: JsonObject = done["content"][0]
        key, name = ("refusal", "response.refusal") if refusal is not None else ("text", "response.output_text")
        more: JsonObject = {} if refusal is not None else {"logprobs": []}

        def growth() -> Iterator[JsonObject]:
            place = {"content_index": 0}
            yield {"type": "response.content_part.added", **place, "part": {**whole, key: ""}}
            pieces = self.answer.text_pieces(self.script.chunk_tokens) if refusal is None else tokens.pieces(refusal)
            for piece in pieces:
                yield {"type": f"{name}.delta", **place, "delta": piece, **more}
            yield {"type": f"{name}.done", **place, key: whole[key], **more}
            yield {"type": "response.content_part.done", **place, "part": whole}

        return self._item(begun, done, growth())

    def _call(self, call: ToolCall) -> Iterator[JsonObject]:
        done = _call_item(call)

        def growth() -> Iterator[JsonObject]:
            name = "response.function_call_arguments"
            for piece in tokens.pieces(call.arguments):
                yield {"type": f"{name}.delta", "delta": piece}
            yield {"type": f"{name}.done", "arguments": call.arguments}

        return self._item({**done, "status": "in_progress", "arguments": ""}, done, growth())


def _response(answer: Answer, script: Script, output: list[JsonObject]) -> JsonObject:
    reason = _REASONS.get(answer.finish)
    response: JsonObject = {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": "completed" if reason is None else "incomplete",
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }
    if script.usage != "none":
        response["usage"] = usage_report(answer.usage, script, _COUNTERS)
    return response


def _output(answer: Answer, script: Script) -> list[JsonObject]:
    items = [_reasoning_item(answer, script)] if answer.reasoning else []
    if answer.text or answer.refusal:
        items.append(_message_item(answer))
    return [*items, *(_call_item(call) for call in answer.calls)]


def _reasoning_item(answer: Answer, script: Script) -> JsonObject:
    item: JsonObject = {"id": f"rs_{answer.id}", "type": "reasoning", "summary": []}
    if not script.hidden:
        item["summary"].append({"type": "summary_text", "text": "".join(answer.reasoning)})
    if script.seal or script.hidden:
        item["encrypted_content"] = answer.seal
    return item


def _message_item(answer: Answer) -> JsonObject:
    content: JsonObject = (
        {"type": "output_text", "text": "".join(answer.text), "annotations": [], "logprobs": []}
        if answer.refusal is None
        else {"type": "refusal", "refusal": answer.refusal}
    )
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [content],
    }


def _call_item(call: ToolCall) -> JsonObject:
    return {
        "id": f"fc_{call.id.removeprefix('call_')}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _tool(tool: Json) -> Tool | None:
    offered = object_of(tool)
    name = offered.get("name")
    wanted = offered.get("type") == "function" and isinstance(name, str)
    return Tool(name=str(name), schema=offered.get("parameters")) if wanted else None


def _tool_choice(choice: Json) -> str:
    name = object_of(choice).get("name")
    if isinstance(name, str):
        return name
    return choice if isinstance(choice, str) else "auto"


def _limit(body: JsonObject) -> int | None:
    value = body.get("max_output_tokens")
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    if value < 1:
        raise RequestError("'max_output_tokens' must be at least 1")
    return value
