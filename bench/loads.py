"""The loads: what is asked, what the upstream answers, and how an answer is checked."""

import json
from dataclasses import dataclass

CHUNKS = 200

_SENTENCE = "The clerk at the gate counts each cart, takes the toll and writes the sum in a book that never lies. "
_USAGE = {"prompt_tokens": 250, "completion_tokens": 200, "total_tokens": 450}


class WrongAnswerError(Exception):
    """An answer is not what the upstream sent; a gateway that fails must not look fast."""


@dataclass(frozen=True)
class Load:
    """One load. `messages` is what is asked; `text` what is answered: whole, or as a stream with a chunk every `pace_s`
    (0: as fast as they can be written). `upstream_format` is what the upstream speaks; where that is not Chat, `plain`
    is the load of the same stream that a bare proxy relays in place of this one."""

    name: str
    title: str
    messages: tuple[dict[str, str], ...]
    text: str
    stream: bool = False
    pace_s: float = 0.0
    upstream_format: str = "openai_chat"
    plain: str | None = None

    def request(self, model: str) -> bytes:
        """The JSON body that asks `model`."""
        body: dict[str, object] = {"model": model, "messages": self.messages, "temperature": 0.5}
        if self.stream:
            body["stream"] = True
        return json.dumps(body).encode()

    def answer(self) -> bytes:
        """The JSON body of a whole answer."""
        choice = {"index": 0, "message": {"role": "assistant", "content": self.text}, "finish_reason": "stop"}
        body = {**_head("chat.completion", self.name), "choices": [choice], "usage": _USAGE}
        return json.dumps(body).encode()

    def events(self) -> list[bytes]:
        """The server-sent events of a streamed answer: role, CHUNKS of content, finish reason, usage, `[DONE]`."""
        size = len(self.text) // CHUNKS
        deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": self.text[start : start + size]} for start in range(0, len(self.text), size)]
        chunks = [self._chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        chunks.append(self._chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        chunks.append(self._chunk([], _USAGE))
        return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]

    def upstream_events(self) -> list[bytes]:
        """The server-sent events of a streamed answer as the upstream sends them."""
        return self.events() if self.upstream_format == "openai_chat" else self._messages_events()

    def check(self, body: bytes) -> None:
        """Read a whole answer or stream as a client would. Raises WrongAnswerError."""
        said = _streamed_text(body) if self.stream else _whole_text(body)
        if said != self.text:
            raise WrongAnswerError(
                f"load {self.name}: the text differs, {len(said)} of {len(self.text)} characters came"
            )

    def _messages_events(self) -> list[bytes]:
        """The same stream as Anthropic tells it."""
        size = len(self.text) // CHUNKS
        message = {"id": "msg_" + "b" * 24, "type": "message", "role": "assistant", "model": self.name, "content": []}
        counts = {"input_tokens": _USAGE["prompt_tokens"], "output_tokens": 1}
        events: list[dict[str, object]] = [
            {"type": "message_start", "message": {**message, "stop_reason": None, "usage": counts}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ]
        for start in range(0, len(self.text), size):
            delta = {"type": "text_delta", "text": self.text[start : start + size]}
            events.append({"type": "content_block_delta", "index": 0, "delta": delta})
        events.append({"type": "content_block_stop", "index": 0})
        ended = {"stop_reason": "end_turn", "stop_sequence": None}
        usage = {"output_tokens": _USAGE["completion_tokens"]}
        events.append({"type": "message_delta", "delta": ended, "usage": usage})
        events.append({"type": "message_stop"})
        return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]

    def _chunk(self, choices: list[dict[str, object]], usage: dict[str, int] | None = None) -> dict[str, object]:
        return {**_head("chat.completion.chunk", self.name), "choices": choices, "usage": usage}


def _head(kind: str, model: str) -> dict[str, object]:
    return {"id": "chatcmpl-" + "b" * 24, "object": kind, "created": 1_760_000_000, "model": model}


def _whole_text(body: bytes) -> str:
    try:
        return json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise WrongAnswerError(f"no chat completion: {body[:300]!r}") from error


def _streamed_text(body: bytes) -> str:
    said: list[str] = []
    data = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    if not data or data[-1] != "[DONE]":
        raise WrongAnswerError(f"the stream has no end: {body[-300:]!r}")
    for item in data[:-1]:
        chunk = json.loads(item)
        if "error" in chunk:
            raise WrongAnswerError(f"an error in the stream: {item[:300]}")
        said += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
    return "".join(said)


def _filled(size: int) -> str:
    return (_SENTENCE * (size // len(_SENTENCE) + 1))[:size]


def _conversation(turns: int, size: int) -> tuple[dict[str, str], ...]:
    system = {"role": "system", "content": _filled(size)}
    roles = ("user", "assistant")
    return (system, *({"role": roles[turn % 2], "content": f"{turn}: {_filled(size)}"} for turn in range(turns)))


_SHORT = _conversation(3, 200)
_STREAMED = _filled(CHUNKS * 10)

LOADS = {
    load.name: load
    for load in (
        Load("a", "1 KB asked, 1 KB answered", _SHORT, _filled(750)),
        Load("b", "100 KB asked (110 messages), 2 KB answered", _conversation(109, 870), _filled(1750)),
        # Half a millisecond lets every chunk arrive by itself. Chunks written faster run together in the sockets, how
        # many depends on who else uses the machine, and nginx relays what has run together at the price of one.
        Load("c", "a stream of 200 chunks, one every 0.5 ms", _SHORT, _STREAMED, stream=True, pace_s=0.0005),
        Load(
            "d",
            "the same, from an upstream that speaks Messages; nginx relays c",
            _SHORT,
            _STREAMED,
            stream=True,
            pace_s=0.0005,
            upstream_format="anthropic_messages",
            plain="c",
        ),
        Load("k", "the same, all at once", _SHORT, _STREAMED, stream=True),
        Load("p", "the same, one every 5 ms", _SHORT, _STREAMED, stream=True, pace_s=0.005),
    )
}
