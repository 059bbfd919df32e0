"""HyperInfer's voices beside its chat, and what they say against a body."""

import json
from typing import Any

from tollhouse.dialects.hyperinfer.voices import HyperInferCount, HyperInferMessages, HyperInferResponses
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.relay.call import Voice

RESPONSES: Voice = HyperInferResponses()
MESSAGES: Voice = HyperInferMessages()
COUNT: Voice = HyperInferCount()
SECRET = "the prompt's own words"
LEAST: dict[Voice, dict[str, Any]] = {
    RESPONSES: {"model": "openai/gpt-5", "input": SECRET},
    MESSAGES: {"model": "a/b", "max_tokens": 5, "messages": [{"role": "user", "content": SECRET}]},
    COUNT: {"model": "a/b", "messages": [{"role": "user", "content": SECRET}]},
}
"""The least that each takes."""


def refusal_of(voice: Voice, body: bytes) -> Fault | None:
    """What a voice says against a body; None when it takes it."""
    try:
        voice.validate(body)
    except FaultError as error:
        return error.fault
    return None


def takes(voice: Voice, **fields: Any) -> None:
    """The least body with these fields is taken."""
    found = refusal_of(voice, encoded(voice, **fields))
    assert found is None, found


def refuses(voice: Voice, param: str | None, **fields: Any) -> Fault:
    """It is refused, the field is named, and nothing that the caller wrote is repeated."""
    found = refusal_of(voice, encoded(voice, **fields))
    assert found is not None, f"{voice.format_name} takes {fields}"
    assert found.kind is FaultKind.INVALID_REQUEST
    assert found.param == param, found
    assert SECRET not in found.message
    assert found.message[-1] == "."
    return found


def encoded(voice: Voice, **fields: Any) -> bytes:
    """The least body with these fields; `...` leaves one out."""
    request = LEAST[voice] | fields
    return json.dumps({name: value for name, value in request.items() if value is not ...}).encode()
