"""Kept items: what has come of an answer so far, for an end that the provider does not tell."""

import msgspec

from tollhouse.wire.openai_responses.pipe_answer import raw

MAX_KEPT_BYTES = 16 * 1024 * 1024


class _Kept:
    """One item: as it was added, what has grown of it, and as it is when it is whole."""

    __slots__ = ("added", "pieces", "whole")

    def __init__(self, added: dict[str, object]) -> None:
        self.added = added
        self.pieces: list[str] = []
        self.whole: msgspec.Raw | None = None


class KeptItems:
    """The items of one stream by their place; above a bound they are no longer kept."""

    def __init__(self) -> None:
        self._items: dict[int, _Kept] = {}
        self._bytes = 0

    def add(self, place: int, item: dict[str, object]) -> None:
        """An item has opened."""
        self._items.setdefault(place, _Kept(item))

    def grow(self, place: int, text: str) -> None:
        """An item has grown."""
        kept = self._items.get(place)
        if kept is not None and self._holds(len(text)):
            kept.pieces.append(text)

    def has_grown(self, place: int) -> bool:
        """Whether anything of the item was streamed."""
        kept = self._items.get(place)
        return kept is not None and bool(kept.pieces)

    def settle(self, place: int, item: msgspec.Raw) -> None:
        """An item is whole."""
        kept = self._items.setdefault(place, _Kept({}))
        kept.pieces.clear()
        if self._holds(len(bytes(item))):
            kept.whole = msgspec.Raw(bytes(item))

    def is_whole(self) -> bool:
        """Whether all items are whole and one of them is more than reasoning."""
        kinds = {kept.added.get("type") for kept in self._items.values()}
        return bool(kinds - {"reasoning"}) and all(kept.whole is not None for kept in self._items.values())

    def close(self) -> list[tuple[int, msgspec.Raw]]:
        """Make the items that are still open whole, as far as they have come; gives them with their places."""
        closed: list[tuple[int, msgspec.Raw]] = []
        for place, kept in self._items.items():
            if kept.whole is None:
                kept.whole = raw(_partial(kept.added, "".join(kept.pieces)))
                closed.append((place, kept.whole))
        return closed

    def output(self) -> list[msgspec.Raw]:
        """The whole items in order."""
        return [kept.whole for _, kept in sorted(self._items.items()) if kept.whole is not None]

    def _holds(self, size: int) -> bool:
        self._bytes += size
        return self._bytes <= MAX_KEPT_BYTES


def _partial(item: dict[str, object], text: str) -> dict[str, object]:
    """An item that the gateway has cut off."""
    partial = dict(item)
    if "status" in partial:
        partial["status"] = "incomplete"
    match partial.get("type"):
        case "message":
            partial["content"] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        case "function_call":
            partial["arguments"] = text
        case "custom_tool_call":
            partial["input"] = text
        case "reasoning" if text:
            partial["summary"] = [{"type": "summary_text", "text": text}]
        case _:
            pass
    return partial
