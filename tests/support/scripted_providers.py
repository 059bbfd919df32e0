"""Providers on one port that do what a test says, by the first part of their path and by the key that they are sent."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Asked(msgspec.Struct, frozen=True):
    """One request: to which provider, with which key, what it said, and on which path."""

    provider: str
    key: str
    body: dict[str, Any]
    path: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What the provider says."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


Script = Callable[[Asked], Answer]


def said(text: str = "Hello.", model: str = "m", prompt: int = 10, completion: int = 10) -> Answer:
    """A good answer in one piece."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    return Answer(body=json.dumps(body).encode())


def failed(status: int, message: str = "no", headers: tuple[tuple[str, str], ...] = (), code: str = "") -> Answer:
    """An error in OpenAI's words."""
    body = {"error": {"message": message, "type": "error", "code": code or None}}
    return Answer(status, json.dumps(body).encode(), (("Content-Type", "application/json"), *headers))


class ScriptedProviders:
    """Answers by `script`, which may be exchanged at any time, GET with one of `files`; `asked` is all that came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.files: dict[str, Answer] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                key = self.headers.get("x-api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
                provider = self.path.split("/")[1]
                asked = Asked(provider, key, json.loads(self.rfile.read(length)), self.path)
                outer.asked.append(asked)
                self._answer(outer.script(asked))

            def do_GET(self) -> None:
                self._answer(outer.files.get(self.path, Answer(404)))

            def _answer(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def counts(self) -> Counter[str]:
        """How often each provider was asked."""
        return Counter(one.provider for one in self.asked)

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def catalogue(url: str, models: str, *, names: str = "abcd", keys: str = "api_key: none") -> str:
    """A catalogue with providers of those names on the port, and those models."""
    providers = "".join(
        f"  - {{id: {name}, format: openai_chat, base_url: '{url}/{name}/v1', {keys}}}\n" for name in names
    )
    text = f"providers:\n{providers}models:\n{models}"
    return text.replace("{", "{{").replace("}", "}}")
