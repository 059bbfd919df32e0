"""OpenAI images as a provider speaks them: gpt-image models, the DALL·E models before them, and servers like these."""

import base64
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from tollhouse.simulator import tokens
from tollhouse.simulator.format import Event, Received, RequestError
from tollhouse.simulator.gallery import Gallery, Print
from tollhouse.simulator.openai_chat import openai_error
from tollhouse.simulator.picture import Wish
from tollhouse.simulator.reading import Json, JsonObject, as_text
from tollhouse.simulator.script import PREFIX, Script
from tollhouse.simulator.usage import changed_usage

_MAX_PICTURES: Final = 10
_MAX_SIDE: Final = 4096
_SIZE: Final = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")
_QUALITIES: Final = ("low", "medium", "high")
# OpenAI, guide "Image generation", "Calculating costs" (2025-10): tokens of a picture by size and quality.
_OUTPUT_TOKENS: Final = {
    "1024x1024": (272, 1056, 4160),
    "1024x1536": (408, 1584, 6240),
    "1536x1024": (400, 1568, 6208),
}


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What a line of models takes; `fields` besides model, prompt, n, size and user, None for any, with any values."""

    sizes: frozenset[str] | None
    default_size: str
    fields: frozenset[str] | None
    most: int = _MAX_PICTURES
    counts_tokens: bool = False


_GPT_FIELDS: Final = ("background", "moderation", "output_compression", "output_format", "quality", "safety_identifier")
_FAMILIES: Final = {
    "gpt-image": Family(
        sizes=frozenset(_OUTPUT_TOKENS), default_size="1024x1024", fields=frozenset(_GPT_FIELDS), counts_tokens=True
    ),
    "dall-e-2": Family(
        sizes=frozenset({"256x256", "512x512", "1024x1024"}),
        default_size="1024x1024",
        fields=frozenset({"quality", "response_format"}),
    ),
    "dall-e-3": Family(
        sizes=frozenset({"1024x1024", "1792x1024", "1024x1792"}),
        default_size="1024x1024",
        fields=frozenset({"quality", "response_format", "style"}),
        most=1,
    ),
}
_UNDERSTOOD: Final = {"background": ("auto", "opaque", "transparent"), "output_format": ("png", "jpeg")}
# A server that took over the path and not the models: any size, and fields of its own.
_OTHER: Final = Family(sizes=None, default_size="1024x1024", fields=None)


class OpenAIImages:
    """The format of `POST /v1/images/generations`; see the API reference, "Create image"."""

    suffix = "/images/generations"
    slow = True
    refusal = 400

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    def read(self, received: Received) -> "AskedForPictures":
        """What the request asks for. Raises RequestError where OpenAI would answer 400."""
        body = {name: value for name, value in received.body.items() if value is not None}
        model, prompt = body.get("model", "dall-e-2"), body.get("prompt")
        if not isinstance(model, str):
            raise RequestError("'model' must be a string")
        if not isinstance(prompt, str):
            raise RequestError("you must provide a prompt")
        family = next(
            (known for name, known in _FAMILIES.items() if model.split("/" + PREFIX)[0].startswith(name)), _OTHER
        )
        unknown = () if family.fields is None else set(body) - family.fields - {"model", "prompt", "n", "size", "user"}
        if unknown:
            raise RequestError(f"Unknown parameter: '{min(unknown)}'.")
        count = body.get("n", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= family.most:
            raise RequestError(f"'n' must be an integer from 1 to {family.most}")
        size, width, height = _size(body.get("size", "auto"), family)
        known = body if family.fields is not None else _understood(body)
        return AskedForPictures(
            family=family,
            model=model,
            wish=Wish(text=prompt, width=width, height=height, seed=model),
            count=count,
            size=size,
            quality=_one_of(body, "quality", (*_QUALITIES, "auto")) if family.counts_tokens else "standard",
            background=_one_of(known, "background", ("auto", "opaque", "transparent")),
            file_format=_one_of(known, "output_format", ("png", "jpeg")),
            as_url=not family.counts_tokens and _one_of(body, "response_format", ("url", "b64_json")) == "url",
            origin=received.origin,
            gallery=self._gallery,
        )

    def error(self, status: int, message: str) -> str:
        """OpenAI's error object."""
        return openai_error(status, message)


class AskedForPictures(msgspec.Struct, frozen=True, kw_only=True):
    """So many pictures of one wish, and how they are to be handed over."""

    family: Family
    model: str
    wish: Wish
    count: int
    size: str
    quality: str
    background: str
    file_format: str
    as_url: bool
    origin: str
    gallery: Gallery
    stream: bool = False

    def whole(self, script: Script, created: int) -> str:
        """The list of pictures; of gpt-image models with what was made, and its tokens."""
        prints = [self._print(place) for place in range(self.count if script.count is None else script.count)]
        body: JsonObject = {"created": created, "data": [self._datum(each, script) for each in prints]}
        if self.family.counts_tokens:
            transparent = self.background == "transparent"
            body["background"] = "transparent" if transparent else "opaque"
            body["output_format"] = self.file_format
            body["quality"] = self._quality()
            body["size"] = self.size
            if script.usage != "none":
                body["usage"] = self._usage(script)
        return as_text(body)

    def events(self, script: Script, created: int) -> Iterator[Event]:
        """The list as one event."""
        yield Event(self.whole(script, created))

    def _print(self, place: int) -> Print:
        wish = msgspec.structs.replace(self.wish, seed=f"{self.wish.seed}/{place}")
        return Print(wish=wish, file_format=self.file_format, transparent=self.background == "transparent")

    def _datum(self, each: Print, script: Script) -> JsonObject:
        if script.link is not None:
            return {"url": script.link}
        if self.as_url and script.data is None:
            return {"url": self.origin + self.gallery.hang(each)}
        return {"b64_json": base64.b64encode(each.file()).decode() if script.data is None else script.data}

    def _quality(self) -> str:
        return "medium" if self.quality == "auto" else self.quality

    def _usage(self, script: Script) -> Json:
        prompt = tokens.count(self.wish.text)
        made = _OUTPUT_TOKENS[self.size][_QUALITIES.index(self._quality())] * self.count
        if ":" in script.usage:
            prompt, made = (int(figure) for figure in script.usage.split(":")[:2])
        counts: JsonObject = {
            "input_tokens": prompt,
            "output_tokens": made,
            "total_tokens": prompt + made,
            "input_tokens_details": {"text_tokens": prompt, "image_tokens": 0},
            "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        }
        return changed_usage(counts, script, ("input_tokens", "output_tokens"))


def _size(value: Json, family: Family) -> tuple[str, int, int]:
    size = family.default_size if value == "auto" else value
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None or (family.sizes is not None and size not in family.sizes):
        known = f"width x height, up to {_MAX_SIDE}" if family.sizes is None else ", ".join(sorted(family.sizes))
        raise RequestError(f"Invalid value: '{value}'. Supported values are: {known}.")
    width, height = int(found[1]), int(found[2])
    if max(width, height) > _MAX_SIDE:
        raise RequestError(f"'size' must not be above {_MAX_SIDE} pixels")
    return size, width, height


def _understood(body: JsonObject) -> JsonObject:
    """The body without values that mean nothing here, as a server has it that asks no questions."""
    return {name: value for name, value in body.items() if value in _UNDERSTOOD.get(name, (value,))}


def _one_of(body: JsonObject, name: str, choices: tuple[str, ...]) -> str:
    """The field's value, the first choice where it did not come; `auto` may be a choice without being the first."""
    value = body.get(name, "auto" if "auto" in choices else choices[0])
    if value not in choices:
        raise RequestError(f"Invalid value: '{value}'. Supported values are: {', '.join(choices)}.")
    return value
