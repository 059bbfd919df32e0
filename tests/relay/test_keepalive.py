"""KeepAlive: after each quiet stretch one comment, never more, and none where something was sent."""

from collections.abc import Callable

import pytest

from tollhouse.relay.call import Headers
from tollhouse.relay.keepalive import COMMENT, KeepAlive


class FakeTimer:
    def __init__(self, due_s: float, callback: Callable[[], None]) -> None:
        self.due_s = due_s
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeTimers:
    """A clock that moves when it is told to, and does what is due on its way."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.pending: list[FakeTimer] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay: float, callback: Callable[[], None], /) -> FakeTimer:
        timer = FakeTimer(self.now_s + delay, callback)
        self.pending.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while due := [timer for timer in self.pending if not timer.cancelled and timer.due_s <= end_s]:
            first = min(due, key=lambda timer: timer.due_s)
            self.pending.remove(first)
            self.now_s = max(self.now_s, first.due_s)
            first.callback()
        self.now_s = end_s


class Listener:
    """A caller who notes the comments; `slow` means that nothing can be sent now."""

    def __init__(self) -> None:
        self.comments: list[bytes] = []
        self.slow = False

    async def start(self, status: int, headers: Headers) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def end(self, data: bytes) -> None: ...

    def on_gone(self, callback: Callable[[], None] | None) -> None: ...

    def comment(self, data: bytes) -> bool:
        if not self.slow:
            self.comments.append(data)
        return not self.slow


@pytest.fixture
def timers() -> FakeTimers:
    return FakeTimers()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.mark.row(74)
def test_each_quiet_stretch_has_its_comment(timers: FakeTimers, listener: Listener) -> None:
    alive = KeepAlive(listener, 15, timers)
    timers.advance(14.9)
    assert not listener.comments
    assert not alive.begun
    timers.advance(0.2)
    assert listener.comments == [b": keep-alive\n\n"]
    assert alive.begun
    timers.advance(45)
    assert len(listener.comments) == 4
    alive.stop()
    timers.advance(100)
    assert len(listener.comments) == 4
    assert not [timer for timer in timers.pending if not timer.cancelled]


def test_what_is_sent_puts_the_comment_off(timers: FakeTimers, listener: Listener) -> None:
    alive = KeepAlive(listener, 15, timers)
    for _ in range(100):
        timers.advance(10)
        alive.sent_s = timers.time()
    assert not listener.comments
    assert len(timers.pending) == 1
    timers.advance(14.9)
    assert not listener.comments
    timers.advance(0.1)
    assert listener.comments == [COMMENT]


def test_a_caller_who_reads_slowly_gets_none_until_he_has_caught_up(timers: FakeTimers, listener: Listener) -> None:
    alive = KeepAlive(listener, 15, timers)
    listener.slow = True
    timers.advance(40)
    assert not listener.comments
    assert not alive.begun
    listener.slow = False
    timers.advance(15)
    assert listener.comments == [COMMENT]
