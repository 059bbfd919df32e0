"""Talk: the formats in which models talk, as the application needs them."""

from collections.abc import Iterator

from tollhouse.simulator.answer import Question, compose
from tollhouse.simulator.format import ChatFormat, Event, Received
from tollhouse.simulator.script import Script


class Talk:
    """A chat format whose answers are composed from the question and the script."""

    slow = False
    refusal = 400

    def __init__(self, form: ChatFormat) -> None:
        self._form = form
        self.suffix = form.suffix

    def read(self, received: Received) -> "AskedToTalk":
        """What the request asks for. Raises RequestError."""
        return AskedToTalk(self._form, self._form.read(received.body, received.digest))

    def error(self, status: int, message: str) -> str:
        """An error in the format's own shape, as JSON text."""
        return self._form.error(status, message)


class AskedToTalk:
    """One question in a chat format."""

    def __init__(self, form: ChatFormat, question: Question) -> None:
        self._form = form
        self._question = question
        self.model = question.model
        self.stream = question.stream

    def whole(self, script: Script, created: int) -> str:
        """The answer as one JSON text."""
        return self._form.whole(compose(self._question, script, created), script)

    def events(self, script: Script, created: int) -> Iterator[Event]:
        """The answer as a stream of events."""
        return self._form.events(compose(self._question, script, created), self._question, script)
