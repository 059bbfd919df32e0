"""The envelope of sealed reasoning: what goes in comes out, and nothing else is taken for one."""

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import ReasoningOrigin, ReasoningPart, TextPart
from tollhouse.ir.request import ChatRequest, Message
from tollhouse.wire.envelope import MARK, may_hold_envelope, request_taken_back, unwrap, wrap

origins = st.builds(
    ReasoningOrigin,
    format=st.sampled_from(["openai_chat", "openai_responses", "anthropic_messages"]),
    creator=st.none() | st.text("abcz-.09/é", min_size=1, max_size=12),
)


@given(payload=st.text(max_size=200), origin=origins)
def test_what_is_wrapped_comes_out_whole(payload: str, origin: ReasoningOrigin) -> None:
    sealed = wrap(payload, origin)
    assert sealed.startswith(MARK)
    assert sealed.isascii()
    assert unwrap(sealed) == (payload, origin)


@given(st.text(max_size=60))
def test_other_text_is_no_envelope_or_one_that_opens(text: str) -> None:
    for candidate in (text, MARK + text, f"{MARK}openai_chat.x.{text}"):
        opened = unwrap(candidate)
        assert opened is None or isinstance(opened[0], str)


@given(st.lists(st.sampled_from([b"1", b"t", b"h", b".", b"th1", b"th1.", b"x" * 9, b"1" * 70])).map(b"".join))
def test_the_quick_look_finds_what_a_search_finds(body: bytes) -> None:
    assert may_hold_envelope(body) == (MARK.encode() in body)


def test_the_blocks_of_one_summary_come_back_as_one() -> None:
    origin = ReasoningOrigin(format="openai_responses", creator="acme")
    blocks = (
        ReasoningPart(text="zero", opaque="own", origin=ReasoningOrigin(format="anthropic_messages")),
        ReasoningPart(text="one"),
        ReasoningPart(text="two", opaque=wrap("sealed", origin), origin=ReasoningOrigin(format="anthropic_messages")),
    )
    asked = ChatRequest(model="m", messages=(Message(role="assistant", parts=(*blocks, TextPart(text="Hi"))),))
    losses: list[Loss] = []
    back = request_taken_back(asked, "acme", "openai_responses", losses)
    whole = ReasoningPart(text="one\n\ntwo", opaque="sealed", origin=origin)
    assert back.messages[0].parts == (blocks[0], whole, TextPart(text="Hi"))
    assert losses == []
    # Elsewhere the text stays as it came, and only the payload is lost.
    elsewhere = request_taken_back(asked, "acme", "openai_chat", losses)
    assert elsewhere.messages[0].parts == (*blocks[:2], ReasoningPart(text="two"), TextPart(text="Hi"))
    assert [loss.path for loss in losses] == ["messages[0].parts[2].opaque"]
