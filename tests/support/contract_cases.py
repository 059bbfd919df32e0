"""Cases that schemathesis makes of a published document, sent to a gateway, and a tally of what became of them."""

import collections
import json
import os
import random
from importlib.resources import files
from typing import Any

import requests
import schemathesis
import yaml
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.gateway import RunningGateway
from tollhouse.dialects.hpp_router.surface import HppRouter
from tollhouse.dialects.voltagegpu.surface import VoltageGpu

SEED_VARIABLE = "CASES_SEED"
FIXED_SEED = 1
LONG_SEED = 2989533668
LEAST_SHARE = 0.9
# What the rule book adds to the statuses of the documents for every operation: a wrong method (row 139).
_WRONG_METHOD = 405
_SOMETHING = {"messages": [{"role": "user", "content": "Hello!"}], "input": ["Hello!"], "prompt": "A toll gate"}
_CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def long_seed() -> int:
    """The seed of the long run: the same in every run, unless CASES_SEED names another or says `fresh`."""
    told = os.environ.get(SEED_VARIABLE, LONG_SEED)
    return random.SystemRandom().randrange(2**32) if told == "fresh" else int(told)


def document(package: str) -> dict[str, Any]:
    """The published document of a dialect."""
    text = (files("tollhouse.dialects") / package / "openapi.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def schema_of(package: str, seed: int) -> Any:
    """The published document as schemathesis reads it, for positive and negative cases."""
    return _read(document(package), seed)


def own_schema(path: str, seed: int) -> Any:
    """The same for the document that the gateway serves under `path`."""
    routes = [route for dialect in (HppRouter(), VoltageGpu()) for route in dialect.routes if route.path == path]
    return _read(json.loads(routes[0].document), seed)


def _read(source: dict[str, Any], seed: int) -> Any:
    config = schemathesis.Config.from_dict({"seed": seed, "generation": {"mode": "all", "database": "none"}})
    return schemathesis.openapi.from_dict(source, config=config)


class Tally:
    """What became of one operation's cases."""

    def __init__(self) -> None:
        self.label = ""
        self.statuses: collections.Counter[tuple[str, int]] = collections.Counter()
        self.called_for = 0

    def note(self, label: str, mode: str, status: int, *, refused_by_the_book: bool) -> None:
        """One case more. `refused_by_the_book`: the rule book refuses what the document would let pass."""
        self.label = label
        if refused_by_the_book and mode == "positive":
            self.called_for += 1
        else:
            self.statuses[mode, status] += 1

    def count(self, mode: str) -> int:
        """How many cases of a mode were sent."""
        return sum(number for (each, _), number in self.statuses.items() if each == mode)

    @property
    def share(self) -> float:
        """The share of 200 among the positive cases."""
        return self.statuses["positive", 200] / max(1, self.count("positive"))

    def line(self, seed: int) -> str:
        """One line for people."""
        told = ", ".join(f"{mode} {status}: {number}" for (mode, status), number in sorted(self.statuses.items()))
        return f"{self.label}: {self.share:.1%} of the positive cases answered 200 ({told}; seed {seed})"


class Caller:
    """Sends cases to a gateway. `models` are the catalogue's names that an operation may be asked for, by the end of
    its path. A `strict` gateway has to refuse every body that the document does not allow."""

    def __init__(
        self,
        running: RunningGateway,
        base: str,
        headers: dict[str, str],
        models: dict[str, list[str]],
        *,
        strict: bool = False,
    ) -> None:
        self._running = running
        self._base = running.url + base
        self._headers = headers
        self._models = models
        self._strict = strict
        self._session = requests.Session()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def check(self, case: Any, tally: Tally) -> None:
        """Send one case; fails when its answer is not one that the document describes, or a failure of ours."""
        mode = case.meta.generation.mode.value
        self._name_a_model(case)
        _ask_for_something(case.body)
        case.body = _with_plain_integers(case.body)
        # Not `case.call`, which reads no more than the beginning of a stream.
        response = self._session.request(**case.as_transport_kwargs(base_url=self._base, headers=self._headers))
        status = response.status_code
        refused = _is_refused(case.body)
        tally.note(case.operation.label, mode, status, refused_by_the_book=refused)
        assert status < 500, f"{status}: {response.text[:500]} to {case.body!r:.500}"
        if status == _WRONG_METHOD and case.method != case.operation.method.upper():
            return
        if refused or (self._strict and _breaks_the_document(case)):
            assert status in {400, 401}, f"{status} to {case.body!r:.500}"
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            _check_stream(response.text)
            return
        case.validate_response(response, checks=_CHECKS)

    def refused(self, operation: Any, headers: dict[str, str]) -> dict[str, Any]:
        """The body of the 401 that an operation answers with these headers; fails when the document does not describe
        it."""
        method, path = operation.method.upper(), operation.path
        response = self._session.request(
            method, self._base + path, headers=headers, json={} if method == "POST" else None
        )
        assert response.status_code == 401, response.text
        operation.validate_response(response)
        return response.json()

    def _name_a_model(self, case: Any) -> None:
        """A document knows no names of models, so a string there becomes one that the catalogue has. Where it asks for
        no model and leaves fields open, the model that answers by default would refuse what it does not know; one that
        takes anything is named then."""
        names = next((names for end, names in self._models.items() if case.operation.path.endswith(end)), [])
        body = case.body
        if not names or not isinstance(body, dict):
            return
        if isinstance(body.get("model"), str):
            body["model"] = names[len(body["model"]) % len(names)]
        elif "prompt" in body and "model" not in body and body.keys() - {"prompt", "n", "size", "quality"}:
            body["model"] = names[0]


def _ask_for_something(body: Any) -> None:
    """Asking about nothing is refused; where a case is about more than that, something is put there."""
    if isinstance(body, dict) and len(body) > 2:
        for name, something in _SOMETHING.items():
            if body.get(name) in ("", []):
                body[name] = something


def _is_refused(body: Any) -> bool:
    """Whether the rule book refuses what the documents allow: to ask about nothing (rows 5, 35 and 127), or for more
    tokens than a number of 31 bits says (docs/apis.md)."""
    if not isinstance(body, dict):
        return False
    limits = [body.get(name) for name in ("max_tokens", "max_completion_tokens")]
    nothing = [body.get(name) == [] for name in ("messages", "input")]
    return (
        any(nothing) or body.get("prompt") == "" or any(isinstance(limit, int) and limit >= 2**31 for limit in limits)
    )


def _breaks_the_document(case: Any) -> bool:
    """Whether it is the body that makes a negative case of this."""
    part = case.meta.components.get(ParameterLocation.BODY)
    return part is not None and part.mode is GenerationMode.NEGATIVE


def _with_plain_integers(value: Any) -> Any:
    """JSON Schema takes 7.0 for an integer; no JSON library writes one like that, and the rule book keeps to types
    (D1)."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: _with_plain_integers(member) for name, member in value.items()}
    return [_with_plain_integers(item) for item in value] if isinstance(value, list) else value


def _check_stream(text: str) -> None:
    """Every event is JSON, and the last is [DONE]."""
    events = [block.removeprefix("data: ") for block in text.split("\n\n") if block.startswith("data: ")]
    assert events.pop() == "[DONE]", text[-300:]
    assert all(json.loads(event)["object"] == "chat.completion.chunk" for event in events)
