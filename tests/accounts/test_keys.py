"""Keys: made, checked, hashed and hinted."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.accounts import keys

RANDOM = st.binary(min_size=32, max_size=32)
PREFIXES = st.sampled_from(["th-", "hi-", "hpph_", "x-"])


@pytest.mark.row(49)
@given(RANDOM, PREFIXES)
def test_a_new_key_is_well_formed_and_begins_with_its_prefix(random_bytes: bytes, prefix: str) -> None:
    key = keys.new_key(random_bytes, prefix)
    assert key.startswith(prefix)
    assert keys.well_formed(key)
    assert len(key) == len(prefix) + 49
    assert key.removeprefix(prefix).isalnum()


@given(RANDOM, RANDOM)
def test_different_bytes_make_different_keys(one: bytes, other: bytes) -> None:
    assert (keys.new_key(one) == keys.new_key(other)) == (one == other)


@given(RANDOM, st.data())
def test_one_wrong_character_is_noticed(random_bytes: bytes, data: st.DataObject) -> None:
    key = keys.new_key(random_bytes)
    place = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_ é").filter(lambda c: c != key[place]))
    assert not keys.well_formed(key[:place] + other + key[place + 1 :])


@given(RANDOM, st.data())
def test_two_swapped_neighbours_are_noticed(random_bytes: bytes, data: st.DataObject) -> None:
    key = keys.new_key(random_bytes)
    place = data.draw(st.integers(3, len(key) - 2))
    swapped = key[:place] + key[place + 1] + key[place] + key[place + 2 :]
    assert keys.well_formed(swapped) == (swapped == key)


@given(RANDOM, st.integers(0, 51))
def test_a_key_that_was_cut_off_is_noticed(random_bytes: bytes, length: int) -> None:
    key = keys.new_key(random_bytes)
    assert not keys.well_formed(key[:length])
    assert not keys.well_formed(key[-length:] if length else "")


@given(st.text(max_size=200))
def test_any_text_is_judged_without_an_exception(text: str) -> None:
    assert keys.well_formed(text) is False
    assert len(keys.digest(text)) == 32


@given(RANDOM)
def test_the_hint_gives_away_the_prefix_and_four_characters(random_bytes: bytes) -> None:
    key = keys.new_key(random_bytes)
    assert keys.hint(key) == f"th-...{key[-4:]}"


def test_the_digest_is_sha_256_of_the_whole_key() -> None:
    key = keys.new_key(bytes(32))
    assert keys.digest(key) == hashlib.sha256(key.encode()).digest()


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_is_made_of_256_bits(length: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        keys.new_key(bytes(length))


@pytest.mark.parametrize("prefix", ["", "t h", "é-", "x" * 33])
def test_a_prefix_must_be_able_to_begin_a_key(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        keys.new_key(bytes(32), prefix)
