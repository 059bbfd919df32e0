"""Processes: which core they run on, and what they and their children take of CPU time and memory."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STOP_S = 15


def cores() -> tuple[set[int], set[int]]:
    """The cores for what is measured and for load and upstream: one and another, or the same when there is but one."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, {usable[1]}) if len(usable) > 1 else (set(usable), set(usable))


@contextlib.contextmanager
def pinned(wanted: set[int]) -> Generator[None]:
    """Run on `wanted` cores, so that a process started meanwhile inherits them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(
    command: Sequence[str], on: set[int], environment: Mapping[str, str], log: Path
) -> Generator["subprocess.Popen[bytes]"]:
    """A process on the cores `on` that writes to `log`, ended at the end by SIGTERM, then SIGKILL."""
    with log.open("ab") as output, pinned(on):
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def cpu_s(root: int) -> float:
    """CPU time of process `root` and all its living descendants, in seconds."""
    return sum(_cpu_ticks(pid) for pid in _tree(root)) / _TICKS_PER_S


def resident_mb(root: int) -> float:
    """Resident memory of process `root` and all its descendants, in MB (10^6 bytes)."""
    return sum(_resident_pages(pid) for pid in _tree(root)) * _PAGE_BYTES / 1e6


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from `state` on (proc(5)), or none for a process that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cpu_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
