"""Connections: deadlines, caps, slow readers, and callers who leave; over real sockets, with short deadlines."""

import asyncio
import contextlib
import socket
import struct
import time
from typing import Any

import pytest
import uvicorn

from support.door import KEY, House, post, request, run, until
from tollhouse.http.config import DoorConfig
from tollhouse.http.limits import Limits
from tollhouse.http.protocol import DoorProtocol
from tollhouse.http.serving import server_config
from tollhouse.relay.call import Call, Caller, CallerGoneError

QUICK = Limits(header_deadline_s=0.2, keep_alive_s=0.2, write_timeout_s=0.2, linger_s=0.2, tick_s=0.02)


class Leaving:
    """A relay that starts a stream, then waits for the caller to go."""

    def __init__(self, *, first: bytes = b"begun") -> None:
        self.first = first
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()
        self.told = 0
        self.refused = False

    async def __call__(self, call: Call, caller: Caller) -> None:
        caller.on_gone(self._left)
        if self.first:
            await caller.start(200, ())
            await caller.write(self.first)
        self.begun.set()
        await self.gone.wait()
        try:
            await caller.write(b"more")
        except CallerGoneError:
            self.refused = True

    def _left(self) -> None:
        self.told += 1
        self.gone.set()


@pytest.mark.fault(17)
@pytest.mark.parametrize("begun", [b"GET /", b"GET /one/v1/models HTTP/1.1\r\nHost: ga", b"GET / HTTP/1.1\r\nA: b\r\n"])
def test_a_head_that_comes_too_slowly_is_408(begun: bytes) -> None:
    async def story() -> None:
        async with House(limits=QUICK).open() as house, house.client() as client:
            started_s = time.monotonic()
            client.send(begun)

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        await asyncio.sleep(0.03)
                        client.send(b"a")

            dripping = asyncio.ensure_future(drip())
            answer = await client.answer()
            assert answer.status == 408
            assert time.monotonic() - started_s < 5
            assert answer.headers["connection"] == "close"
            assert len(answer.headers["x-request-id"]) == 44
            dripping.cancel()
            assert await client.closed() == b""
            await until(lambda: not house.state.connections)

    run(story())


@pytest.mark.fault(17)
def test_no_deadline_is_overrun_by_the_tick() -> None:
    async def story() -> None:
        limits = Limits(header_deadline_s=0.3, tick_s=0.1)
        async with House(limits=limits).open() as house, house.client() as client:
            await until(lambda: bool(house.state.connections))
            (connection,) = house.state.connections
            connection.check(connection._since_s + 0.19)
            assert not connection.transport.is_closing()
            connection.check(connection._since_s + 0.21)
            assert connection.transport.is_closing()
            assert await client.closed() == b""

    run(story())


@pytest.mark.fault(17)
def test_a_silent_connection_and_one_of_line_breaks_only_are_closed() -> None:
    async def story() -> None:
        async with House(limits=QUICK).open() as house, house.client() as silent, house.client() as breaks:
            for _ in range(3):
                breaks.send(b"\r\n\r\n")
                await asyncio.sleep(0.01)
            assert await silent.closed() == b""
            assert await breaks.closed() == b""
            await until(lambda: not house.state.connections)

    run(story())


@pytest.mark.fault(17)
def test_the_deadline_of_a_later_head_counts_from_its_first_byte() -> None:
    async def story() -> None:
        limits = Limits(header_deadline_s=0.2, tick_s=0.02)
        async with House(limits=limits).open() as house, house.client() as client:
            client.send(request("GET", "/healthz"))
            assert (await client.answer()).status == 200
            await asyncio.sleep(0.3)
            client.send(request("GET", "/healthz"))
            assert (await client.answer()).status == 200
            client.send(b"GET /healthz HT")
            assert (await client.answer()).status == 408

    run(story())


@pytest.mark.fault(23)
def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def slow(call: Call, caller: Caller) -> None:
            await go.wait()
            await caller.start(200, ())
            await caller.end(b"late")

        house = House(limits=QUICK, handle=slow)
        async with house.open(), house.client() as idle, house.client() as busy:
            busy.send(post())
            idle.send(request("GET", "/healthz"))
            assert (await idle.answer()).status == 200
            assert await idle.closed() == b""
            await asyncio.sleep(0.3)
            go.set()
            assert (await busy.answer()).body == b"late"

    run(story())


@pytest.mark.fault(23)
def test_connections_are_capped_and_the_next_is_told_so() -> None:
    async def story() -> None:
        async with House(limits=Limits(max_connections=50)).open() as house, contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(house.client()) for _ in range(50)]
            for client in clients:
                client.send(request("GET", "/healthz"))
                assert (await client.answer()).status == 200
            async with house.client() as late:
                answer = await late.answer()
                assert (answer.status, answer.json()["error"]) == (503, "busy")
                assert answer.headers["retry-after"] == "1"
                assert await late.closed() == b""
            await until(lambda: len(house.state.connections) == 50)
            # Those who are in go on, and a place that gets free is given away.
            clients[0].send(request("GET", "/healthz"))
            assert (await clients[0].answer()).status == 200
            clients[1].writer.transport.abort()
            await until(lambda: len(house.state.connections) == 49)
            assert (await house.ask(request("GET", "/healthz"))).status == 200

    run(story())


@pytest.mark.fault(20)
@pytest.mark.parametrize("first", [b"begun", b""], ids=["in a stream", "before the answer"])
def test_a_half_closed_connection_counts_as_left(first: bytes) -> None:
    async def story() -> None:
        relay = Leaving(first=first)
        async with House(handle=relay).open() as house, house.client() as client:
            client.send(post())
            await relay.begun.wait()
            client.writer.write_eof()
            await asyncio.wait_for(relay.gone.wait(), 5)
            await until(lambda: not house.app.in_flight)
            assert (relay.told, relay.refused) == (1, True)
            await client.closed()

    run(story())


@pytest.mark.fault(21, 20)
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("first", [b"begun", b""], ids=["in a stream", "before the answer"])
def test_a_caller_who_hangs_up_is_noticed_at_once(how: str, first: bytes) -> None:
    async def story() -> None:
        relay = Leaving(first=first)
        async with House(handle=relay).open() as house, house.client() as client:
            client.send(post())
            await relay.begun.wait()
            _hang_up(client.writer, how)
            await asyncio.wait_for(relay.gone.wait(), 5)
            await until(lambda: not house.app.in_flight)
            assert (relay.told, relay.refused) == (1, True)

    run(story())


@pytest.mark.fault(21)
@pytest.mark.parametrize("sent", [b"POST /one/v1/ch", post()[:-1], post(body=b"x" * 1_000_000)[:500_000]])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_reset_in_the_middle_of_a_request_leaves_nothing_behind(
    sent: bytes, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(sent)
            await client.writer.drain()
            await until(lambda: bool(house.state.connections))
            _hang_up(client.writer, how)
            await until(lambda: not house.state.connections and not house.app.in_flight)
            assert not house.calls
            assert house.app._budget.held_bytes == 0

    run(story())
    assert not caplog.records


def _hang_up(writer: asyncio.StreamWriter, how: str) -> None:
    if how == "reset":
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


def test_whoever_asks_after_the_caller_has_left_is_told_at_once_and_a_cancelled_callback_never() -> None:
    async def story() -> None:
        told: list[str] = []
        go = asyncio.Event()
        done = asyncio.Event()

        async def relay(call: Call, caller: Caller) -> None:
            caller.on_gone(lambda: told.append("cancelled"))
            caller.on_gone(None)
            await go.wait()
            caller.on_gone(lambda: told.append("late"))
            for send in (caller.start(200, ()), caller.write(b"x"), caller.end(b"")):
                with pytest.raises(CallerGoneError):
                    await send
            done.set()

        async with House(handle=relay).open() as house:
            async with house.client() as client:
                client.send(post())
                await until(lambda: bool(house.calls))
            await until(lambda: not house.state.connections)
            assert told == []
            go.set()
            await done.wait()
            assert told == ["late"]

    run(story())


@pytest.mark.fault(19)
def test_a_slow_reader_holds_the_relay_back_and_gets_everything() -> None:
    async def story() -> None:
        written = 0

        async def flood(call: Call, caller: Caller) -> None:
            nonlocal written
            await caller.start(200, ())
            for _ in range(400):
                await caller.write(b"~" * 50_000)
                written += 50_000
            await caller.end(b"end")

        async with House(handle=flood).open() as house, house.client() as client:
            client.send(post())
            await until(lambda: written > 0)
            before = -1
            while written != before:
                before = written
                await asyncio.sleep(0.05)
            assert written < 15_000_000
            (connection,) = house.state.connections
            assert connection.transport.get_write_buffer_size() < 200_000
            received = 0
            while data := await asyncio.wait_for(client.reader.read(1 << 20), 5):
                received += data.count(b"~")
                if b"0\r\n\r\n" in data:
                    break
            assert received == 400 * 50_000

    run(story())


@pytest.mark.fault(19)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_caller_who_reads_nothing_is_dropped(streamed: bool) -> None:
    async def story() -> None:
        left = asyncio.Event()

        async def flood(call: Call, caller: Caller) -> None:
            caller.on_gone(left.set)
            await caller.start(200, ())
            if not streamed:
                await caller.end(b"x" * 30_000_000)
                left.set()
            while streamed:
                await caller.write(b"x" * 100_000)

        async with House(limits=QUICK, handle=flood).open() as house, house.client() as client:
            client.send(post())
            await asyncio.wait_for(left.wait(), 10)
            await until(lambda: not house.state.connections and not house.app.in_flight)

    run(story())


def test_a_refused_caller_who_goes_on_sending_is_cut_off_after_a_while() -> None:
    async def story() -> None:
        async with House(limits=QUICK).open() as house, house.client() as client:
            client.send(b"nonsense\r\n\r\n")
            assert (await client.answer()).status == 400
            with contextlib.suppress(ConnectionError):
                while house.state.connections:
                    client.send(post())
                    await asyncio.sleep(0.01)
            assert not house.calls

    run(story())


def test_the_server_stops_after_the_running_answer() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def slow(call: Call, caller: Caller) -> None:
            await caller.start(200, ())
            await caller.write(b"begun")
            await go.wait()
            await caller.end(b"done")

        house = House(handle=slow)
        server = uvicorn.Server(server_config(house.app, house.limits))
        listener = socket.create_server(("127.0.0.1", 0))
        house.port = listener.getsockname()[1]
        serving = asyncio.ensure_future(server.serve([listener]))
        async with house.client() as running, house.client() as idle:
            running.send(post())
            await running.reader.readuntil(b"begun")
            idle.send(request("GET", "/healthz"))
            answer = await idle.answer()
            assert "date" in answer.headers
            assert "server" not in answer.headers
            house.app.drain()
            server.should_exit = True
            assert await idle.closed() == b""
            go.set()
            await running.reader.readuntil(b"done")
            assert await running.closed() == b"\r\n0\r\n\r\n"
        await asyncio.wait_for(serving, 10)

    run(story())


async def _plain_app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app that knows nothing of the door."""
    parts = []
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        parts.append(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]})
    await send({"type": "http.response.body", "body": b"%d" % len(b"".join(parts)), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    assert (await receive())["type"] == "http.disconnect"


def test_the_protocol_serves_other_asgi_apps_too() -> None:
    async def story() -> None:
        house = House()
        config = DoorConfig(_plain_app, DoorProtocol, house.limits, house.app.word)
        config.load()
        server = await asyncio.get_running_loop().create_server(
            lambda: DoorProtocol(config, house.state, {}), "127.0.0.1", 0
        )
        house.port = server.sockets[0].getsockname()[1]
        async with house.client() as client:
            for size in (0, 10, 2_000_000):
                client.send(post("/a%20b?c", b"x" * size))
                answer = await client.answer()
                assert (answer.headers["x-path"], answer.body) == ("/a b", b"%d" % size)
        server.close()
        await until(lambda: not house.state.connections)
        await asyncio.gather(*house.state.tasks)

    run(story())


def test_a_key_that_is_being_checked_when_the_caller_leaves_makes_no_call() -> None:
    async def story() -> None:
        house = House(gate=asyncio.Event())
        async with house.open():
            async with house.client() as client:
                client.send(post()[:-1])
                await until(lambda: house.keys == [KEY])
            await until(lambda: not house.state.connections)
            assert house.gate is not None
            house.gate.set()
            await until(lambda: not house.app.in_flight)
            assert not house.calls

    run(story())


def test_a_pipelined_head_has_its_own_deadline_and_spares_the_running_answer() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def slow(call: Call, caller: Caller) -> None:
            await go.wait()
            await caller.start(200, ())
            await caller.end(b"late")

        limits = Limits(header_deadline_s=0.5, tick_s=0.02)
        async with House(limits=limits, handle=slow).open() as house, house.client() as client:
            client.send(post())
            await until(lambda: bool(house.calls))
            await asyncio.sleep(0.7)
            client.send(b"GET /healthz HTTP/1.1\r\n")
            await asyncio.sleep(0.1)
            client.send(b"Host: gateway\r\n\r\n")
            go.set()
            assert (await client.answer()).body == b"late"
            assert (await client.answer()).json() == {"status": "ok"}
            # The half of a head behind a running answer ends the connection, after that answer.
            go.clear()
            client.send(post() + b"GET /healthz HT")
            await until(lambda: len(house.calls) == 2)
            await asyncio.sleep(0.7)
            go.set()
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"late", "close")
            assert await client.closed() == b""

    run(story())


@pytest.mark.fault(20, 21)
@pytest.mark.parametrize("size", [100_000, 300_000, 2_000_000])
def test_a_caller_with_a_long_body_is_seen_to_leave_too(size: int) -> None:
    async def story() -> None:
        relay = Leaving(first=b"")
        async with House(handle=relay).open() as house, house.client() as client:
            client.send(post(body=b"x" * size))
            await relay.begun.wait()
            client.writer.close()
            await asyncio.wait_for(relay.gone.wait(), 5)
            await until(lambda: not house.app.in_flight)

    run(story())


@pytest.mark.parametrize("first", [b"begun", b""], ids=["in a stream", "before the answer"])
def test_what_still_runs_at_the_end_of_the_drain_is_cut_off_quietly(
    first: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        relay = Leaving(first=first)
        async with House(handle=relay).open() as house, house.client() as client:
            client.send(post())
            await relay.begun.wait()
            for task in list(house.state.tasks):
                task.cancel()
            if first:
                assert (await client.closed()).endswith(b"5\r\nbegun\r\n")
            else:
                answer = await client.answer()
                assert (answer.status, answer.json()["kind"]) == (503, "busy")
            assert house.app.in_flight == 0

    run(story())
    assert not caplog.records


def test_a_call_whose_caller_left_is_cut_off_quietly_as_well(caplog: pytest.LogCaptureFixture) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def handle(_call: Call, caller: Caller) -> None:
        caller.on_gone(gone.set)
        begun.set()
        await asyncio.sleep(60)

    async def story() -> None:
        async with House(handle=handle).open() as house:
            async with house.client() as client:
                client.send(post())
                await begun.wait()
            await gone.wait()
            for task in list(house.state.tasks):
                task.cancel()
            await until(lambda: not house.app.in_flight)

    run(story())
    assert not caplog.records


def test_a_caller_who_leaves_during_a_pipelined_call_is_noticed() -> None:
    leaving = Leaving()
    answered: list[Call] = []

    async def handle(call: Call, caller: Caller) -> None:
        answered.append(call)
        if len(answered) < 3:
            await caller.start(200, ())
            await caller.end(b"{}")
        else:
            await leaving(call, caller)

    async def story() -> None:
        async with House(handle=handle).open() as house:
            async with house.client() as client:
                client.send(post() * 3)
                for _ in range(2):
                    await client.answer()
                await asyncio.wait_for(leaving.begun.wait(), 5)
            await asyncio.wait_for(leaving.gone.wait(), 5)

    run(story())
    assert leaving.told == 1
