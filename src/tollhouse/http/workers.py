"""Workers: several processes that serve one listening socket, replaced when one dies, stopped together."""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType

_QUICK_DEATH_S = 5.0
_MOST_QUICK_DEATHS = 3


def end_with_parent(loop: asyncio.AbstractEventLoop) -> None:
    """Have this process drain when the one that started it is gone, so that no orphan keeps the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def gone() -> None:
        loop.remove_reader(sentinel)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sentinel, gone)


class Workers:
    """Starts `count` processes that run `target(socket)`.

    `target` must be importable, since a worker begins in a fresh interpreter. SIGTERM and SIGINT are handed on to the
    workers, which drain; a worker that dies otherwise is replaced, unless workers keep dying right after their start.
    `gone` is told the process id of each that has ended.
    """

    def __init__(
        self,
        count: int,
        target: Callable[[socket.socket], None],
        listener: socket.socket,
        gone: Callable[[int], None],
    ) -> None:
        self._count = count
        self._target = target
        self._listener = listener
        self._gone = gone
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[SpawnProcess, float] = {}
        self._stopping = False
        self._quick_deaths = 0

    def run(self) -> int:
        """Serve until told to stop; 0 when every worker ended well."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        codes: list[int] = []
        for _ in range(self._count):
            self._start()
        while self._running:
            wait([process.sentinel for process in self._running], timeout=1.0)
            for process in [process for process in self._running if process.exitcode is not None]:
                started_s = self._running.pop(process)
                self._gone(process.pid or 0)
                if self._stopping:
                    codes.append(process.exitcode or 0)
                elif time.monotonic() - started_s < _QUICK_DEATH_S and self._dies_too_often():
                    codes.append(process.exitcode or 1)
                    self._stop_all()
                else:
                    self._start()
        return max((abs(code) for code in codes), default=0)

    def _dies_too_often(self) -> bool:
        self._quick_deaths += 1
        return self._quick_deaths >= _MOST_QUICK_DEATHS

    def _start(self) -> None:
        process = self._context.Process(target=self._target, args=(self._listener,))
        process.start()
        self._running[process] = time.monotonic()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_all()

    def _stop_all(self) -> None:
        self._stopping = True
        for process in self._running:
            process.terminate()
