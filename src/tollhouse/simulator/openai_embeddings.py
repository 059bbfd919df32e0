"""OpenAI embeddings as a provider speaks them: vectors as numbers or as base64."""

import base64
from collections.abc import Iterator
from typing import Final, cast

from tollhouse.simulator import tokens
from tollhouse.simulator.format import Event, Received, RequestError
from tollhouse.simulator.openai_chat import openai_error
from tollhouse.simulator.reading import Json, JsonObject, as_text
from tollhouse.simulator.script import Script
from tollhouse.simulator.usage import changed_usage
from tollhouse.simulator.vectors import packed, vector

_MAX_INPUTS: Final = 2048
_MAX_DIMENSIONS: Final = 8192
# The sizes of OpenAI's own models (guide "Vector embeddings", 2026-11); others have that of the small ones.
_DIMENSIONS: Final = {"text-embedding-3-large": 3072}
_USUAL_DIMENSIONS: Final = 1536


class OpenAIEmbeddings:
    """The format of `POST /v1/embeddings`; see the API reference, "Create embeddings"."""

    suffix = "/embeddings"
    slow = True
    refusal = 400

    def read(self, received: Received) -> "AskedForVectors":
        """What the request asks for. Raises RequestError where OpenAI would answer 400."""
        body = received.body
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise RequestError("you must provide a model parameter")
        encoding = body.get("encoding_format") or "float"
        if encoding not in {"float", "base64"}:
            raise RequestError("'encoding_format' must be float or base64")
        dimensions = body.get("dimensions")
        if dimensions is None:
            dimensions = _DIMENSIONS.get(model, _USUAL_DIMENSIONS)
        if not isinstance(dimensions, int) or isinstance(dimensions, bool) or not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise RequestError(f"'dimensions' must be an integer from 1 to {_MAX_DIMENSIONS}")
        return AskedForVectors(model, _inputs(body.get("input")), dimensions, as_base64=encoding == "base64")

    def error(self, status: int, message: str) -> str:
        """OpenAI's error object."""
        return openai_error(status, message)


class AskedForVectors:
    """Texts (each with its count of tokens) whose vectors are asked for."""

    stream = False

    def __init__(self, model: str, texts: list[tuple[str, int]], dimensions: int, *, as_base64: bool) -> None:
        self.model = model
        self._texts = texts
        self._dimensions = dimensions
        self._as_base64 = as_base64

    def whole(self, script: Script, created: int) -> str:
        """The list of vectors, in the order of the texts."""
        del created
        texts = [text for text, _ in self._texts]
        if script.count is not None:
            texts = [texts[place % len(texts)] for place in range(script.count)]
        body: JsonObject = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": self._embedding(text, script)}
                for index, text in enumerate(texts)
            ],
            "model": self.model if script.model is None else script.model,
        }
        prompt = sum(number for _, number in self._texts)
        if ":" in script.usage:
            prompt = int(script.usage.partition(":")[0])
        counts = {"prompt_tokens": prompt, "total_tokens": prompt}
        if script.usage != "none":
            body["usage"] = changed_usage(counts, script, ("prompt_tokens",))
        return as_text(body)

    def events(self, script: Script, created: int) -> Iterator[Event]:
        """The list as one event; no provider streams vectors."""
        yield Event(self.whole(script, created))

    def _embedding(self, text: str, script: Script) -> Json:
        if script.data is not None:
            return script.data
        values = vector(text, self._dimensions)
        return base64.b64encode(packed(values)).decode() if self._as_base64 else values


def _inputs(value: Json) -> list[tuple[str, int]]:
    """A text, a list of texts, a list of token ids, or a list of such lists: texts with their counts of tokens."""
    if isinstance(value, str):
        return [(value, tokens.count(value))]
    items = cast("list[Json]", value) if isinstance(value, list) else []
    if not 1 <= len(items) <= _MAX_INPUTS:
        raise RequestError(f"'input' must be a string, or an array of 1 to {_MAX_INPUTS} items")
    if (ids := _token_ids(items)) is not None:
        return [ids]
    if all(isinstance(item, str) for item in items):
        return [(item, tokens.count(item)) for item in items]
    lists = [_token_ids(cast("list[Json]", item)) for item in items if isinstance(item, list)]
    told = [ids for ids in lists if ids is not None]
    if len(told) == len(items):
        return told
    raise RequestError("'$.input' is invalid: its items must be strings, or all be token ids")


def _token_ids(items: list[Json]) -> tuple[str, int] | None:
    if not items or not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        return None
    return " ".join(map(str, items)), len(items)
