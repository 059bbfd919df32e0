"""Internal messages as the turns of a Messages request: user and assistant in turn, results right after their calls."""

from collections.abc import Sequence
from itertools import pairwise

from tollhouse.ir.parts import (
    AudioPart,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.request import Message
from tollhouse.wire.anthropic_messages.blocks import encode_asked, encode_result, encode_result_content
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.leftovers import Losses

Block = dict[str, object]

_ASSISTANT_ONLY = (ReasoningPart, ToolCallPart)
_USER_ONLY = (ImagePart, FilePart, AudioPart)


class _Turn:
    """A turn that may still grow: `results` stand before `blocks`, and answer the calls of the turn before."""

    def __init__(self, role: str, path: str) -> None:
        self.role = role
        self.path = path
        self.results: list[Block] = []
        self.blocks: list[Block] = []
        self.extra: Block = {}
        self.calls: list[str] = []
        """Ids of the calls in an assistant's turn."""

    def encoded(self) -> Block:
        """The member of `messages`."""
        encoded: Block = {"role": self.role, "content": [*self.results, *self.blocks]}
        for key, value in self.extra.items():
            encoded.setdefault(key, value)
        return encoded


class Turns:
    """Takes messages one by one; `system` and `encoded` give the two fields of the request.

    system_turns: whether system text in the middle may stay there, right after a turn of the user and before one of the
    assistant; models before Claude Opus 4.8 refuse that (docs "Mid-conversation system messages", 2026-11). Anywhere
    else it moves to the front, which is a loss.
    """

    def __init__(self, losses: Losses, *, system_turns: bool) -> None:
        self._losses = losses
        self._system_turns = system_turns
        self._system: list[Block] = []
        self._turns: list[_Turn] = []

    def take(self, message: Message, path: str) -> None:
        """Take one more message."""
        self._losses.drop(f"{path}.name", message.name)
        if message.role in ("system", "developer"):
            self._take_system(message, path)
        else:
            turn = self._turn("assistant" if message.role == "assistant" else "user", path)
            self._losses.restore(turn.extra, message.extensions, path)
            for number, part in enumerate(message.parts):
                self._take_part(turn, part, f"{path}.parts[{number}]")

    def encoded(self) -> tuple[list[Block], list[Block]]:
        """`system` and `messages`, once all is taken."""
        turns = _joined(self._placed([turn for turn in self._turns if turn.results or turn.blocks]))
        self._answer_all_calls(turns)
        if not turns and self._system:
            # The provider wants at least one turn.
            self._losses.note("messages[0].role", f"{NAME} needs a turn of the user; the system's text is sent as one")
            return [], [{"role": "user", "content": self._system}]
        return self._system, [turn.encoded() for turn in turns]

    def _placed(self, turns: Sequence[_Turn]) -> list[_Turn]:
        """The turns but for those of the system that may not stand where they do."""
        placed: list[_Turn] = []
        for number, turn in enumerate(turns):
            before = placed[-1].role if placed else None
            after = turns[number + 1].role if number + 1 < len(turns) else "assistant"
            if turn.role == "system" and (before, after) != ("user", "assistant"):
                self._losses.note(f"{turn.path}.role", "system text in the middle is moved to the front")
                self._system += turn.blocks
            else:
                placed.append(turn)
        return placed

    def _turn(self, role: str, path: str) -> _Turn:
        """The last turn if it has that role, else a new one."""
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(_Turn(role, path))
        return self._turns[-1]

    def _take_system(self, message: Message, path: str) -> None:
        begun = any(turn.results or turn.blocks for turn in self._turns)
        in_place = begun and self._system_turns
        if begun and not in_place:
            self._losses.note(f"{path}.role", "system text in the middle is moved to the front")
        turn = self._turn("system", path) if in_place else None
        extra: Block = {} if turn is None else turn.extra
        self._losses.restore(extra, message.extensions, path)
        if turn is None:
            for key in extra:
                self._losses.note(f"{path}.{key}", f"the system text of {NAME} has no fields of its own")
        for number, part in enumerate(message.parts):
            place = f"{path}.parts[{number}]"
            if turn is None and not isinstance(part, TextPart):
                self._losses.note(place, f"the system text of {NAME} is text only")
            elif (block := encode_asked(part, place, self._losses)) is not None:
                (self._system if turn is None else turn.blocks).append(block)

    def _take_part(self, turn: _Turn, part: Part, path: str) -> None:
        if isinstance(part, ToolResultPart):
            self._take_result(turn, part, path)
            return
        if isinstance(part, _USER_ONLY if turn.role == "assistant" else _ASSISTANT_ONLY):
            self._losses.note(path, f"a turn of the {turn.role} has no such part in {NAME}")
            return
        block = encode_asked(part, path, self._losses, blank=turn.role == "assistant")
        if block is not None:
            turn.blocks.append(block)
            if block.get("type") == "tool_use" and isinstance(part, ToolCallPart):
                turn.calls.append(str(block["id"]))

    def _take_result(self, turn: _Turn, result: ToolResultPart, path: str) -> None:
        """A result belongs to the turn after its call, once; otherwise what it holds is sent as plain content."""
        block = encode_result(result, path, self._losses)
        if block["tool_use_id"] in _unanswered(self._turns):
            turn.results.append(block)
            return
        self._losses.note(f"{path}.call_id", "no call right before has this id; sent as plain content")
        turn.blocks.extend(encode_result_content(result, path, Losses(NAME, [])))

    def _answer_all_calls(self, turns: Sequence[_Turn]) -> None:
        """A call without a result is refused by the provider, unless the conversation ends there."""
        for before, after in pairwise(turns):
            for call_id in _unanswered([before, after]):
                self._losses.note("messages", "a tool call has no result; one was made up that says so")
                text = "The tool gave no result."
                after.results.append(
                    {
                        "type": "tool_result",
                        "tool_use_id": call_id,
                        "content": [{"type": "text", "text": text}],
                        "is_error": True,
                    }
                )


def _unanswered(turns: Sequence[_Turn]) -> list[str]:
    """Ids of the calls in the turn before the last one that have no result yet."""
    filled = [turn for turn in turns[:-1] if turn.results or turn.blocks]
    if not filled or turns[-1].role != "user":
        return []
    answered = {block["tool_use_id"] for block in turns[-1].results}
    return [call_id for call_id in dict.fromkeys(filled[-1].calls) if call_id not in answered]


def _joined(turns: Sequence[_Turn]) -> list[_Turn]:
    """Neighbours of one role become one turn: what stood between them was empty."""
    joined: list[_Turn] = []
    for turn in turns:
        if joined and joined[-1].role == turn.role:
            joined[-1].results += turn.results
            joined[-1].blocks += turn.blocks
            joined[-1].calls += turn.calls
            joined[-1].extra = {**turn.extra, **joined[-1].extra}
        else:
            joined.append(turn)
    return joined


def encode_turns(messages: Sequence[Message], losses: Losses, *, system_turns: bool) -> tuple[list[Block], list[Block]]:
    """The fields `system` and `messages`."""
    turns = Turns(losses, system_turns=system_turns)
    for number, message in enumerate(messages):
        turns.take(message, f"messages[{number}]")
    return turns.encoded()
