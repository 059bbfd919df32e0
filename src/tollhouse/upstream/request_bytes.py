"""The bytes of a request's head, and where it goes; refuses whatever could end a header early."""

import functools
import re
from urllib.parse import quote, urlsplit

import msgspec

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What frames the message or belongs to the connection is ours alone.
_OURS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_PORTS = {"http": 80, "https": 443}
# What may stand in a path and a query as it is (RFC 3986), with "%" for what is escaped already.
_PLAIN = "/%:@!$&'()*+,;=~?"


class Origin(msgspec.Struct, frozen=True):
    """Where connections go, and may be used again for: `host` is a name in ASCII or an address without brackets."""

    tls: bool
    host: str
    port: int


@functools.lru_cache(maxsize=256)
def render_request(url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """The origin of a POST and its head up to the value of Content-Length, which comes last.

    Raises ValueError: for a URL that is none of http or https, for a name or value that no header can have, for a
    header that is the connection's own. The same few heads go out again and again, so they are kept.
    """
    origin, first = _first_lines("POST", url)
    head = "\r\n".join((*first, *_lines(headers), "Content-Length: "))
    return origin, head.encode()


def render_get(url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """The origin of a GET and its whole head; the connection is for this one. Raises ValueError as `render_request`."""
    origin, first = _first_lines("GET", url)
    return origin, "\r\n".join((*first, *_lines(headers), "Connection: close", "", "")).encode()


def origin_of(url: str) -> Origin:
    """Where a URL leads. Raises ValueError as `render_request`."""
    return _first_lines("GET", url)[0]


def _first_lines(method: str, url: str) -> tuple[Origin, tuple[str, str]]:
    """The origin, and the lines that name what is asked of whom."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme)
    if port is None or not parts.hostname or parts.username is not None:
        raise ValueError("a provider's URL must be http:// or https://, with a host and without a user")
    host = parts.hostname
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    named = f"[{host}]" if ":" in host else host
    if port != _PORTS[parts.scheme]:
        named = f"{named}:{port}"
    target = quote(parts.path or "/", safe=_PLAIN)
    if parts.query:
        target = f"{target}?{quote(parts.query, safe=_PLAIN)}"
    return Origin(parts.scheme == "https", host, port), (f"{method} {target} HTTP/1.1", _line("Host", named))


def _lines(headers: tuple[tuple[str, str], ...]) -> list[str]:
    for name, _ in headers:
        if name.lower() in _OURS:
            raise ValueError(f"the header {name} is the connection's own")
    return [_line(name, value) for name, value in headers]


def _line(name: str, value: str) -> str:
    """The value is never named in an error: it may be a secret."""
    if not _NAME.fullmatch(name):
        raise ValueError("a header's name may only have letters, digits and a few signs")
    if _FORBIDDEN.search(value):
        raise ValueError(f"the value of the header {name} has a control character")
    return f"{name}: {value}"
