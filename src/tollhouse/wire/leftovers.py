"""Leftovers: fields that no decoder knows, kept under the name of their format and written back where they stood."""

from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import Extensions
from tollhouse.ir.plain import is_array, is_object

_MERGE_DEPTH = 8


class Losses:
    """Where an encoder notes what its format cannot say."""

    __slots__ = ("_losses", "format_name")

    def __init__(self, format_name: str, losses: list[Loss]) -> None:
        self.format_name = format_name
        self._losses = losses

    def note(self, path: str, why: str) -> None:
        """Note that the value at `path` is dropped or bent."""
        self._losses.append(Loss(path, why))

    def drop(self, path: str, value: object) -> None:
        """Note that `value`, if there is one, has no place in the format."""
        if value is not None and value is not False and value not in ("", ()):
            self._losses.append(Loss(path, f"{self.format_name} has no such field"))

    def restore(self, encoded: dict[str, object], extensions: Extensions, path: str) -> None:
        """Write the leftovers of this format into `encoded`, which keeps what it has; others' are lost."""
        for name, fields in extensions.items():
            if name == self.format_name:
                _fill(encoded, fields, _MERGE_DEPTH)
            else:
                for key in fields:
                    self.note(f"{path}.{key}" if path else key, f"{self.format_name} has no such field")


def kept(format_name: str, rest: dict[str, object]) -> Extensions:
    """`rest` as extensions; empty when nothing is left."""
    return {format_name: rest} if rest else {}


def _fill(encoded: dict[str, object], fields: dict[str, object], depth: int) -> None:
    for key, value in fields.items():
        if encoded.get(key) is None:
            encoded[key] = value
        elif depth > 0:
            present = encoded[key]
            if is_object(present) and is_object(value):
                present = dict(present)
                _fill(present, value, depth - 1)
                encoded[key] = present


def joined(old: dict[str, object], new: dict[str, object], depth: int = _MERGE_DEPTH) -> dict[str, object]:
    """`old` grown by the fragment `new`: objects merge, lists are joined, texts too unless they are the same; all else
    is replaced. Fragments come from outside, so merging goes no deeper than `depth`."""
    grown = dict(old)
    for key, value in new.items():
        grown[key] = _joined_value(grown[key], value, depth) if key in grown else value
    return grown


def _joined_value(old: object, new: object, depth: int) -> object:
    if depth > 0 and is_object(old) and is_object(new):
        return joined(old, new, depth - 1)
    if is_array(old) and is_array(new):
        return old + new
    if isinstance(old, str) and isinstance(new, str) and old != new:
        return old + new
    return old if new is None else new
