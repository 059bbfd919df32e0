"""What the simulator understood (Question) and what it says (Answer), in no format; each format reads and writes it."""

import base64
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from tollhouse.simulator import tokens
from tollhouse.simulator.schema import minimal
from tollhouse.simulator.script import Script

_QUOTED_CHARACTERS: Final = 60


class Tool(msgspec.Struct, frozen=True):
    """A function that the caller offers, with the JSON Schema of its arguments."""

    name: str
    schema: Any


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for; `tool_choice` is auto, none, required or a tool's name, `digest` that of the body."""

    model: str
    digest: str
    roles: tuple[str, ...] = ()
    last_user_text: str = ""
    last_tool_result: str | None = None
    has_tool_results: bool = False
    images: int = 0
    files: int = 0
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel: bool = True
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    choices: int = 1
    stream: bool = False
    include_usage: bool = False
    json_mode: bool = False
    schema: Any = None
    prompt_tokens: int = 0


class ToolCall(msgspec.Struct, frozen=True):
    """One call of a tool; `arguments` is JSON text, unless the script says otherwise."""

    id: str
    name: str
    arguments: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens: `cached` is within `prompt`, `reasoning` within `completion`."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer; `reasoning` and `text` are tokens in turn; `seal` goes with reasoning, for the provider alone.
    `stopped_by` is the stop sequence that ended the text; `endless` says that it has no last token."""

    id: str
    created: int
    model: str
    reasoning: Sequence[str]
    text: Sequence[str]
    calls: tuple[ToolCall, ...]
    refusal: str | None
    finish: str
    stopped_by: str | None
    usage: Usage
    seal: str
    choices: int = 1
    endless: bool = False

    def text_pieces(self, tokens_each: int) -> Iterable[str]:
        """The text in pieces of `tokens_each` tokens, as a stream brings it."""
        source = itertools.chain(self.text, tokens.endless_words()) if self.endless else self.text
        return grouped(source, tokens_each)


def grouped(source: Iterable[str], size: int) -> Iterator[str]:
    """`source` joined, `size` pieces at a time."""
    iterator = iter(source)
    while group := list(itertools.islice(iterator, size)):
        yield "".join(group)


def compose(question: Question, script: Script, created: int) -> Answer:
    """The answer to `question` under `script`; the same two give the same answer, but for `created` (Unix seconds)."""
    script = _turn(question, script)
    reasoning = list(tokens.words(script.reasoning))
    calls = _calls(question, script)
    text, stopped_by = _stopped([] if script.refusal else _text(question, script, calls), question.stop)
    finish = "tool_calls" if calls and stopped_by is None else "stop"
    limit = None if script.ignore_limit or script.infinite else question.max_tokens
    if limit is not None and _spent(reasoning, text, calls, script) > limit:
        reasoning, text, calls = _shortened(reasoning, text, calls, limit)
        finish = "length"
    completion = _spent(reasoning, text, calls, script) * question.choices
    usage = Usage(prompt=question.prompt_tokens, completion=completion, reasoning=len(reasoning) * question.choices)
    answer_id = hashlib.sha256(f"{question.digest}/{question.model}".encode()).hexdigest()[:24]
    return Answer(
        id=answer_id,
        created=created,
        model=question.model if script.model is None else script.model,
        reasoning=reasoning,
        text=text,
        calls=calls,
        refusal=script.refusal,
        finish=finish if script.finish is None else script.finish,
        stopped_by=stopped_by if finish == "stop" else None,
        usage=_scripted_usage(usage, script),
        seal=script.seal or base64.b64encode(hashlib.sha384(answer_id.encode()).digest()).decode(),
        choices=question.choices,
        endless=script.infinite,
    )


def _turn(question: Question, script: Script) -> Script:
    """The orders for this turn: with `once`, nothing is said beside the calls, and nothing is called when the tool is
    not offered or has answered."""
    if not script.once:
        return script
    offered = [tool.name for tool in question.tools]
    if question.has_tool_results or not (script.call in offered if script.call is not None else offered):
        return msgspec.structs.replace(script, call=None, tools=0)
    return msgspec.structs.replace(script, say=None, text=None, tools=max(1, script.tools))


def _spent(reasoning: list[str], text: list[str], calls: tuple[ToolCall, ...], script: Script) -> int:
    refused = tokens.count(script.refusal or "")
    return (
        len(reasoning)
        + len(text)
        + refused
        + sum(tokens.count(call.name) + tokens.count(call.arguments) for call in calls)
    )


def _scripted_usage(usage: Usage, script: Script) -> Usage:
    if ":" not in script.usage:
        return usage
    figures = [int(figure) for figure in script.usage.split(":")]
    prompt, completion, cached, reasoning = (*figures, 0, 0)[:4]
    return Usage(prompt=prompt, completion=completion, cached=cached, reasoning=reasoning)


def _text(question: Question, script: Script, calls: tuple[ToolCall, ...]) -> list[str]:
    if script.huge is not None:
        return ["x" * script.huge]
    if script.text is not None:
        return list(tokens.words(script.text))
    if script.say is not None:
        return tokens.pieces(script.say)
    if calls or script.infinite:
        return []
    if question.json_mode:
        return tokens.pieces(json.dumps(minimal(question.schema), ensure_ascii=False))
    return tokens.pieces(_summary(question))


def _summary(question: Question) -> str:
    roles = ", ".join(f"{question.roles.count(role)} {role}" for role in dict.fromkeys(question.roles))
    parts = [f"{_counted(len(question.roles), 'message')} ({roles})" if roles else "no messages"]
    for number, noun in ((question.images, "image"), (question.files, "file"), (len(question.tools), "tool")):
        if number:
            parts.append(_counted(number, noun))
    said = [f"Simulator: I got {', '.join(parts)}."]
    if question.last_tool_result is not None:
        said.append(f'The tool answered: "{_shortened_text(question.last_tool_result)}".')
    if question.last_user_text:
        said.append(f'You said: "{_shortened_text(question.last_user_text)}".')
    return " ".join(said)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _shortened_text(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _QUOTED_CHARACTERS else flat[: _QUOTED_CHARACTERS - 1] + "…"


def _stopped(text: list[str], stop: tuple[str, ...]) -> tuple[list[str], str | None]:
    """The text before the first of the sequences in it, and that sequence."""
    whole = "".join(text)
    cuts = [(place, sequence) for sequence in stop if sequence and (place := whole.find(sequence)) >= 0]
    if not cuts:
        return text, None
    place, sequence = min(cuts)
    return tokens.pieces(whole[:place]), sequence


def _calls(question: Question, script: Script) -> tuple[ToolCall, ...]:
    names = _called(question, script)
    if not question.parallel:
        names = names[:1]
    schemas = {tool.name: tool.schema for tool in question.tools}
    return tuple(
        ToolCall(
            id="call_" + hashlib.sha256(f"{question.digest}/{index}".encode()).hexdigest()[:24],
            name=name,
            arguments=json.dumps(minimal(schemas.get(name)), ensure_ascii=False)
            if script.args is None
            else script.args,
        )
        for index, name in enumerate(names)
    )


def _called(question: Question, script: Script) -> list[str]:
    offered = [tool.name for tool in question.tools]
    if script.call is not None:
        return [script.call] * max(1, script.tools)
    if script.tools:
        return [
            name for name, _ in zip(itertools.cycle(offered or ["scripted_tool"]), range(script.tools), strict=False)
        ]
    if question.tool_choice == "required":
        return offered[:1]
    return [question.tool_choice] if question.tool_choice in offered else []


def _shortened(
    reasoning: list[str], text: list[str], calls: tuple[ToolCall, ...], limit: int
) -> tuple[list[str], list[str], tuple[ToolCall, ...]]:
    """What fits into `limit` tokens: reasoning goes first, then text, then the calls, the last of them cut off."""
    reasoning = reasoning[:limit]
    text = text[: limit - len(reasoning)]
    left = limit - len(reasoning) - len(text)
    kept: list[ToolCall] = []
    for call in calls:
        left -= tokens.count(call.name)
        if left < 0:
            break
        arguments = tokens.pieces(call.arguments)[:left]
        kept.append(ToolCall(id=call.id, name=call.name, arguments="".join(arguments)))
        left -= len(arguments)
    return reasoning, text, tuple(kept)
