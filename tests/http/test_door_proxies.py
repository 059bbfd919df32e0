"""Whose X-Forwarded-* headers are believed."""

from typing import Any, cast

import pytest

from support.door import House, post, run
from tollhouse.http.proxies import TrustedProxies

CLAIMS = {
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil.example",
    "forwarded": "for=203.0.113.9",
    "x-real-ip": "203.0.113.9",
}


def _seen(networks: tuple[str, ...], peer: str, fields: dict[str, str]) -> tuple[Any, Any]:
    scope = cast("Any", {"client": (peer, 4711), "scheme": "http"})
    TrustedProxies(networks).apply(scope, fields)
    return scope["client"], scope["scheme"]


@pytest.mark.fault(25)
def test_claims_of_a_stranger_are_dropped() -> None:
    async def story() -> None:
        async with House().open() as house:
            claims = [f"{name}: {value}" for name, value in CLAIMS.items()]
            assert (await house.ask(post("/one/v1/chat", b"{}", *claims))).status == 200
            assert not set(house.calls[0].headers) & set(CLAIMS)

    run(story())
    for networks in ((), ("10.0.0.0/8",)):
        fields = dict(CLAIMS)
        assert _seen(networks, "192.0.2.1", fields) == (("192.0.2.1", 4711), "http")
        assert not fields


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("chain", "caller"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.66, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.66, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("203.0.113.9, nonsense, 10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_trusted_proxy_names_the_caller_who_came_to_it(chain: str, caller: str) -> None:
    fields = {**CLAIMS, "x-forwarded-for": chain, "host": "inner"}
    assert _seen(("10.0.0.0/8",), "10.0.0.5", fields) == ((caller, 0), "https")
    # Which host was called is the proxy's to say as well; a host opens nothing that is closed under another.
    assert fields == {"host": "evil.example"}


@pytest.mark.fault(25)
@pytest.mark.parametrize("chain", ["", "nonsense", "203.0.113.9, <script>"])
def test_a_chain_that_names_nobody_leaves_the_peer(chain: str) -> None:
    assert _seen(("10.0.0.0/8",), "10.0.0.5", {"x-forwarded-for": chain}) == (("10.0.0.5", 4711), "http")


@pytest.mark.fault(25)
def test_a_spoofed_host_changes_nothing() -> None:
    async def story() -> None:
        async with House().open() as house:
            answer = await house.ask(post().replace(b"Host: gateway", b"Host: evil.example"))
            assert answer.status == 200
            assert b"evil" not in answer.body + str(answer.headers).encode()

    run(story())
