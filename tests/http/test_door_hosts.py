"""Hosts under which one API is alone."""

from typing import Any

import pytest

from support.dialect_samples import DIALECTS
from support.door import KEY, Answer, House, post, request, run
from tollhouse.http.hosts import Hosts
from tollhouse.http.routes import HostRoutes

MAPPED = {"router.example.com": "hpp_router", "[2001:db8::1]:8443": "hyperinfer", "gpu.example.com:8080": "voltagegpu"}
HPP, VOLTAGE, HYPER = "/llm/v1/chat/completions", "/v1/chat/completions", "/api/v1/chat/completions"


def house(**options: Any) -> House:
    return House(dialects=DIALECTS, options={"hosts": MAPPED, **options})


def to(host: str, data: bytes) -> bytes:
    return data.replace(b"Host: gateway", b"Host: " + host.encode())


def call(host: str, path: str, *headers: str) -> bytes:
    return to(host, post(path, b"{}", *headers))


@pytest.mark.parametrize(
    "host",
    [
        "router.example.com",
        "ROUTER.Example.COM",
        "router.example.com:8080",
        "router.example.com:443",
        "router.example.com.",
    ],
)
def test_a_mapped_host_answers_with_its_api_alone(host: str) -> None:
    async def story() -> None:
        async with house().open() as open_house:
            ask = open_house.ask
            assert (await ask(call(host, HPP))).status == 200
            for path in (VOLTAGE, HYPER, "/api/voltage/v1/chat/completions", "/api/v1/models", "/nowhere"):
                told = await ask(call(host, path))
                assert (told.status, told.json()["error"]) == (404, "not_found")
                assert "/v1/embeddings" not in told.json()["message"]
            assert len(open_house.calls) == 1

    run(story())


@pytest.mark.parametrize(
    "host",
    ["gateway", "127.0.0.1:8080", "evil.router.example.com", "router.example.com.evil", "gpu.example.com", "[::1]"],
)
def test_other_hosts_answer_with_all_apis(host: str) -> None:
    async def story() -> None:
        async with house().open() as open_house:
            for path in (HPP, VOLTAGE, HYPER):
                assert (await open_house.ask(call(host, path))).status == 200

    run(story())


def test_a_host_with_a_port_is_that_port_alone() -> None:
    hosts = Hosts({"a.example": "one", "a.example:8443": "two", "[::1]": "three"})
    told = {
        host: hosts.dialect(host) for host in ("a.example", "A.example.:8443", "a.example:80", "b.example", "[::1]:9")
    }
    assert told == {
        "a.example": "one",
        "A.example.:8443": "two",
        "a.example:80": "one",
        "b.example": None,
        "[::1]:9": "three",
    }
    assert hosts.dialect(None) is None


def test_the_host_goes_before_what_headers_say() -> None:
    async def story() -> None:
        async with house().open() as open_house:
            answer = await open_house.ask(call("router.example.com", "/v1/none", f"X-VoltageGPU-Key: {KEY}"))
            assert isinstance(answer.json()["error"], str)
            assert "details" not in answer.json()
            other = await open_house.ask(call("gpu.example.com:8080", "/llm/v1/none"))
            assert other.json()["details"]["status"] == 404

    run(story())


@pytest.mark.row(136)
def test_on_the_shared_path_the_host_says_whose_it_is() -> None:
    path = "/v1/images/generations"

    async def story() -> None:
        async with house().open() as open_house:
            for host, headers, dialect in (
                ("router.example.com", ("X-VoltageGPU-Key: x",), "hpp_router"),
                ("gpu.example.com:8080", ("apikey: x",), "voltagegpu"),
                ("gateway", ("X-VoltageGPU-Key: " + KEY,), "voltagegpu"),
                ("gateway", (), "hpp_router"),
            ):
                assert (await open_house.ask(call(host, path, *headers))).status == 200
                assert open_house.calls[-1].voice.dialect == dialect

    run(story())


def test_probes_and_metrics_answer_under_every_host() -> None:
    async def story() -> None:
        async with house().open() as open_house:
            for host in ("router.example.com", "gpu.example.com:8080", "gateway"):
                for path in ("/healthz", "/readyz", "/metrics"):
                    assert (await open_house.ask(to(host, request("GET", path)))).status == 200

    run(story())


def test_roots_and_methods_are_those_of_the_api() -> None:
    async def story() -> None:
        async with house().open() as open_house, open_house.client() as client:
            client.send(to("router.example.com", request("HEAD", "/llm/v1")))
            assert (await client.answer(head_only=True)).status == 200
            client.send(to("router.example.com", request("HEAD", "/api/voltage")))
            assert (await client.answer(head_only=True)).status == 404
            wrong: Answer = await open_house.ask(to("router.example.com", request("GET", HPP)))
            assert (wrong.status, wrong.headers["allow"]) == (405, "POST")

    run(story())


def test_a_trusted_proxy_says_which_host_was_called() -> None:
    claim = "X-Forwarded-Host: gateway.local, router.example.com"

    async def story() -> None:
        async with house(trusted_proxies=("127.0.0.0/8",)).open() as believing:
            assert (await believing.ask(call("inner", VOLTAGE, claim))).status == 404
            assert (await believing.ask(call("inner", VOLTAGE, "X-Forwarded-Host: ,"))).status == 200
        async with house().open() as deaf:
            assert (await deaf.ask(call("inner", VOLTAGE, claim))).status == 200

    run(story())


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ({"a.example": "hpp"}, "a.example is mapped to hpp; there are hpp_router, hyperinfer, voltagegpu"),
        ({"A.example": "hpp_router", "a.example.": "voltagegpu"}, "are the same host"),
        ({"http://a": "hpp_router"}, "is no host"),
        ({"": "hpp_router"}, "is no host"),
        ({"a:port": "hpp_router"}, "is no host"),
    ],
)
def test_hosts_that_cannot_be_mapped_are_refused(hosts: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HostRoutes(DIALECTS, (), hosts)
