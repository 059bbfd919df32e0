"""The guarded client: only public addresses, whatever a URL, a name or a redirect says; little of everything."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tollhouse.upstream.addresses import is_public
from tollhouse.upstream.guard import Fetched, Guard, GuardRules, RefusedError


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
        *("169.254.169.254", "100.64.0.1", "198.18.0.1", "192.0.0.8", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
        *("192.88.99.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254"),
        *("64:ff9b:1::1", "2002:a9fe:a9fe::", "2001::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1"),
        *("fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
        *("", "localhost", "256.1.1.1", "1.2.3", "2130706433", "0x7f000001"),
    ],
)
def test_everything_else_is_not(address: str) -> None:
    assert not is_public(address)


class Site:
    """A server on loopback that answers GET by its path; `asked` are the heads that came."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                status, headers, body = outer.answers.get(self.path, (404, {}, b"nothing"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.stop()


def fetch(url: str, trusted: tuple[str, ...] = (), rules: GuardRules | None = None) -> Fetched:
    return asyncio.run(Guard(rules).fetch(url, "image/*", trusted))


def refusal(*how: Any, **more: Any) -> str:
    with pytest.raises(RefusedError) as raised:
        fetch(*how, **more)
    return raised.value.why


def test_what_is_trusted_is_fetched_with_nothing_that_tells_who_asks(site: Site) -> None:
    site.answers["/a.png?x=1"] = (200, {"Content-Type": "image/png", "Set-Cookie": "a=b"}, b"picture")
    trusted = (f"{site.url}/v1",)
    assert fetch(f"{site.url}/a.png?x=1", trusted) == Fetched("image/png", b"picture")
    assert fetch(f"{site.url}/a.png?x=1", trusted) == Fetched("image/png", b"picture")
    assert site.asked[1][1] == {
        "host": site.url.removeprefix("http://"),
        "user-agent": "tollhouse",
        "accept-encoding": "identity",
        "accept": "image/*",
        "connection": "close",
    }


def test_nobody_else_on_this_machine_is_asked(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    assert refusal(f"{site.url}/a.png") == "a port that is not the web's"
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433"):
        assert refusal(f"http://{host}/a.png") in {"an address that is not public", "gaierror"}
        assert refusal(f"http://{host}:{port}/a.png") == "a port that is not the web's"
    assert site.asked == []


def test_every_address_of_a_name_has_to_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(_self: object, host: str, port: int, **_how: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("1.1.1.1", "10.0.0.1")]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", both)
    assert refusal("http://rebinding.example/a.png") == "an address that is not public"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_where_they_may_lead(site: Site, status: int) -> None:
    site.answers["/start"] = (status, {"Location": "next"}, b"")
    site.answers["/next"] = (200, {"Content-Type": "image/png"}, b"there")
    assert fetch(f"{site.url}/start", (site.url,)).body == b"there"
    site.answers["/start"] = (status, {"Location": "http://127.0.0.1/inside"}, b"")
    assert refusal(f"{site.url}/start", (site.url,)) == "an address that is not public"
    site.answers["/start"] = (status, {"Location": "file:///etc/passwd"}, b"")
    assert refusal(f"{site.url}/start", (site.url,)) == "no http"


def test_a_circle_of_redirects_ends(site: Site) -> None:
    site.answers["/start"] = (302, {"Location": "/start"}, b"")
    assert refusal(f"{site.url}/start", (site.url,), GuardRules(redirects=3)) == "more than 3 redirects"
    assert len(site.asked) == 4


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, {}, b"secret words"), "status 404"),
        ((302, {}, b""), "status 302"),
        ((200, {"Content-Encoding": "gzip"}, b"x"), "an encoding that was not asked for"),
        ((200, {}, b"x" * 101), "larger than 100 bytes"),
    ],
)
def test_what_is_not_taken(site: Site, answer: Any, why: str) -> None:
    site.answers["/a"] = answer
    assert refusal(f"{site.url}/a", (site.url,), GuardRules(max_bytes=100)) == why


@pytest.mark.parametrize(
    "url", ["", "x", "/a.png", "ftp://example.com/", "http://", "http://a b/", "http://u:p@example.com/"]
)
def test_what_is_no_url_that_can_be_asked(url: str) -> None:
    assert refusal(url) in {"no http", "no URL that can be asked", "gaierror"}


def test_somebody_who_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert refusal(url, (url,), GuardRules(total_s=0.2)) == "not done within 0.2 s"


def test_somebody_who_breaks_off_is_told_of(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as short:

        def half() -> None:
            connection, _ = short.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            connection.close()

        answering: Callable[[], None] = half
        thread = threading.Thread(target=answering)
        thread.start()
        url = f"http://127.0.0.1:{short.getsockname()[1]}/"
        assert refusal(url, (url,))
        thread.join(10)


def test_a_closed_port_is_an_answer_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    assert refusal(url, (url,)) == "ConnectionRefusedError"
