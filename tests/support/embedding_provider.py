"""A provider of embeddings for tests: vectors that tell which text they are of, numbers or base64 as it is asked."""

import array
import base64
import json
from typing import Any

from support.scripted_providers import Answer, Asked

WIDTH = 3


def vector(text: object) -> list[float]:
    """Three numbers that a float of 32 bits holds exactly: the text's length, its first character, a quarter."""
    return [float(len(str(text))), float(ord(str(text)[:1] or " ")), 0.25]


def encoded(numbers: list[float]) -> str:
    """As OpenAI encodes a vector: numbers of 32 bits, little-endian, in base64."""
    return base64.b64encode(array.array("f", numbers).tobytes()).decode()


def embedded(asked: Asked, *, usage: bool = True, **more: Any) -> Answer:
    """A good answer; the model is the one of the provider, and a token is a word."""
    given = asked.body["input"]
    several = isinstance(given, list) and not isinstance(given[0], int)
    texts = given if several else [given]
    as_text = asked.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": number, "embedding": encoded(vector(text)) if as_text else vector(text)}
        for number, text in enumerate(texts)
    ]
    words = sum(len(str(text).split()) for text in texts)
    body: dict[str, Any] = {"object": "list", "data": data, "model": "upstream-name"}
    if usage:
        body["usage"] = {"prompt_tokens": words, "total_tokens": words}
    return Answer(body=json.dumps(body | more).encode())
