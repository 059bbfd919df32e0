"""What the Python programs share: the scripted models, and one JSON line on standard output for each scenario."""

import asyncio
import json
import os
import urllib.parse
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

URL = os.environ["GATEWAY_URL"]
KEY = os.environ["GATEWAY_KEY"]
WRONG_KEY = "th-nobody"
SAID = "The toll is paid."
CITY = "Oslo"
QUESTION = "What is the weather in Oslo?"

T = TypeVar("T")

_LOOP = asyncio.Runner()
_WORDS = urllib.parse.quote(SAID, safe="")
_ARGS = urllib.parse.quote(json.dumps({"city": CITY}), safe="")


@dataclass(frozen=True)
class Models:
    """The models that play a part, at the upstream of a format; `client` tells the requests of programs apart."""

    upstream: str
    client: str

    def script(self, words: str) -> str:
        """The model that follows a script of the simulator's."""
        return f"{self.upstream}/script/token={urllib.parse.quote(self.client, safe='')}/{words}"

    @property
    def text(self) -> str:
        """Says SAID."""
        return self.script(f"say={_WORDS}")

    @property
    def thinking(self) -> str:
        """Reasons, then says SAID."""
        return self.script(f"reasoning=6/say={_WORDS}")

    @property
    def tools(self) -> str:
        """Reasons, calls `weather` for CITY, then says SAID."""
        return self.script(f"reasoning=6/once/call=weather/args={_ARGS}/say={_WORDS}")

    @property
    def structured(self) -> str:
        """Gives the smallest instance of the schema."""
        return self.script("chunk_tokens=2")

    @property
    def broken(self) -> str:
        """Breaks off in the middle of a stream."""
        return self.script("text=30/error_at=9")

    def status(self, status: int) -> str:
        """Fails with this status."""
        return self.script(f"status={status}")


Scenario = Callable[[Models], None]


def run(client: str, scenarios: Mapping[str, Scenario], prefix: str = "") -> None:
    """Play each of `scenarios` against each upstream; `prefix` begins the names of the models."""
    for upstream in os.environ["UPSTREAMS"].split():
        for scenario, play in scenarios.items():
            failure = None
            try:
                play(Models(prefix + upstream, client))
            except Exception as error:  # noqa: BLE001 - whatever a library throws is the outcome of its scenario
                failure = f"{type(error).__name__}: {error}"[:300]
            outcome = {"client": client, "upstream": upstream, "scenario": scenario, "failure": failure}
            print(json.dumps(outcome), flush=True)


def wait(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, always in the same loop: clients keep their connections in it."""
    return _LOOP.run(work)


def same(found: object, wanted: object) -> None:
    """Fail unless both are equal."""
    if found != wanted:
        raise AssertionError(f"{found!r} instead of {wanted!r}")


def refused(status: int, attempt: Callable[[], object]) -> None:
    """Fail unless `attempt` is refused with this status, as the library itself tells it."""
    try:
        attempt()
    except Exception as error:  # noqa: BLE001 - the libraries' errors have no class in common
        same(getattr(error, "status_code", None), status)
        return
    raise AssertionError(f"not refused with {status}")


def breaks(attempt: Callable[[], object]) -> None:
    """Fail unless `attempt` raises: a stream that was broken off must not look complete."""
    try:
        attempt()
    except Exception:  # noqa: BLE001 - any error of the library's will do
        return
    raise AssertionError("a broken stream looked complete")
