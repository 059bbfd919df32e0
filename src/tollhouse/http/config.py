"""The server's configuration: uvicorn's, with what the protocol needs beside it."""

from collections.abc import Callable

import uvicorn
from uvicorn._types import ASGI3Application

from tollhouse.http.limits import Limits
from tollhouse.http.watch import Watch
from tollhouse.ir.fault import Fault
from tollhouse.relay.call import Worded

Word = Callable[[str, Fault, str], Worded]
"""Words a fault for a path (as sent, without its query) and a request id."""


class DoorConfig(uvicorn.Config):
    """One process's server. No access log, no `Server` header, no trust in proxies, no WebSockets, no lifespan."""

    def __init__(self, app: ASGI3Application, protocol: type, limits: Limits, word: Word) -> None:
        super().__init__(
            app,
            loop="auto",
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self.limits = limits
        self.word = word
        self.watch = Watch(limits.tick_s)
