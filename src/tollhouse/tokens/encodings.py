"""Encodings: how many tokens a text has for a model, by vocabularies that need no network; loaded when first asked."""

import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from tollhouse.tokens.bounds import likely_tokens

BYTES: Final = "bytes"
"""Three bytes to a token: for models whose vocabulary nobody has published, such as Claude's."""

_VOCABULARIES: Final = frozenset(
    {
        *("o200k_base", "cl100k_base", "gpt_oss", "phi4", "llama2", "llama3", "olmo2", "deepseek_v3", "qwen3"),
        *("mistral_v1", "mistral_v2", "mistral_v3", "gemma2", "gemma3", "gemma4", "glm4", "kimi_k2", "kimi_k3"),
    }
)
NAMES: Final = _VOCABULARIES | {BYTES}
"""What a catalogue may name."""

OFF_LOOP_BYTES: Final = 64 * 1024
"""Longer text belongs on a thread: 64 KiB of one letter cost 170 ms the first time (o200k_base, 2026-11)."""

# The library gives a list of all tokens; a slice of the text at a time bounds it. A border costs one token at most.
_SLICE_CHARS: Final = 64 * 1024


class Encoding(Protocol):
    """Counts the tokens of one kind of model."""

    @property
    def name(self) -> str:
        """As in the catalogue."""
        ...

    @property
    def is_loaded(self) -> bool:
        """Whether a count can begin at once; the first one of a vocabulary takes 0.1 to 0.9 s, and 10 to 50 MB."""
        ...

    def count_text(self, text: str) -> int:
        """How many tokens the text has. The names of special tokens in it are text like any other."""
        ...

    def load(self) -> None:
        """Make the vocabulary ready, on a thread; nothing when it is."""
        ...


class _Tokenizer(Protocol):
    def encode_ordinary(self, text: str) -> Sequence[int]: ...


class ByteEstimate:
    """Counts by size alone."""

    name = BYTES
    is_loaded = True

    def count_text(self, text: str) -> int:
        """Three bytes to a token, rounded up."""
        return likely_tokens(len(text.encode("utf-8", "surrogatepass")))

    def load(self) -> None:
        """There is nothing to load."""


class Vocabulary:
    """Counts as the model's own tokenizer does; safe on any thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tokenizer: _Tokenizer | None = None
        self._loading = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether a count can begin at once."""
        return self._tokenizer is not None

    def count_text(self, text: str) -> int:
        """How many tokens the text has; half a surrogate pair counts as the mark that stands for broken text."""
        if not text:
            return 0
        tokenizer = self._tokenizer or self._load()
        sound = text.encode("utf-8", "replace").decode() if not text.isascii() else text
        pieces = (sound[start : start + _SLICE_CHARS] for start in range(0, len(sound), _SLICE_CHARS))
        # Not `encode`: it takes "<|endoftext|>" in a prompt for one token, so that a caller could hide text.
        return sum(len(tokenizer.encode_ordinary(piece)) for piece in pieces)

    def load(self) -> None:
        """Make the vocabulary ready, on a thread; nothing when it is."""
        self._load()

    def _load(self) -> _Tokenizer:
        with self._loading:
            if self._tokenizer is None:
                # Loaded by name, so that a gateway that never counts does not pay for it.
                library = importlib.import_module("splintr")
                load = cast("Callable[[str], _Tokenizer]", library.Tokenizer.from_pretrained)
                tokenizer = load(self.name)
                tokenizer.encode_ordinary("The first text makes it ready.")
                self._tokenizer = tokenizer
            return self._tokenizer


_ENCODINGS: Final[dict[str, Encoding]] = {BYTES: ByteEstimate(), **{name: Vocabulary(name) for name in _VOCABULARIES}}


def encoding(name: str) -> Encoding:
    """The one encoding of this name, of NAMES. Raises KeyError."""
    return _ENCODINGS[name]
