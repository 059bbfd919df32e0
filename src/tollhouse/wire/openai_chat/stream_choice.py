"""One choice of a Chat Completions stream: its deltas become parts that open, grow and close once."""

from collections.abc import Iterator
from typing import NoReturn

from tollhouse.ir.events import (
    ChoiceExtend,
    ChoiceFinish,
    PartAdd,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    RefusalDelta,
    RefusalEnd,
    RefusalStart,
    StreamEvent,
    TextCitation,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from tollhouse.ir.parts import Part, ReasoningPart, TextPart
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.fields import Fields, render, unreadable_answer
from tollhouse.wire.leftovers import joined, kept
from tollhouse.wire.openai_chat.citations import decode_annotations, decode_logprobs, is_blank
from tollhouse.wire.openai_chat.finish import decode_finish
from tollhouse.wire.openai_chat.parts import NAME
from tollhouse.wire.openai_chat.reasoning import BOTH_FORM, CONTENT_FORM, ORIGIN, TEXT_FORM, decode_reasoning, is_empty
from tollhouse.wire.openai_chat.response import decode_answer_content, made_up_id

_MAX_PARTS = 4096
_MAX_HELD_CHARS = 16 * 1024 * 1024

_TEXT = "text"
_REFUSAL = "refusal"

# Fields of a chunk's choice that hold fragments, and where they stand in a whole answer's choice.
_FRAGMENTS = {"delta": "message", "message": "message", "logprobs": "logprobs"}

_PLAIN_REASONING = tuple(("reasoning", form, None) for form in (None, CONTENT_FORM, BOTH_FORM))

_Logprobs = tuple[dict[str, object], ...]


class _Open:
    """The text, refusal or reasoning part that is being written; `key` tells it from the next one."""

    __slots__ = ("index", "key", "opaque")

    def __init__(self, key: object, index: int) -> None:
        self.key = key
        self.index = index
        self.opaque: list[str] = []


class _Call:
    """A tool call; `index` is None, and `held` collects its arguments, until its name has come."""

    __slots__ = ("custom", "extensions", "held", "id", "index", "name")

    def __init__(self) -> None:
        self.index: int | None = None
        self.id = ""
        self.name = ""
        self.custom = False
        self.held: list[str] = []
        self.extensions: dict[str, object] = {}


class ChoiceDecoder:
    """Turns the deltas of one choice to events; at most one text, refusal or reasoning part is open at a time, while
    tool calls stay open to the end, because their fragments may come mixed."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._parts = 0
        self._open: _Open | None = None
        self._calls: list[_Call] = []
        self._call_at: dict[int, _Call] = {}
        self._left: dict[str, object] = {}
        self._left_bytes: dict[str, int] = {}
        self._held_chars = 0
        self.raw_finish: str | None = None
        """The provider's finish reason; it is sent twice by some, and the first one counts."""

    def feed(self, choice: Fields, answer_id: str | None) -> Iterator[StreamEvent]:
        """The events of one chunk's choice. Raises FaultError when it makes no sense, or says that it failed."""
        delta = choice.child("delta") or choice.child("message") or Fields({})
        # Perplexity repeats the message so far beside each delta (recorded 2025).
        choice.drop("index", "message")
        delta.drop("role")
        for part in decode_reasoning(delta):
            yield from self._reason(part)
        yield from self._content(delta, choice)
        if refusal := delta.text("refusal"):
            yield from self._refuse(refusal, decode_logprobs(choice, "refusal"))
        if self._open is not None and self._open.key == _TEXT:
            for citation in decode_annotations(delta):
                yield TextCitation(choice=self._number, index=self._open.index, citation=citation)
        for call in delta.array("tool_calls") or ():
            yield from self._call(call, answer_id)
        self._keep(choice)

    def finish(self) -> Iterator[StreamEvent]:
        """The choice is complete: everything closes. Raises FaultError when a tool call has got no name."""
        yield from self._close()
        for call in self._calls:
            if call.index is None:
                unreadable_answer("A tool call in the provider's answer names no tool.")
            yield ToolCallEnd(choice=self._number, index=call.index)
        if self._left:
            yield ChoiceExtend(choice=self._number, extensions={NAME: self._left})
        finish = decode_finish(self.raw_finish, has_tool_calls=bool(self._calls))
        yield ChoiceFinish(choice=self._number, finish=finish)

    def _content(self, delta: Fields, choice: Fields) -> Iterator[StreamEvent]:
        content = delta.get("content")
        if isinstance(content, str) or content is None:
            delta.drop("content")
            # A token may hold but a piece of a letter; what comes with the finish reason belongs to the whole choice.
            writing = self._open is not None and self._open.key == _TEXT and not choice.get("finish_reason")
            logprobs = decode_logprobs(choice, "content") if content or writing else ()
            if content or logprobs:
                yield from self._text(content or "", logprobs)
        elif is_array(content):
            delta.drop("content")
            for value in content:
                for part in decode_answer_content(value):
                    yield from self._content_part(part)

    def _content_part(self, part: Part) -> Iterator[StreamEvent]:
        if isinstance(part, TextPart) and part == TextPart(text=part.text):
            if part.text:
                yield from self._text(part.text, ())
        elif isinstance(part, ReasoningPart):
            yield from self._reason(part)
        else:
            yield from self._close()
            yield PartAdd(choice=self._number, index=self._next_index(), part=part)

    def _text(self, text: str, logprobs: _Logprobs) -> Iterator[StreamEvent]:
        opened = self._open
        if opened is None or opened.key != _TEXT:
            yield from self._close()
            opened = self._open = _Open(_TEXT, self._next_index())
            yield TextStart(choice=self._number, index=opened.index)
        yield TextDelta(choice=self._number, index=opened.index, text=text, logprobs=logprobs)

    def _refuse(self, text: str, logprobs: _Logprobs) -> Iterator[StreamEvent]:
        opened = self._open
        if opened is None or opened.key != _REFUSAL:
            yield from self._close()
            opened = self._open = _Open(_REFUSAL, self._next_index())
            yield RefusalStart(choice=self._number, index=opened.index)
        yield RefusalDelta(choice=self._number, index=opened.index, text=text, logprobs=logprobs)

    def _reason(self, part: ReasoningPart) -> Iterator[StreamEvent]:
        """A fragment of reasoning. Fragments of one detail have the same `index`; encrypted ones come whole."""
        if is_empty(part):
            return
        opened = self._open
        key: object = ("reasoning", part.form, part.extensions.get(NAME, {}).get("index"))
        # A signature that comes alone belongs to the text before it.
        if part.form == TEXT_FORM and not part.text and opened is not None and opened.key in _PLAIN_REASONING:
            key = opened.key
        if opened is None or opened.key != key or part.redacted:
            yield from self._close()
            opened = self._open = _Open(key, self._next_index())
            yield ReasoningStart(
                choice=self._number,
                index=opened.index,
                id=part.id,
                redacted=part.redacted,
                form=part.form,
                extensions=part.extensions,
            )
        if part.text:
            yield ReasoningDelta(choice=self._number, index=opened.index, text=part.text)
        for text in part.summary:
            yield ReasoningDelta(choice=self._number, index=opened.index, text=text, segment=0)
        if part.opaque is not None:
            self._hold(len(part.opaque))
            opened.opaque.append(part.opaque)

    def _close(self) -> Iterator[StreamEvent]:
        opened, self._open = self._open, None
        if opened is None:
            return
        if opened.key == _TEXT:
            yield TextEnd(choice=self._number, index=opened.index)
        elif opened.key == _REFUSAL:
            yield RefusalEnd(choice=self._number, index=opened.index)
        else:
            opaque = "".join(opened.opaque) or None
            origin = None if opaque is None else ORIGIN
            yield ReasoningEnd(choice=self._number, index=opened.index, opaque=opaque, origin=origin)

    def _call(self, value: object, answer_id: str | None) -> Iterator[StreamEvent]:
        if not is_object(value):
            unreadable_answer("A tool call in the provider's stream is not a JSON object.")
        fields = Fields(value)
        index = fields.integer("index")
        fields.drop("type")
        call_id = fields.text("id") or ""
        custom = is_object(fields.get("custom")) and not is_object(fields.get("function"))
        inner = fields.child("custom" if custom else "function") or Fields({})
        name = inner.text("name") or ""
        call = self._which_call(index, call_id, name)
        call.id = call.id or call_id
        call.name = call.name or name
        call.custom = call.custom or custom
        arguments = _arguments(inner, "input" if custom else "arguments")
        if call.index is None:
            call.extensions = joined(call.extensions, fields.rest())
            if call.name:
                yield from self._start_call(call, answer_id)
        if call.index is None:
            self._hold(len(arguments))
            call.held.append(arguments)
        elif arguments:
            yield ToolCallDelta(choice=self._number, index=call.index, arguments=arguments)

    def _which_call(self, index: int | None, call_id: str, name: str) -> _Call:
        """The call that a fragment belongs to. Without an index (Mistral) its id or a name begins a new one; some
        give every parallel call the index 0, so a new id that comes with a name begins a new one too."""
        known: _Call | None = None
        if index is not None:
            known = self._call_at.get(index)
        elif call_id:
            known = next((call for call in self._calls if call.id == call_id), None)
        elif not name and self._calls:
            known = self._calls[-1]
        if known is None or (name and known.name and call_id and known.id not in ("", call_id)):
            if len(self._calls) >= _MAX_PARTS:
                _too_much()
            known = _Call()
            self._calls.append(known)
        if index is not None:
            self._call_at[index] = known
        return known

    def _start_call(self, call: _Call, answer_id: str | None) -> Iterator[StreamEvent]:
        yield from self._close()
        call.index = self._next_index()
        yield ToolCallStart(
            choice=self._number,
            index=call.index,
            id=call.id or made_up_id(answer_id, self._calls.index(call)),
            name=call.name,
            kind="custom" if call.custom else "function",
            extensions=kept(NAME, call.extensions),
        )
        if held := "".join(call.held):
            yield ToolCallDelta(choice=self._number, index=call.index, arguments=held)
        call.held.clear()

    def _keep(self, choice: Fields) -> None:
        """Keep what was not understood, as it would stand in a whole answer."""
        finish = choice.text("finish_reason")
        if finish == "error":
            decode_finish(finish, has_tool_calls=False)
        self.raw_finish = self.raw_finish or finish or None
        left = choice.rest()
        for key, value in left.items():
            if (value is None and key in self._left) or (key == "logprobs" and is_blank(value)):
                continue
            # Deltas say what is new, everything beside them says how things stand.
            if key in _FRAGMENTS:
                self._put(_FRAGMENTS[key], value, grow=True)
            else:
                self._put(key, value, grow=False)

    def _put(self, key: str, value: object, *, grow: bool) -> None:
        old = self._left.get(key)
        size = len(render(value))
        self._left_bytes[key] = size + (self._left_bytes.get(key, 0) if grow else 0)
        if sum(self._left_bytes.values()) > _MAX_HELD_CHARS:
            _too_much()
        self._left[key] = joined(old, value) if grow and is_object(old) and is_object(value) else value

    def _next_index(self) -> int:
        if self._parts >= _MAX_PARTS:
            _too_much()
        self._parts += 1
        return self._parts - 1

    def _hold(self, chars: int) -> None:
        self._held_chars += chars
        if self._held_chars > _MAX_HELD_CHARS:
            _too_much()


def _arguments(inner: Fields, key: str) -> str:
    """Arguments come as text; a few compatible servers send the object itself."""
    value = inner.get(key)
    inner.drop(key)
    if value is None:
        return ""
    return value if isinstance(value, str) else render(value).decode()


def _too_much() -> NoReturn:
    unreadable_answer("The provider's stream holds more than one answer can have.")
