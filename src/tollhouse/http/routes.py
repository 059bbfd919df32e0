"""Routes: which dialect and route serve a method and path, and whose words tell that none does."""

from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.dialects.dialect import Dialect, Route
from tollhouse.http.refusal import neutral
from tollhouse.ir.fault import Fault
from tollhouse.relay.call import Worded


class Place(msgspec.Struct, frozen=True):
    """A route and the dialect that it belongs to."""

    dialect: Dialect
    route: Route


class RouteTable:
    """All routes of all dialects, by the path's bytes as sent: nothing is decoded or normalised, so no path has a
    second spelling. HEAD is served wherever GET is."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._places: dict[bytes, dict[str, Place]] = {}
        for dialect in dialects:
            for route in dialect.routes:
                self._add(Place(dialect, route))
        roots = [(root.rstrip("/"), dialect) for dialect in dialects for root in dialect.roots]
        self._roots = sorted(roots, key=lambda pair: -len(pair[0]))

    def _add(self, place: Place) -> None:
        route = place.route
        methods = self._places.setdefault(route.path.encode("ascii"), {})
        if route.method in methods:
            raise ValueError(f"two routes for {route.method} {route.path}")
        methods[route.method] = place
        if route.method == "GET":
            methods.setdefault("HEAD", place)

    def methods(self, raw_path: bytes) -> Mapping[str, Place] | None:
        """What is served at this path, by method; None when nothing is."""
        return self._places.get(raw_path)

    def is_root(self, path: str) -> bool:
        """Whether the path is a dialect's root, with or without a slash at its end."""
        bare = path.removesuffix("/")
        return any(bare == root for root, _ in self._roots)

    def word(self, path: str, fault: Fault, request_id: str) -> Worded:
        """A fault in the words of the dialect that `path` belongs to, neutral ones when it belongs to none."""
        for root, dialect in self._roots:
            if path == root or path.startswith(root + "/"):
                return dialect.word(fault, request_id, path)
        for place in self._places.get(path.encode("ascii", "replace"), {}).values():
            return place.dialect.word(fault, request_id, path)
        return neutral(fault)
