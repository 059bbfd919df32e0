"""OpenAI chat completions as a provider speaks them, with the quirks of many providers on demand."""

from collections.abc import Iterator
from typing import Final, cast

from tollhouse.simulator import tokens
from tollhouse.simulator.answer import Answer, Question, Tool
from tollhouse.simulator.format import Event, RequestError
from tollhouse.simulator.reading import Json, JsonObject, as_text, list_of, object_of, size_of
from tollhouse.simulator.script import Script
from tollhouse.simulator.usage import Counters, usage_report

_COUNTERS: Final = Counters(prompt="prompt_tokens", completion="completion_tokens")

_ERROR_TYPES: Final = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


class OpenAIChat:
    """The format `openai_chat`; see the API reference, Chat, "Create chat completion" and "Streaming"."""

    suffix = "/chat/completions"

    def read(self, body: JsonObject, digest: str) -> Question:
        """What the request asks for. Raises RequestError where OpenAI would answer 400."""
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise RequestError("you must provide a model parameter")
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise RequestError("'messages' must be a list with at least one message")
        messages = [cast("JsonObject", m) for m in body["messages"] if isinstance(m, dict)]
        said = [_Said(message) for message in messages]
        tools = [_tool(tool) for tool in list_of(body.get("tools"))]
        mode, schema = _response_format(body.get("response_format"))
        stop = body.get("stop")
        prompt = sum(item.tokens for item in said) + sum(size_of(tool) for tool in list_of(body.get("tools")))
        results = said[-1:] if said and said[-1].role == "tool" else []
        return Question(
            model=model,
            digest=digest,
            roles=tuple(item.role for item in said),
            last_user_text=next((item.text for item in reversed(said) if item.role == "user"), ""),
            last_tool_result=results[0].text if results else None,
            has_tool_results=any(item.role == "tool" for item in said),
            images=sum(item.images for item in said),
            files=sum(item.files for item in said),
            tools=tuple(tool for tool in tools if tool),
            tool_choice=_tool_choice(body.get("tool_choice")),
            parallel=body.get("parallel_tool_calls") is not False,
            max_tokens=_limit(body),
            stop=(stop,) if isinstance(stop, str) else tuple(s for s in list_of(stop) if isinstance(s, str)),
            choices=_choices(body.get("n")),
            stream=body.get("stream") is True,
            include_usage=object_of(body.get("stream_options")).get("include_usage") is True,
            json_mode=mode != "text",
            schema=schema,
            prompt_tokens=prompt,
        )

    def whole(self, answer: Answer, script: Script) -> str:
        """The answer as one `chat.completion`."""
        body = _head(answer, "chat.completion")
        body["choices"] = [_choice(answer, script, index) for index in range(answer.choices)]
        if script.usage != "none":
            body["usage"] = usage_report(answer.usage, script, _COUNTERS)
        return as_text(body)

    def events(self, answer: Answer, question: Question, script: Script) -> Iterator[Event]:
        """The answer as `chat.completion.chunk`s and `[DONE]`.

        As at OpenAI, usage comes only when it is asked for, in a last chunk of its own, and is null in all others;
        a script that says where usage stands has it sent unasked.
        """
        chunks = _Chunks(answer, question, script)
        yield from chunks.all()
        if not script.no_done:
            yield Event("[DONE]")
        if script.usage_at == "after_done":
            yield chunks.usage_only()

    def error(self, status: int, message: str) -> str:
        """OpenAI's error object."""
        return openai_error(status, message)


def openai_error(status: int, message: str) -> str:
    """An error as OpenAI words it, in all its formats."""
    kind, code = _ERROR_TYPES.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return as_text({"error": {"message": message, "type": kind, "param": None, "code": code}})


class _Said:
    """One message of the request: its role, its text, and what else is in it."""

    def __init__(self, message: JsonObject) -> None:
        self.role = str(message.get("role", ""))
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list_of(content)
        parts = [object_of(block) for block in blocks]
        kinds = [part.get("type") for part in parts]
        self.text = " ".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))
        self.images = kinds.count("image_url")
        self.files = kinds.count("file")
        calls = sum(size_of(call) for call in list_of(message.get("tool_calls")))
        self.tokens = tokens.MESSAGE_OVERHEAD + tokens.count(self.text) + self.images * tokens.IMAGE_TOKENS + calls


class _Chunks:
    """The chunks of one streamed answer."""

    def __init__(self, answer: Answer, question: Question, script: Script) -> None:
        self.answer = answer
        self.script = script
        self.asked = question.include_usage
        self.place = script.usage_at
        self.silent = script.usage == "none"

    def all(self) -> Iterator[Event]:
        """Every chunk before `[DONE]`."""
        if self.script.leading:
            # Azure opens with the prompt's filter results and no choice (conformance recordings).
            yield self._chunk([], {"prompt_filter_results": []})
        if self.place == "first":
            yield self.usage_only()
        for index in range(self.answer.choices):
            yield from self._choice(index)
        if self.place == "end" and self.asked and not self.silent:
            yield self.usage_only()
        elif self.place == "twice" and not self.silent:
            yield self.usage_only()
            yield self.usage_only()

    def usage_only(self) -> Event:
        """The chunk that holds usage and no choice."""
        return self._chunk([], {"usage": usage_report(self.answer.usage, self.script, _COUNTERS)})

    def _choice(self, index: int) -> Iterator[Event]:
        script = self.script
        if not script.no_role:
            yield self._delta(index, {"role": "assistant", "content": "", "refusal": None})
        if not script.hidden:
            for piece in self.answer.reasoning:
                yield self._delta(index, {script.reasoning_field: piece})
        if details := _details(self.answer, script, streamed=True):
            yield self._delta(index, {"reasoning_details": details})
        for piece in tokens.pieces(self.answer.refusal or ""):
            yield self._delta(index, {"refusal": piece})
        for piece in self.answer.text_pieces(script.chunk_tokens):
            yield self._delta(index, {"content": [{"type": "text", "text": piece}] if script.parts else piece})
        yield from self._calls(index)
        if not script.no_finish:
            yield self._finish(index)
        if script.finish_twice:
            yield self._finish(index)

    def _calls(self, index: int) -> Iterator[Event]:
        for number, call in enumerate(self.answer.calls):
            # Mistral sends each call whole and without an index (conformance recordings).
            if self.script.no_index:
                whole = {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
                yield self._delta(index, {"tool_calls": [whole]})
                continue
            opening = {"name": call.name, "arguments": ""}
            first: JsonObject = {"index": number, "id": call.id, "type": "function", "function": opening}
            yield self._delta(index, {"tool_calls": [first]})
            for piece in tokens.pieces(call.arguments):
                yield self._delta(index, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]})

    def _finish(self, index: int) -> Event:
        extra: JsonObject = {}
        if self.place == "choices":
            extra["usage"] = usage_report(self.answer.usage, self.script, _COUNTERS)
        elif self.place == "groq":
            # Groq, API reference: streamed usage under x_groq of the last chunk with a choice.
            extra["x_groq"] = {
                "id": f"req_{self.answer.id}",
                "usage": usage_report(self.answer.usage, self.script, _COUNTERS),
            }
        return self._delta(index, {}, self.answer.finish, extra)

    def _delta(
        self, index: int, delta: JsonObject, finish: str | None = None, extra: JsonObject | None = None
    ) -> Event:
        return self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}], extra or {})

    def _chunk(self, choices: list[JsonObject], extra: JsonObject) -> Event:
        chunk = _head(self.answer, "chat.completion.chunk")
        chunk["choices"] = choices
        if self.place == "every":
            chunk["usage"] = usage_report(self.answer.usage, self.script, _COUNTERS)
        elif self.asked and not self.silent:
            chunk["usage"] = None
        chunk.update(extra)
        return Event(as_text(chunk))


def _head(answer: Answer, kind: str) -> JsonObject:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": "fp_simulator",
    }


def _choice(answer: Answer, script: Script, index: int) -> JsonObject:
    text = "".join(answer.text)
    content: Json = [{"type": "text", "text": text}] if script.parts else text
    silent = not text and (answer.calls or answer.refusal)
    message: JsonObject = {
        "role": "assistant",
        "content": None if silent else content,
        "refusal": answer.refusal,
    }
    if answer.reasoning and not script.hidden:
        message[script.reasoning_field] = "".join(answer.reasoning)
    if details := _details(answer, script, streamed=False):
        message["reasoning_details"] = details
    if answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.calls
        ]
    finish = None if script.no_finish else answer.finish
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}


def _details(answer: Answer, script: Script, *, streamed: bool) -> list[JsonObject]:
    """What OpenRouter calls `reasoning_details`: the payload, and the text that was signed, where it was not told."""
    if not answer.reasoning or not (script.seal or script.hidden):
        return []
    if script.hidden:
        return [{"type": "reasoning.encrypted", "data": answer.seal, "index": 0}]
    text = "" if streamed else "".join(answer.reasoning)
    return [{"type": "reasoning.text", "text": text, "signature": answer.seal, "index": 0}]


def _tool(tool: Json) -> Tool | None:
    function = object_of(object_of(tool).get("function"))
    name = function.get("name")
    return Tool(name=name, schema=function.get("parameters")) if isinstance(name, str) else None


def _tool_choice(choice: Json) -> str:
    name = object_of(object_of(choice).get("function")).get("name")
    if isinstance(name, str):
        return name
    return choice if isinstance(choice, str) else "auto"


def _response_format(value: Json) -> tuple[str, Json]:
    wanted = object_of(value)
    return str(wanted.get("type", "text")), object_of(wanted.get("json_schema")).get("schema")


def _limit(body: JsonObject) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise RequestError(f"'{name}' must be at least 1")
            return value
    return None


def _choices(value: Json) -> int:
    if value is None:
        return 1
    if not isinstance(value, int) or not 1 <= value <= 128:
        raise RequestError("'n' must be an integer between 1 and 128")
    return value
