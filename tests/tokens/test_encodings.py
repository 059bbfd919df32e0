"""Encodings: known counts, no special tokens, bounded time, and nothing loaded before it is asked for."""

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.tokens.bounds import most_tokens
from tollhouse.tokens.encodings import BYTES, NAMES, Vocabulary, encoding

O200K = encoding("o200k_base")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_encoding_counts(name: str) -> None:
    counted = encoding(name).count_text("The clerk at the gate counts each cart, and writes the sum in a book. " * 10)
    assert 100 < counted < 300
    assert encoding(name) is encoding(name)
    assert encoding(name).is_loaded
    assert encoding(name).count_text("") == 0


def test_an_unknown_encoding_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        encoding("o300k")


@pytest.mark.fault(13)
@pytest.mark.parametrize("name", sorted(NAMES - {BYTES}))
def test_the_names_of_special_tokens_are_text(name: str) -> None:
    """As one token each they would hide text from the bill."""
    for special in ("<|endoftext|>", "<|im_start|>", "<|begin_of_text|>", "<bos>", "[INST]", "<|user|>"):
        assert encoding(name).count_text(special * 10) > 15, special


@pytest.mark.fault(14)
@pytest.mark.parametrize("text", ["a", " ", "\n", "ü", "漢", "!", "aB", "\U0001f600", "\x00"])
def test_long_runs_take_bounded_time(text: str) -> None:
    run = text * (256 * 1024 // len(text))
    begun_s = time.process_time()
    counted = O200K.count_text(run)
    assert time.process_time() - begun_s < 5
    assert 0 < counted <= most_tokens(len(run.encode()))


@given(st.text(max_size=2000))
def test_no_text_breaks_it_and_none_has_more_tokens_than_bytes(text: str) -> None:
    assert (O200K.count_text(text) > 0) == bool(text)
    assert O200K.count_text(text) <= most_tokens(len(text.encode()))


def test_half_a_surrogate_pair_counts_as_a_mark() -> None:
    assert O200K.count_text("a\ud800b") == O200K.count_text("a?b")
    assert encoding(BYTES).count_text("a\ud800b") == 2


def test_slices_change_little() -> None:
    text = "The clerk at the gate counts each cart. " * 10_000
    whole, half = O200K.count_text(text), O200K.count_text(text[: len(text) // 2])
    assert abs(whole - 2 * half) <= 10


def test_many_threads_load_it_once() -> None:
    fresh = Vocabulary("phi4")
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(fresh.count_text("hello world"))) for _ in range(8)]
    assert not fresh.is_loaded
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [2] * 8


def test_a_gateway_that_never_counts_loads_nothing() -> None:
    code = "import sys, tollhouse.server; sys.exit('splintr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
