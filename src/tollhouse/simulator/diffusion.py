"""A diffusion server as AUTOMATIC1111's web UI speaks over its API: `POST /sdapi/v1/txt2img`."""

import base64
import datetime
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tollhouse.simulator.format import Event, Received, RequestError
from tollhouse.simulator.gallery import Print
from tollhouse.simulator.picture import Wish
from tollhouse.simulator.reading import JsonObject, as_text, object_of
from tollhouse.simulator.script import Script

_NAME: Final = "simulator-diffusion"
_MAX_SIDE: Final = 2048
_MAX_PICTURES: Final = 16
_SEEDS: Final = 2**32
_ERRORS: Final = {401: "HTTPException", 404: "HTTPException", 500: "OutOfMemoryError"}


class _Wanted(msgspec.Struct, kw_only=True):
    """The fields that matter, with the server's own defaults (modules/api/models.py, v1.10)."""

    prompt: str = ""
    negative_prompt: str = ""
    width: int = 512
    height: int = 512
    steps: int = 50
    cfg_scale: float = 7.0
    seed: int = -1
    sampler_name: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    override_settings: dict[str, Any] | None = None


class DiffusionServer:
    """The format of `txt2img`. The server has one checkpoint loaded; a call may ask for another by its settings."""

    suffix = "/sdapi/v1/txt2img"
    slow = True
    refusal = 422

    def read(self, received: Received) -> "AskedToPaint":
        """What the request asks for. Raises RequestError where the server would answer 422."""
        try:
            wanted = msgspec.convert(received.body, _Wanted)
        except msgspec.ValidationError as error:
            raise RequestError(str(error)) from None
        for name in ("width", "height"):
            if not 1 <= getattr(wanted, name) <= _MAX_SIDE:
                raise RequestError(f"'{name}' must be from 1 to {_MAX_SIDE}")
        if wanted.batch_size < 1 or wanted.n_iter < 1 or wanted.batch_size * wanted.n_iter > _MAX_PICTURES:
            raise RequestError(f"'batch_size' times 'n_iter' must be from 1 to {_MAX_PICTURES}")
        if wanted.steps < 1:
            raise RequestError("'steps' must be at least 1")
        # -1 asks for chance; here chance comes from the request, so that the same one has the same picture.
        seed = wanted.seed if wanted.seed >= 0 else int(received.digest[:8], 16)
        return AskedToPaint(received.body, wanted, seed)

    def error(self, status: int, message: str) -> str:
        """An error as the server's own handler words it; 422 as FastAPI does."""
        if status == self.refusal:
            return as_text({"detail": [{"loc": ["body"], "msg": message, "type": "value_error"}]})
        kind = _ERRORS.get(status, "RuntimeError")
        return as_text({"error": kind, "detail": "", "body": "", "errors": message})


class AskedToPaint:
    """Pictures of one prompt, each with a seed one above the last."""

    stream = False

    def __init__(self, body: JsonObject, wanted: _Wanted, seed: int) -> None:
        checkpoint = object_of(wanted.override_settings).get("sd_model_checkpoint")
        self.model = checkpoint if isinstance(checkpoint, str) else _NAME
        self._body = body
        self._wanted = wanted
        self._seed = seed

    def whole(self, script: Script, created: int) -> str:
        """The pictures, the parameters, and what was done as JSON within the JSON."""
        wanted = self._wanted
        count = wanted.batch_size * wanted.n_iter if script.count is None else script.count
        seeds = [(self._seed + place) % _SEEDS for place in range(count)]
        images = [self._painted(seed) if script.data is None else script.data for seed in seeds]
        parameters = {**msgspec.to_builtins(wanted), **self._body}
        return as_text({"images": images, "parameters": parameters, "info": as_text(self._info(seeds, created))})

    def events(self, script: Script, created: int) -> Iterator[Event]:
        """The pictures as one event."""
        yield Event(self.whole(script, created))

    def _painted(self, seed: int) -> str:
        wanted = self._wanted
        text = wanted.prompt
        if wanted.negative_prompt:
            text += f" (without {wanted.negative_prompt})"
        # A picture depends on how it is sampled, too.
        how = f"{self.model}/{seed}/{wanted.steps}/{wanted.cfg_scale:g}"
        # Diffusion works on a grid of eight pixels; the server rounds down.
        width, height = (max(8, side - side % 8) for side in (wanted.width, wanted.height))
        wish = Wish(text=text, width=width, height=height, seed=how)
        return base64.b64encode(Print(wish=wish, file_format="png").file()).decode()

    def _info(self, seeds: list[int], created: int) -> JsonObject:
        wanted = self._wanted
        started = datetime.datetime.fromtimestamp(created, datetime.UTC)
        return {
            "prompt": wanted.prompt,
            "all_prompts": [wanted.prompt] * len(seeds),
            "negative_prompt": wanted.negative_prompt,
            "all_negative_prompts": [wanted.negative_prompt] * len(seeds),
            "seed": self._seed,
            "all_seeds": seeds,
            "width": wanted.width,
            "height": wanted.height,
            "sampler_name": wanted.sampler_name or "DPM++ 2M",
            "cfg_scale": wanted.cfg_scale,
            "steps": wanted.steps,
            "batch_size": wanted.batch_size,
            "sd_model_name": self.model,
            "index_of_first_image": 0,
            "infotexts": [f"{wanted.prompt}\nSteps: {wanted.steps}, Seed: {seed}" for seed in seeds],
            "job_timestamp": started.strftime("%Y%m%d%H%M%S"),
            "version": "v1.10.1",
        }
