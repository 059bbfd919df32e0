"""Frames of a Responses stream: numbered events, and items that open, have their parts, and close once."""

from tollhouse.wire.fields import render
from tollhouse.wire.framing import sse_frame


class OpenItem:
    """An item of the answer that is being written. `value` is the item as it stands."""

    __slots__ = ("closed", "open_parts", "place", "value")

    def __init__(self, place: int, value: dict[str, object]) -> None:
        self.place = place
        self.value = value
        self.open_parts = 0
        self.closed = False

    @property
    def where(self) -> dict[str, object]:
        """How an event names the item that it is about."""
        return {"item_id": self.value.get("id", ""), "output_index": self.place}


class Frames:
    """Writes the events of one stream. The item that was opened last stays open until the next one opens, or the answer
    ends: only then is it known whether it was cut short."""

    def __init__(self) -> None:
        self._number = 0
        self._last: OpenItem | None = None
        self.items: list[OpenItem] = []

    def frame(self, name: str, **fields: object) -> bytes:
        """One event with the next sequence number."""
        event = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return sse_frame(render(event), name.encode())

    def open(self, value: dict[str, object], begun: dict[str, object]) -> tuple[OpenItem, bytes]:
        """Open an item that will be `value` when it is whole, and has only `begun` now."""
        frames = self.leave()
        item = OpenItem(len(self.items), value)
        self.items.append(item)
        self._last = item
        return item, frames + self.frame("response.output_item.added", output_index=item.place, item=begun)

    def is_last(self, item: OpenItem) -> bool:
        """Whether no other item has opened since."""
        return item is self._last

    def end_part(self, item: OpenItem) -> bytes:
        """A part of the item has ended; the item closes if that was the last one and others came after it."""
        item.open_parts -= 1
        return b"" if self.is_last(item) else self._close(item, "completed")

    def leave(self, status: str = "completed") -> bytes:
        """Nothing more joins the last item."""
        last, self._last = self._last, None
        return b"" if last is None else self._close(last, status)

    def _close(self, item: OpenItem, status: str) -> bytes:
        if item.open_parts or item.closed:
            return b""
        item.closed = True
        if "status" in item.value:
            item.value["status"] = status
        return self.frame("response.output_item.done", output_index=item.place, item=item.value)
