"""Hosts: names under which one of the APIs is alone."""

import re
from collections.abc import Mapping

_HOST = re.compile(
    r"""(?:
        \[[0-9a-f:.]+\]                          # an IPv6 address
        | [a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?     # a name of labels; an IPv4 address looks like one
          (?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*
    )(?::[0-9]{1,5})?""",
    re.VERBOSE,
)
_PORT = re.compile(r":[0-9]*$")


def normal_host(host: str) -> str:
    """A host in the one spelling that is compared: small letters, and no dot at the end of the name."""
    small = host.strip().lower()
    port = _PORT.search(small)
    name, rest = (small, "") if port is None else (small[: port.start()], port[0])
    return name.removesuffix(".") + ("" if rest == ":" else rest)


def hosts_problem(hosts: Mapping[str, str]) -> str | None:
    """Why these hosts cannot be mapped, in words for people; None when they can."""
    seen: dict[str, str] = {}
    for host in hosts:
        normal = normal_host(host)
        if not _HOST.fullmatch(normal):
            return f"{host!r} is no host; write a name such as router.example.com, with a port if only that is meant"
        if normal in seen:
            return f"{seen[normal]!r} and {host!r} are the same host, and it answers with one API; name it once"
        seen[normal] = host
    return None


class Hosts:
    """The dialects of mapped hosts. A host with a port is that port alone, one without is any; the former goes first.

    Raises ValueError when hosts_problem has one.
    """

    def __init__(self, hosts: Mapping[str, str]) -> None:
        problem = hosts_problem(hosts)
        if problem is not None:
            raise ValueError(problem)
        self._dialects = {normal_host(host): dialect for host, dialect in hosts.items()}

    def dialect(self, host: str | None) -> str | None:
        """The dialect of a request's Host header, None where the host is not mapped."""
        if not self._dialects or host is None:
            return None
        normal = normal_host(host)
        known = self._dialects.get(normal)
        return self._dialects.get(_PORT.sub("", normal)) if known is None else known
