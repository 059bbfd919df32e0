"""The estimate where no provider's figures can be believed: in the model's own vocabulary, at a bounded price."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.tokens.bounds import likely_prompt_tokens, likely_tokens
from tollhouse.tokens.encodings import BYTES, Encoding, Vocabulary, encoding
from tollhouse.tokens.estimate import estimate

ENGLISH = (
    "The gateway counts what it has sent and received whenever a provider reports nothing that can be true, and the "
    "record of the call says so. A caller who leaves pays for what was generated until then. "
)
ANSWER = "A provider that reports no usage at all is not free of charge: its answers are measured by their size. " * 9
LATVIAN = "Vārteja saskaita nosūtīto un saņemto, ja pakalpojuma sniedzējs neziņo neko ticamu. " * 20


@pytest.fixture(scope="module")
def o200k() -> Encoding:
    made = Vocabulary("o200k_base")
    made.load()
    return made


class Letters:
    """A vocabulary of single letters, which remembers how much it was asked to count."""

    name = "letters"
    is_loaded = True

    def __init__(self) -> None:
        self.counted = 0

    def count_text(self, text: str) -> int:
        self.counted += len(text)
        return len(text)

    def load(self) -> None:
        raise AssertionError("it is loaded")


def body(text: str, *, ascii_only: bool = False) -> bytes:
    asked = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return json.dumps(asked, ensure_ascii=ascii_only).encode()


@pytest.mark.fault(42)
@pytest.mark.parametrize("times", [3, 20, 4000], ids=["short", "counted whole", "judged by slices"])
def test_prose_is_counted_as_the_model_reads_it(o200k: Encoding, times: int) -> None:
    text = ENGLISH * times
    true = o200k.count_text(text)
    found = estimate(body(text), o200k)
    assert abs(found.prompt_tokens - true) <= 0.02 * true + 25
    # Three bytes to a token would be half as much again.
    assert likely_prompt_tokens(body(text)) > 1.4 * true


@pytest.mark.fault(42)
def test_an_answer_is_as_dense_as_its_prompt(o200k: Encoding) -> None:
    true = o200k.count_text(ANSWER)
    size = len(ANSWER)
    assert abs(estimate(body(ENGLISH * 20), o200k).tokens_of(size) - true) <= 0.15 * true
    # A prompt of a few words says little: the average of three bytes counts as well.
    few = estimate(body("Tell me."), o200k).tokens_of(size)
    assert true < few <= 1.05 * likely_tokens(size)
    assert estimate(body(LATVIAN), o200k).tokens_of(size) > estimate(body(ENGLISH * 20), o200k).tokens_of(size)


def test_letters_that_a_program_wrote_as_escapes_count_as_letters(o200k: Encoding) -> None:
    plain, escaped = estimate(body(LATVIAN), o200k), estimate(body(LATVIAN, ascii_only=True), o200k)
    assert abs(plain.prompt_tokens - escaped.prompt_tokens) <= 0.05 * plain.prompt_tokens
    assert len(body(LATVIAN, ascii_only=True)) > 1.2 * len(body(LATVIAN))


@pytest.mark.fault(14)
def test_whoever_sends_much_has_a_little_of_it_counted() -> None:
    letters = Letters()
    long = body("a" * 50_000 + " " + "b" * 3_000_000 + " é" * 50_000)
    found = estimate(long, letters)
    assert letters.counted <= 4 * 4096
    assert found.prompt_tokens <= len(long)


def test_a_file_counts_as_a_file(o200k: Encoding) -> None:
    text = ENGLISH * 5
    picture = body(text)[:-1] + b',"image":"' + b"iVBORw0KGgo" * 100_000 + b'"}'
    assert 1500 <= estimate(picture, o200k).prompt_tokens - estimate(body(text), o200k).prompt_tokens <= 1520


def test_without_a_vocabulary_three_bytes_are_a_token() -> None:
    asked = body(ENGLISH)
    for coding in (encoding(BYTES), Vocabulary("o200k_base")):
        found = estimate(asked, coding)
        assert (found.prompt_tokens, found.tokens_of(301)) == (likely_prompt_tokens(asked), likely_tokens(301))


@given(asked=st.binary(max_size=30_000), size=st.integers(0, 10**9))
def test_there_are_never_more_tokens_than_bytes_nor_none_for_something(asked: bytes, size: int) -> None:
    found = estimate(asked, Letters())
    assert 0 <= found.prompt_tokens <= len(asked)
    assert found.tokens_of(size) <= size
    assert (found.tokens_of(size) > 0) == (size > 0)
