"""YAML text to a tree of nodes that know their lines; every scalar stays text, duplicate keys are mistakes."""

import re
from typing import Any, cast

import msgspec
import yaml

from tollhouse.catalog.problems import Problem

_MAX_NODES = 200_000
_MAX_DEPTH = 32
_MAX_CHARACTERS = 8_000_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_SAFE = re.compile(r"[^\x20-\x7e]")


class Scalar(msgspec.Struct, frozen=True):
    """One value as it was written. `is_null` for a missing value, `~` and `null`, unless in quotes."""

    text: str
    line: int
    is_null: bool = False


class Listing(msgspec.Struct, frozen=True):
    """A list."""

    items: "tuple[Node, ...]"
    line: int


class Entry(msgspec.Struct, frozen=True):
    """One key of a mapping, and its value."""

    key: str
    line: int
    value: "Node"


class Mapping(msgspec.Struct, frozen=True):
    """Keys and values in the order of the file; no key twice."""

    entries: tuple[Entry, ...]
    line: int


Node = Scalar | Listing | Mapping


class DocumentError(Exception):
    """The text is no document that a catalogue could be; `problem` says where and why."""

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(file, line, "", message)


def parse_document(text: str, file: str) -> Node:
    """The one document in `text`. Raises DocumentError on YAML that is broken, too large, too deep, tagged, or uses
    a key twice. Anchors and aliases work; what they expand to counts towards the bound on size."""
    if len(text) > _MAX_CHARACTERS:
        raise DocumentError(file, 1, f"the file is larger than {_MAX_CHARACTERS} characters")
    # libyaml where it is compiled in: about ten times as fast, and loading is part of every start.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = list(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ": ".join(part for part in (error.context, error.problem) if part)
        raise DocumentError(file, mark.line + 1 if mark else 1, f"this is not valid YAML: {reason}") from None
    except yaml.YAMLError as error:
        reason = _SAFE.sub("?", str(error).splitlines()[0])
        raise DocumentError(file, 1, f"this is not valid YAML: {reason}") from None
    return _Builder(file, events).document()


class _Builder:
    """Builds the tree from the parser's events, counting what aliases expand to."""

    def __init__(self, file: str, events: list[yaml.Event]) -> None:
        self._file = file
        self._events = iter(events)
        self._anchors: dict[str, tuple[Node, int, int] | None] = {}
        self._count = 0

    def document(self) -> Node:
        found: Node | None = None
        for event in self._events:
            if not isinstance(event, yaml.NodeEvent):
                continue
            if found is not None:
                raise self._error(event, "a catalogue is one YAML document; this is a second one")
            found, _ = self._node(event, 0)
        return found if found is not None else Scalar("", 1, is_null=True)

    def _error(self, event: yaml.Event, message: str) -> DocumentError:
        return DocumentError(self._file, _line(event), message)

    def _node(self, event: yaml.Event, depth: int) -> tuple[Node, int]:
        """The node that `event` opens, and its height."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._grow(event, 1, depth)
        anchor = cast("str | None", getattr(event, "anchor", None))
        if anchor is not None:
            self._anchors[anchor] = None
        before = self._count
        tag = cast("str | None", getattr(event, "tag", None))
        if tag not in {None, "!"}:
            raise self._error(event, f"tags such as {tag} have no meaning here; write the value without it")
        node, height = self._plain(event, depth)
        if anchor is not None:
            self._anchors[anchor] = (node, self._count - before + 1, height)
        return node, height

    def _plain(self, event: yaml.Event, depth: int) -> tuple[Node, int]:
        if isinstance(event, yaml.ScalarEvent):
            bare = event.implicit[0]
            return Scalar(event.value, _line(event), is_null=bare and event.value in _NULLS), 0
        if isinstance(event, yaml.SequenceStartEvent):
            return self._listing(event, depth)
        return self._mapping(event, depth)

    def _alias(self, event: yaml.AliasEvent, depth: int) -> tuple[Node, int]:
        name = cast("str", event.anchor)
        found = self._anchors.get(name)
        if found is None:
            reason = "stands inside what it names" if name in self._anchors else "names nothing above it"
            raise self._error(event, f"the alias *{name} {reason}")
        node, size, height = found
        self._grow(event, size, depth + height)
        return node, height

    def _grow(self, event: yaml.Event, size: int, depth: int) -> None:
        self._count += size
        if self._count > _MAX_NODES:
            raise self._error(event, f"the file holds more than {_MAX_NODES} values, aliases written out")
        if depth > _MAX_DEPTH:
            raise self._error(event, f"values are nested more than {_MAX_DEPTH} deep")

    def _listing(self, start: yaml.Event, depth: int) -> tuple[Node, int]:
        items: list[Node] = []
        height = 0
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            node, inner = self._node(event, depth + 1)
            items.append(node)
            height = max(height, inner + 1)
        return Listing(tuple(items), _line(start)), height

    def _mapping(self, start: yaml.Event, depth: int) -> tuple[Node, int]:
        entries: dict[str, Entry] = {}
        height = 0
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key, _ = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise self._error(event, "a key has to be plain text")
            if key.text in entries:
                first = entries[key.text].line
                raise self._error(event, f"the key `{key.text}` stands here again; it was set in line {first}")
            node, inner = self._node(next(self._events), depth + 1)
            entries[key.text] = Entry(key.text, _line(event), node)
            height = max(height, inner + 1)
        return Mapping(tuple(entries.values()), _line(start)), height


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
