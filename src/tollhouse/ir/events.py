"""StreamEvent: an answer as it comes, in triples of start, delta and end, and the way to a whole answer and back.

Grammar: one AnswerStart; then, per choice, parts that start at the next free `index` (0, 1, 2, …), grow and end once;
parts may be open at the same time; ChoiceFinish comes after the choice's last part has ended; usage may come anywhere
after the start, the last report holds. Faults are no events: a decoder raises them.
"""

import msgspec

from tollhouse.ir.parts import Citation, Extensions, Part, ReasoningOrigin, ToolCallKind
from tollhouse.ir.response import Finish
from tollhouse.ir.usage import Usage


class AnswerStart(msgspec.Struct, frozen=True, kw_only=True, tag="answer_start"):
    """The provider has begun to answer."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    service_tier: str | None = None
    extensions: Extensions = {}


class AnswerExtend(msgspec.Struct, frozen=True, kw_only=True, tag="answer_extend"):
    """Facts about the whole answer that came later; each key replaces what stood there."""

    service_tier: str | None = None
    extensions: Extensions = {}


class TextStart(msgspec.Struct, frozen=True, kw_only=True, tag="text_start"):
    """A text part opens."""

    choice: int = 0
    index: int
    item_id: str | None = None
    extensions: Extensions = {}


class TextDelta(msgspec.Struct, frozen=True, kw_only=True, tag="text_delta"):
    """More text, and the probabilities of its tokens if they were asked for."""

    choice: int = 0
    index: int
    text: str
    logprobs: tuple[dict[str, object], ...] = ()


class TextCitation(msgspec.Struct, frozen=True, kw_only=True, tag="text_citation"):
    """A citation of an open text part."""

    choice: int = 0
    index: int
    citation: Citation


class TextEnd(msgspec.Struct, frozen=True, kw_only=True, tag="text_end"):
    """A text part closes."""

    choice: int = 0
    index: int


class RefusalStart(msgspec.Struct, frozen=True, kw_only=True, tag="refusal_start"):
    """A refusal opens."""

    choice: int = 0
    index: int
    item_id: str | None = None
    extensions: Extensions = {}


class RefusalDelta(msgspec.Struct, frozen=True, kw_only=True, tag="refusal_delta"):
    """More of a refusal."""

    choice: int = 0
    index: int
    text: str
    logprobs: tuple[dict[str, object], ...] = ()


class RefusalEnd(msgspec.Struct, frozen=True, kw_only=True, tag="refusal_end"):
    """A refusal closes."""

    choice: int = 0
    index: int


class ReasoningStart(msgspec.Struct, frozen=True, kw_only=True, tag="reasoning_start"):
    """A reasoning part opens."""

    choice: int = 0
    index: int
    id: str | None = None
    redacted: bool = False
    form: str | None = None
    extensions: Extensions = {}


class ReasoningDelta(msgspec.Struct, frozen=True, kw_only=True, tag="reasoning_delta"):
    """More reasoning; `segment` None is the reasoning itself, a number that paragraph of the summary (0, 1, …)."""

    choice: int = 0
    index: int
    text: str
    segment: int | None = None


class ReasoningEnd(msgspec.Struct, frozen=True, kw_only=True, tag="reasoning_end"):
    """A reasoning part closes; its opaque payload is whole only now."""

    choice: int = 0
    index: int
    opaque: str | None = None
    origin: ReasoningOrigin | None = None


class ToolCallStart(msgspec.Struct, frozen=True, kw_only=True, tag="tool_call_start"):
    """A tool call opens; its id and name are whole."""

    choice: int = 0
    index: int
    id: str
    name: str
    namespace: str | None = None
    kind: ToolCallKind = "function"
    item_id: str | None = None
    extensions: Extensions = {}


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True, tag="tool_call_delta"):
    """More of a tool call's arguments."""

    choice: int = 0
    index: int
    arguments: str


class ToolCallEnd(msgspec.Struct, frozen=True, kw_only=True, tag="tool_call_end"):
    """A tool call closes."""

    choice: int = 0
    index: int


class PartAdd(msgspec.Struct, frozen=True, kw_only=True, tag="part_add"):
    """A part that comes whole: an image, a file, or one that only its own format knows."""

    choice: int = 0
    index: int
    part: Part


class ChoiceExtend(msgspec.Struct, frozen=True, kw_only=True, tag="choice_extend"):
    """Leftovers of a choice; each key replaces what stood there."""

    choice: int = 0
    extensions: Extensions


class ChoiceFinish(msgspec.Struct, frozen=True, kw_only=True, tag="choice_finish"):
    """The choice is complete."""

    choice: int = 0
    finish: Finish


class UsageReport(msgspec.Struct, frozen=True, kw_only=True, tag="usage_report"):
    """The tokens of the whole answer so far; a later report replaces an earlier one."""

    usage: Usage


StreamEvent = (
    AnswerStart
    | AnswerExtend
    | TextStart
    | TextDelta
    | TextCitation
    | TextEnd
    | RefusalStart
    | RefusalDelta
    | RefusalEnd
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | PartAdd
    | ChoiceExtend
    | ChoiceFinish
    | UsageReport
)
