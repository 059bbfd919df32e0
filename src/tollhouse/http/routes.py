"""Routes: which dialect and route serve a method and path, and whose words tell that none does."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from tollhouse.dialects.dialect import Dialect, Operation, Route
from tollhouse.http.hosts import Hosts
from tollhouse.http.refusal import neutral
from tollhouse.ir.fault import Fault
from tollhouse.relay.call import Worded, Wording


class Place(msgspec.Struct, frozen=True):
    """A route and the dialect that it belongs to."""

    dialect: Dialect
    route: Route

    @property
    def wording(self) -> Wording:
        """Who words the faults of this route."""
        return self.route.voice or self.dialect

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        """The key that a request carries; header names are lower case."""
        return (self.route.read_key or self.dialect.read_key)(headers)


class SharedPlace(msgspec.Struct, frozen=True):
    """Routes of several dialects for one method and path; a request's headers say which one is meant."""

    places: tuple[Place, ...]

    def claimed(self, headers: Mapping[str, str]) -> Place | None:
        """The place that lays the strongest claim to a request, None when none does."""
        strength, place = max(
            ((each.route.claim(headers) if each.route.claim else 0, each) for each in self.places),
            key=lambda pair: pair[0],
        )
        return place if strength else None


class RouteTable:
    """All routes of all dialects, by the path's bytes as sent: nothing is decoded or normalised, so no path has a
    second spelling. HEAD is served wherever GET is. `without` are operations whose routes are left out."""

    def __init__(self, dialects: Sequence[Dialect], without: Collection[Operation] = ()) -> None:
        self._places: dict[bytes, dict[str, Place | SharedPlace]] = {}
        self._roots = frozenset(root.rstrip("/") for dialect in dialects for root in dialect.roots)
        speakers: dict[str, Wording] = {}
        for dialect in dialects:
            speakers |= dict.fromkeys((root.rstrip("/") for root in dialect.roots), dialect)
            for route in dialect.routes:
                place = Place(dialect, route)
                if route.operation not in without:
                    self._add(place)
                if route.voice is not None or route.path not in speakers:
                    speakers[route.path] = place.wording
        self._speak(speakers)

    @classmethod
    def alone(cls, dialect: Dialect, all_dialects: Sequence[Dialect], without: Collection[Operation]) -> "RouteTable":
        """The routes of one dialect, which words whatever is asked; the probes of the others stay where they are."""
        table = cls((dialect,), without)
        for other in all_dialects:
            if other is not dialect:
                for route in other.routes:
                    if route.probes is not None and route.path.encode("ascii") not in table._places:
                        table._add(Place(other, route))
        table._speak({**dict(table._speakers), "": dialect})
        return table

    @property
    def roots(self) -> Collection[str]:
        """The path prefixes of the dialects, without a slash at their end."""
        return self._roots

    def _speak(self, speakers: Mapping[str, Wording]) -> None:
        # The longest path first: it knows best whose words are expected.
        self._speakers = sorted(speakers.items(), key=lambda pair: -len(pair[0]))

    def _add(self, place: Place) -> None:
        route = place.route
        methods = self._places.setdefault(route.path.encode("ascii"), {})
        there = methods.get(route.method)
        if there is None:
            methods[route.method] = place
        else:
            places = (*(there.places if isinstance(there, SharedPlace) else (there,)), place)
            if any(each.route.claim is None for each in places):
                raise ValueError(f"two routes for {route.method} {route.path}")
            methods[route.method] = SharedPlace(places)
        if route.method == "GET":
            methods.setdefault("HEAD", place)

    def methods(self, raw_path: bytes) -> Mapping[str, Place | SharedPlace] | None:
        """What is served at this path, by method; None when nothing is."""
        return self._places.get(raw_path)

    def is_root(self, path: str) -> bool:
        """Whether the path is a dialect's root, with or without a slash at its end."""
        return path.removesuffix("/") in self._roots

    def word(self, path: str, fault: Fault, request_id: str) -> Worded:
        """A fault in the words of the route or the dialect that `path` belongs to or lies below, neutral ones when
        there is none."""
        for known, wording in self._speakers:
            if path == known or path.startswith(known + "/"):
                return wording.word(fault, request_id, path)
        return neutral(fault)


class HostRoutes:
    """The routes that hold under a request's Host: those of one dialect where the host is mapped to it, else all.

    Raises ValueError for a host that is mapped to a dialect which is not there.
    """

    def __init__(
        self, dialects: Sequence[Dialect], without: Collection[Operation] = (), hosts: Mapping[str, str] | None = None
    ) -> None:
        self.all = RouteTable(dialects, without)
        self._hosts = Hosts(hosts or {})
        by_name = {dialect.name: dialect for dialect in dialects}
        self._alone: dict[str, RouteTable] = {}
        for host, name in (hosts or {}).items():
            if name not in by_name:
                raise ValueError(f"{host} is mapped to {name}; there are {', '.join(by_name)}")
            self._alone[name] = RouteTable.alone(by_name[name], dialects, without)

    def on(self, host: str | None) -> RouteTable:
        """The routes under a Host header, None without one."""
        name = self._hosts.dialect(host)
        return self.all if name is None else self._alone[name]
