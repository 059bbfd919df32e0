"""Asks the kernel whether what was written to a connection has arrived at the other side."""

import asyncio
import struct
import sys

if sys.platform == "linux":
    import fcntl
    import termios

    def is_on_its_way(transport: asyncio.BaseTransport) -> bool:
        """Whether bytes that we wrote are not acknowledged; False where that cannot be told.

        On a connection that the other side has ended this is proof that no process there read the last of them: its
        FIN says how far its kernel had received.
        """
        sock = transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        try:
            # SIOCOUTQ of tcp(7), the same number as the terminals' TIOCOUTQ.
            answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        except OSError:
            return False
        return struct.unpack("i", answer)[0] > 0

else:

    def is_on_its_way(transport: asyncio.BaseTransport) -> bool:  # noqa: ARG001 -- the same on every system
        """It cannot be told here."""
        return False
