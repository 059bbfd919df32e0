"""Taking known keys out of JSON objects, and what is left of them."""

from typing import Any

import pytest

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.wire.fields import Fields, parse, parse_answer, render
from tollhouse.wire.leftovers import Losses, joined, kept

VALUES: dict[str, Any] = {"text": "a", "integer": 1, "number": 0.5, "boolean": True, "plain": {"k": 1}, "array": [1]}


@pytest.mark.parametrize("taker", VALUES)
@pytest.mark.parametrize("kind", VALUES)
def test_each_type_takes_its_own_and_leaves_or_refuses_the_others(taker: str, kind: str) -> None:
    value = VALUES[kind]
    lenient = Fields({"k": value, "other": 1}, "a[0]")
    strict = Fields({"k": value}, "a[0]", strict=True)
    if taker == kind or (taker, kind) == ("number", "integer"):
        assert getattr(lenient, taker)("k") == value
        assert getattr(strict, taker)("k") == value
        assert lenient.rest() == {"other": 1}
    else:
        assert getattr(lenient, taker)("k") is None
        assert lenient.rest() == {"k": value, "other": 1}
        with pytest.raises(FaultError) as raised:
            getattr(strict, taker)("k")
        assert raised.value.fault.param == "a[0].k"


@pytest.mark.parametrize("taker", VALUES)
@pytest.mark.parametrize("strict", [True, False])
def test_null_and_absent_are_the_same(taker: str, strict: bool) -> None:
    fields = Fields({"null": None}, strict=strict)
    assert getattr(fields, taker)("null") is None
    assert getattr(fields, taker)("absent") is None
    assert fields.rest() == {}


def test_what_is_left_of_a_child_stays_where_it_stood() -> None:
    fields = Fields({"a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": {"g": 4}})
    child = fields.child("a")
    whole = fields.child("f")
    assert child is not None
    assert whole is not None
    inner = child.child("b")
    assert inner is not None
    assert (inner.integer("c"), child.integer("e"), whole.integer("g")) == (1, 3, 4)
    assert fields.rest() == {"a": {"b": {"d": 2}}}
    assert inner.path("d") == "a.b.d"


def test_a_fraction_is_no_integer() -> None:
    assert Fields({"k": 5.0}).integer("k") == 5
    assert Fields({"k": 5.5}).integer("k") is None
    assert Fields({"k": True}).integer("k") is None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b'"\\ud800"'])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    for read in (parse, parse_answer):
        with pytest.raises(ValueError, match=r"."):
            read(data)


def test_what_nests_too_deep_is_not_written() -> None:
    deep: list[object] = []
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(FaultError) as raised:
        render(deep)
    assert raised.value.fault.kind is FaultKind.INVALID_REQUEST


def test_own_leftovers_come_back_and_others_are_lost() -> None:
    losses: list[Loss] = []
    encoded: dict[str, object] = {"a": 1, "b": {"c": 2}, "n": None}
    own = {"a": 9, "b": {"c": 9, "d": 3}, "e": 4, "n": 5}
    Losses("mine", losses).restore(encoded, {"mine": own, "other": {"x": 1}}, "messages[0]")
    assert encoded == {"a": 1, "b": {"c": 2, "d": 3}, "e": 4, "n": 5}
    assert losses == [Loss("messages[0].x", "mine has no such field")]


def test_only_what_was_set_is_lost() -> None:
    losses: list[Loss] = []
    noted = Losses("mine", losses)
    for value in (None, "", (), False):
        noted.drop("a", value)
    noted.drop("b", 0.5)
    assert [loss.path for loss in losses] == ["b"]
    assert kept("mine", {}) == {}
    assert kept("mine", {"k": 1}) == {"mine": {"k": 1}}


def test_fragments_are_joined() -> None:
    old: dict[str, object] = {"text": "a", "list": [1], "object": {"k": "x", "same": "s"}, "number": 1, "kept": "k"}
    new: dict[str, object] = {"text": "b", "list": [2], "object": {"k": "y", "same": "s"}, "number": 2, "kept": None}
    assert joined(old, {**new, "fresh": 3}) == {
        "text": "ab",
        "list": [1, 2],
        "object": {"k": "xy", "same": "s"},
        "number": 2,
        "kept": "k",
        "fresh": 3,
    }
    assert old["text"] == "a"
