"""Proxies: whose word on the caller's address and scheme counts."""

import ipaddress
from collections.abc import Sequence

from uvicorn._types import HTTPScope

_FORWARDED = frozenset(
    {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"}
)


class TrustedProxies:
    """Networks (`10.0.0.0/8`) whose X-Forwarded-For, -Proto and -Host are believed; nobody else's are."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def apply(self, scope: HTTPScope, fields: dict[str, str]) -> None:
        """Put the caller's own address and scheme into `scope` and the host it called into `fields`, and take out of
        `fields` what was claimed."""
        if self._networks and scope["client"] is not None and self._trusts(scope["client"][0]):
            caller = self._caller(fields.get("x-forwarded-for", ""))
            if caller is not None:
                scope["client"] = (caller, 0)
            if fields.get("x-forwarded-proto", "").lower() == "https":
                scope["scheme"] = "https"
            # What comes last was said by the proxy next to us.
            host = fields.get("x-forwarded-host", "").rpartition(",")[2].strip()
            if host:
                fields["host"] = host
        for name in _FORWARDED.intersection(fields):
            del fields[name]

    def _caller(self, chain: str) -> str | None:
        """The last address of the chain that is no proxy of ours; what stands before it could be invented."""
        caller = None
        for part in reversed(chain.split(",")):
            address = part.strip()
            if not _is_address(address):
                break
            caller = address
            if not self._trusts(address):
                break
        return caller

    def _trusts(self, address: str) -> bool:
        if not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
