"""Error bodies in the many shapes that providers and the proxies before them send."""

import json
from collections.abc import Callable
from typing import Any, Final

_MESSAGE: Final = "The simulator was told to fail."
_HTML: Final = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"

# Each shape makes a JSON value (or text, where it is not JSON) of status, message and the credential that came in.
_SHAPES: Final[dict[str, Callable[[int, str, str], Any]]] = {
    "string": lambda _, message, __: {"error": message},
    "message": lambda _, message, __: {"message": message},
    "detail": lambda _, message, __: {"detail": message},
    "detail_list": lambda _, message, __: {
        "detail": [{"loc": ["body", "model"], "msg": message, "type": "value_error"}]
    },
    "list": lambda status, message, __: [{"error": {"code": status, "message": message, "status": "UNAVAILABLE"}}],
    "anthropic": lambda _, message, __: {"type": "error", "error": {"type": "api_error", "message": message}},
    "code_int": lambda status, message, __: {"error": {"message": message, "code": status}},
    "nested": lambda status, message, __: {
        "error": {
            "message": "Provider returned error",
            "code": status,
            "metadata": {"raw": json.dumps({"error": {"message": message}}), "provider_name": "Simulator"},
        }
    },
    "null": lambda _, __, ___: {"error": None},
    "context": lambda _, __, ___: {
        "error": {
            "message": "This model's maximum context length is 8192 tokens.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    },
    "filter": lambda _, message, __: {
        "error": {"message": message, "type": "invalid_request_error", "param": None, "code": "content_filter"}
    },
    "echo_auth": lambda _, __, credential: {
        "error": {"message": f"Incorrect API key provided: {credential}", "code": "invalid_api_key"}
    },
}
_TEXTS: Final[dict[str, Callable[[int, str], str]]] = {
    "html": lambda _, __: _HTML.format("Bad Gateway"),
    "text": lambda _, message: message,
    "empty": lambda _, __: "",
}
SHAPES: Final = frozenset(_SHAPES) | frozenset(_TEXTS)


def error_body(shape: str | None, status: int, credential: str, standard: Callable[[int, str], str]) -> tuple[str, str]:
    """Content type and text of an error body.

    `shape` is one of SHAPES, None or `openai` for the format's own shape (which `standard` makes), or the text itself.
    """
    if shape is None or shape == "openai":
        return "application/json", standard(status, _MESSAGE)
    if shape in _TEXTS:
        return "text/html" if shape == "html" else "text/plain", _TEXTS[shape](status, _MESSAGE)
    if shape in _SHAPES:
        return "application/json", json.dumps(_SHAPES[shape](status, _MESSAGE, credential), ensure_ascii=False)
    return "application/json", shape
