"""Fields: reads the keys of one mapping, each by its own type, and collects every mistake instead of stopping."""

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from tollhouse.catalog.decimals import to_fixed_point
from tollhouse.catalog.document import Entry, Listing, Mapping, Node, Scalar
from tollhouse.catalog.problems import Problem, did_you_mean

_INTEGER = re.compile(r"[0-9]{1,15}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
PICO_USD_PER_USD_PLACES = 12
PICO_USD_PER_TOKEN_PLACES = 6
"""A price in USD per 1M tokens is the same number in micro-USD per token: six places make it pico-USD."""
_MAX_PRICE_USD = 1_000_000


class Fields:
    """The keys of one mapping. Each reader marks its key as known; `done` reports the others.

    A reader returns its default, and notes a problem, when the value does not fit: the caller goes on, so that one
    look shows every mistake of a file.
    """

    def __init__(self, node: Node, file: str, path: str, problems: list[Problem]) -> None:
        self.file = file
        self.path = path
        self.problems = problems
        self.line = node.line
        self._entries: dict[str, Entry] = {}
        self._known: set[str] = set()
        self._is_mapping = True
        if isinstance(node, Mapping):
            self._entries = {entry.key: entry for entry in node.entries}
        else:
            self.report("expected keys and values (`key: value`)")
            self._is_mapping = False

    @property
    def keys(self) -> list[str]:
        """The keys as written."""
        return list(self._entries)

    def has(self, key: str) -> bool:
        """Whether the key stands there."""
        self._known.add(key)
        return key in self._entries

    def line_of(self, key: str) -> int:
        """The key's line, or that of the whole mapping."""
        entry = self._entries.get(key)
        return entry.line if entry is not None else self.line

    def report(self, message: str, key: str | None = None) -> None:
        """Note a mistake in the key, or in the mapping as a whole; after "this is no mapping" nothing more is said."""
        if not self._is_mapping:
            return
        line = self.line if key is None else self.line_of(key)
        self.problems.append(Problem(self.file, line, self.path_of(key), message))

    def path_of(self, key: str | None) -> str:
        """The key's path for people."""
        return ".".join(part for part in (self.path, key or "") if part)

    def done(self) -> None:
        """Report every key that nobody asked for."""
        for key, entry in self._entries.items():
            if key not in self._known:
                where = f" in {self.path}" if self.path else ""
                message = f"unknown key `{key}`{where}{did_you_mean(key, self._known)}"
                self.problems.append(Problem(self.file, entry.line, "", message))

    def node(self, key: str) -> Node | None:
        """The value as it stands; None when the key is missing or its value is."""
        self._known.add(key)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if isinstance(entry.value, Scalar) and entry.value.is_null:
            self.report("has no value; give it one or leave the key out", key)
            return None
        return entry.value

    def text(self, key: str, *, required: bool = False, pattern: re.Pattern[str] | None = None, hint: str = "") -> str:
        """A text, "" when it is missing. `hint` says what `pattern` wants: "a colour such as #10A37F"."""
        found = self._scalar(key, "text")
        if found is None:
            if required and not self.has(key):
                self.report(f"needs `{key}`")
            return ""
        if _CONTROL.search(found):
            self.report("holds a control character", key)
            return ""
        if required and not found:
            self.report("must not be empty", key)
        if pattern is not None and found and pattern.fullmatch(found) is None:
            self.report(f"expected {hint}, not `{found}`", key)
            return ""
        return found

    def texts(self, key: str, choices: Collection[str] = ()) -> tuple[str, ...]:
        """A list of texts without repeats, each of `choices` where there are any."""
        found: list[str] = []
        for index, item in enumerate(self._items(key)):
            if not isinstance(item, Scalar) or item.is_null or not item.text or _CONTROL.search(item.text):
                self.report(f"entry {index} has to be a text", key)
            elif choices and item.text not in choices:
                self.report(f"`{item.text}` is not known here{did_you_mean(item.text, choices)}", key)
            elif item.text in found:
                self.report(f"names `{item.text}` twice", key)
            else:
                found.append(item.text)
        return tuple(found)

    def choice(self, key: str, choices: Iterable[str], default: str) -> str:
        """One of `choices`."""
        found = self._scalar(key, "a word")
        if found is None:
            return default
        allowed = list(choices)
        if found not in allowed:
            self.report(f"`{found}` is not known here{did_you_mean(found, allowed)}", key)
            return default
        return found

    def flag(self, key: str, *, default: bool) -> bool:
        """`true` or `false`."""
        found = self._scalar(key, "true or false")
        if found is None:
            return default
        if found not in {"true", "false"}:
            self.report(f"expected true or false, not `{found}`", key)
        return found == "true"

    def integer(self, key: str, *, default: int = 0, minimum: int = 1) -> int:
        """A whole number of at least `minimum`."""
        found = self._scalar(key, "a whole number")
        if found is None:
            return default
        if _INTEGER.fullmatch(found) is None or int(found) < minimum:
            self.report(f"expected a whole number of at least {minimum}, digits only, not `{found}`", key)
            return default
        return int(found)

    def seconds(self, key: str, default: float) -> float:
        """A duration in seconds, above 0 and at most a day."""
        found = self._scalar(key, "seconds")
        if found is None:
            return default
        if _SECONDS.fullmatch(found) is None or not 0 < float(found) <= 86_400:
            self.report(f"expected seconds above 0 and up to 86400, not `{found}`", key)
            return default
        return float(found)

    def usd(self, key: str, places: int) -> int | None:
        """A price in decimal USD times 10**`places`: integer pico-USD per token (6 places, USD per 1M tokens) or per
        piece (12 places). None when the key is missing."""
        found = self._scalar(key, "a price in USD")
        if found is None:
            return None
        try:
            price = to_fixed_point(found, places)
        except ValueError as error:
            unit = "a pico-USD per token" if places == PICO_USD_PER_TOKEN_PLACES else "a pico-USD"
            finer = f"; prices are kept in integers and cannot be finer than {unit}" if "digits" in str(error) else ""
            self.report(f"{error}{finer}", key)
            return None
        if price > _MAX_PRICE_USD * 10**places:
            self.report(f"a price of {found} USD is above the bound of {_MAX_PRICE_USD}", key)
            return None
        return price

    def mapping(self, key: str) -> "Fields | None":
        """The mapping under `key`."""
        found = self.node(key)
        return None if found is None else Fields(found, self.file, self.path_of(key), self.problems)

    def mapping_or_texts(self, key: str) -> "Fields | tuple[str, ...] | None":
        """The mapping under `key`, or the list of texts where there is one."""
        return self.texts(key) if isinstance(self.node(key), Listing) else self.mapping(key)

    def mappings(self, key: str, name_key: str = "") -> list["Fields"]:
        """The list of mappings under `key`; the path of each names its `name_key`: `models[3] (openai/gpt-5)`."""
        found: list[Fields] = []
        for index, item in enumerate(self._items(key)):
            path = f"{self.path_of(key)}[{index}]"
            if name_key and isinstance(item, Mapping):
                names = [e.value.text for e in item.entries if e.key == name_key and isinstance(e.value, Scalar)]
                path += f" ({names[0]})" if names and names[0].isprintable() else ""
            found.append(Fields(item, self.file, path, self.problems))
        return found

    def _scalar(self, key: str, what: str) -> str | None:
        found = self.node(key)
        if found is None:
            return None
        if not isinstance(found, Scalar):
            self.report(f"expected {what}, not a {'list' if isinstance(found, Listing) else 'mapping'}", key)
            return None
        return found.text

    def _items(self, key: str) -> tuple[Node, ...]:
        found = self.node(key)
        if found is None:
            return ()
        if not isinstance(found, Listing):
            self.report("expected a list (`- ...`, or `[...]` in one line)", key)
            return ()
        return found.items


def url_problem(url: str) -> str | None:
    """Why `url` cannot be a base URL, None when it can; the message never repeats the URL, which may hold a secret."""
    if not url.isprintable() or not url.isascii() or " " in url:
        return "a URL is printable ASCII without spaces"
    try:
        parts = urlsplit(url)
        port_is_bad = parts.port == 0
    except ValueError:
        return "this is no URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname or port_is_bad:
        return "expected a URL that begins with http:// or https:// and names a host"
    if "@" in parts.netloc:
        return "a URL must not hold credentials; put the key into `api_key`"
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return "a URL must not hold a query or a fragment"
    return None
