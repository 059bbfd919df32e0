"""Fields: takes the known keys out of a JSON object, with their types; what is left is what nobody understood."""

from collections.abc import Mapping
from typing import NoReturn

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind, invalid_request
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.scan import MAX_DEPTH, deeper_than


class Fields:
    """The keys of one JSON object, each taken at most once. A null counts as absent.

    Strict, a value of another type is refused: FaultError (invalid_request) naming the field; that is for requests.
    Lenient, it is left where it is, as if the key were unknown; that is for what a provider sends.
    """

    __slots__ = ("_children", "_left", "_path", "_strict")

    def __init__(self, value: Mapping[str, object], path: str = "", *, strict: bool = False) -> None:
        self._left = dict(value)
        self._path = path
        self._strict = strict
        self._children: list[tuple[str, Fields]] = []

    def path(self, key: str) -> str:
        """The name of `key` in messages: `messages[0].content`."""
        return f"{self._path}.{key}" if self._path else key

    def text(self, key: str) -> str | None:
        """A JSON string."""
        value = self._left.get(key)
        if isinstance(value, str):
            del self._left[key]
            return value
        return self._other(key, value, "a string")

    def integer(self, key: str) -> int | None:
        """A JSON number without a fraction; 5.0 counts as 5."""
        value = self._left.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            del self._left[key]
            return value
        return self._other(key, value, "an integer")

    def number(self, key: str) -> float | None:
        """Any JSON number; an integer stays one."""
        value = self._left.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            del self._left[key]
            return value
        return self._other(key, value, "a number")

    def boolean(self, key: str) -> bool | None:
        """true or false."""
        value = self._left.get(key)
        if isinstance(value, bool):
            del self._left[key]
            return value
        return self._other(key, value, "a boolean")

    def plain(self, key: str) -> dict[str, object] | None:
        """A JSON object, untouched."""
        value = self._left.get(key)
        if is_object(value):
            del self._left[key]
            return value
        return self._other(key, value, "an object")

    def array(self, key: str) -> list[object] | None:
        """A JSON array, untouched."""
        value = self._left.get(key)
        if is_array(value):
            del self._left[key]
            return value
        return self._other(key, value, "an array")

    def child(self, key: str) -> "Fields | None":
        """A JSON object whose own keys are to be taken; what is left of it stays in `rest` under `key`."""
        value = self.plain(key)
        if value is None:
            return None
        child = Fields(value, self.path(key), strict=self._strict)
        self._children.append((key, child))
        return child

    def get(self, key: str) -> object:
        """The value of `key` as it is, without taking it; None when it is absent."""
        return self._left.get(key)

    def drop(self, *keys: str) -> None:
        """Take what needs no keeping: constants that an encoder writes anyway."""
        for key in keys:
            self._left.pop(key, None)

    def replace(self, key: str, value: object) -> None:
        """Leave `value` under `key` in place of what stood there; None leaves nothing."""
        self._left.pop(key, None)
        if value is not None:
            self._left[key] = value

    def rest(self) -> dict[str, object]:
        """What is left, nested where it stood."""
        rest = dict(self._left)
        for key, child in self._children:
            if left := child.rest():
                rest[key] = left
        return rest

    def missing(self, key: str, what: str) -> FaultError:
        """To raise where a required key is absent."""
        return invalid_request(f"{self.path(key)} is missing: it must be {what}.", self.path(key))

    def wrong(self, key: str, what: str) -> FaultError:
        """To raise where a value does not fit."""
        return invalid_request(f"{self.path(key)} must be {what}.", self.path(key))

    def _other(self, key: str, value: object, what: str) -> None:
        if value is None:
            self._left.pop(key, None)
        elif self._strict:
            raise self.wrong(key, what)


def parse(data: bytes | msgspec.Raw) -> object:
    """The JSON value that `data` spells. Raises ValueError when it spells none."""
    try:
        return msgspec.json.decode(data)
    except RecursionError:
        raise ValueError("JSON nests too deep") from None


def parse_answer(data: bytes) -> object:
    """`parse`, for what nobody has scanned yet: it refuses what nests so deep that comparing or writing it would
    exhaust the stack."""
    value = parse(data)
    try:
        too_deep = deeper_than(data, MAX_DEPTH)
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ValueError("JSON nests too deep")
    return value


def render(value: object) -> bytes:
    """JSON text of `value`, keys in their order. Raises FaultError (invalid_request) when it nests too deep."""
    try:
        return msgspec.json.encode(value)
    except RecursionError:
        raise invalid_request("The request nests too deep to be translated: flatten it.") from None


def unreadable_answer(message: str, detail: str | None = None) -> NoReturn:
    """Raise the fault of a provider that does not answer in its own format."""
    raise FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message, detail=detail))
