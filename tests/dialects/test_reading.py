"""The words for every way in which a body can miss its type."""

from enum import Enum
from typing import Annotated, Literal

import msgspec
import pytest

from tollhouse.dialects.reading import Reader
from tollhouse.ir.fault import FaultError


class Colour(Enum):
    RED = "red"


class Inner(msgspec.Struct):
    role: Literal["a", "b"]


class Sample(msgspec.Struct):
    inner: Inner | None = None
    level: Literal[1, 2] | None = None
    count: Annotated[int, msgspec.Meta(gt=0, multiple_of=2)] | None = None
    share: Annotated[float, msgspec.Meta(ge=-0.5, le=1.25)] | None = None
    pair: Annotated[list[int], msgspec.Meta(min_length=2)] | None = None
    title: Annotated[str, msgspec.Meta(max_length=3)] | None = None
    either: str | list[int] | bool | None = None
    table: dict[str, int] | None = None
    colour: Colour | None = None


READER = Reader(Sample, {"role": "a or b"})


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b'{"inner":{}}', "inner.role", "`inner.role` is required, but the request does not have it."),
        (b'{"inner":{"role":"x"}}', "inner.role", "`inner.role` has a value that is not allowed. Use a or b."),
        (
            b'{"colour":"blue"}',
            "colour",
            "`colour` has a value that is not allowed. Use one of the documented values.",
        ),
        (b'{"share":2}', "share", "`share` must be at most 1.25."),
        (b'{"share":-1}', "share", "`share` must be at least -0.5."),
        (b'{"share":"1"}', "share", "`share` must be a number, but it is a string."),
        (b'{"pair":[1]}', "pair", "`pair` must have at least 2 entries."),
        (b'{"title":"long"}', "title", "`title` is too long: it may have 3 characters."),
        (b'{"either":3}', "either", "`either` must be true or false or a string or a list, but it is an integer."),
        (b'{"table":{"the prompt":"x"}}', "table", "`table` must be an integer, but it is a string."),
        (b'{"count":3}', "count", "`count` does not fit the documented type."),
        (b"[]", None, "The request body must be a JSON object, but it is a list."),
        (b"", None, "The request body is empty. Send a JSON object."),
        (
            b'{"a":nul}',
            None,
            "The request body is not valid JSON: invalid character at byte 6. Send one JSON object.",
        ),
        (
            b'{"a":',
            None,
            "The request body is not valid JSON: it is cut short or holds a broken escape. Send one JSON object.",
        ),
        (
            b'{"title":"\xff"}',
            None,
            "The request body is not valid UTF-8. Send JSON encoded as UTF-8.",
        ),
    ],
)
def test_the_words(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(FaultError) as raised:
        READER.read(body)
    assert raised.value.fault.message == message
    assert raised.value.fault.param == param


def test_what_fits_is_returned() -> None:
    assert READER.read(b'{"share":1,"inner":null,"else":[1]}').share == 1
