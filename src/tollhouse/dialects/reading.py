"""Reader: a request body decoded once into a dialect's own type, and every misfit told in words for people.

msgspec names the field and what was expected of it, but may quote what the caller sent; only the field's name and the
rule are taken from its messages, so a prompt never comes back in an error. Bytes in fields that the type does not name
are skipped here: that they are sound UTF-8 and JSON is the wire format's scan to see.
"""

import re
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

import msgspec

from tollhouse.ir.fault import FaultError, invalid_request

T = TypeVar("T")

_PATH: Final = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`\Z", re.DOTALL)
_WRONG_TYPE: Final = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`")
_LENGTH: Final = re.compile(r"Expected `(?P<what>str|array)` of length (?P<sign><=|>=) (?P<bound>\d+)")
_BOUND: Final = re.compile(r"Expected `(?:int|float)` (?P<sign><=|>=) (?P<bound>-?[\d.]+)")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_MALFORMED: Final = re.compile(r"JSON is malformed: (?P<why>[a-z ]+) \(byte (?P<byte>\d+)\)")

_TYPE_WORDS: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class Reader(Generic[T]):
    """Decodes bodies of one request type.

    `choices` words the members of closed lists by the field's last name: `{"role": "system, user or assistant"}`.
    """

    def __init__(self, request: type[T], choices: Mapping[str, str]) -> None:
        self._decode = msgspec.json.Decoder(request).decode
        self._choices = choices

    def read(self, body: bytes | msgspec.Raw, where: str = "") -> T:
        """The request, or the part of it that stands at the path `where`.

        Raises FaultError (invalid_request) naming the field that does not fit.
        """
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            raise self._misfit(str(error), where) from None
        except msgspec.DecodeError as error:
            raise _malformed(bytes(body), str(error)) from None
        except UnicodeDecodeError:
            raise invalid_request("The request body is not valid UTF-8. Send JSON encoded as UTF-8.") from None
        except RecursionError:
            raise invalid_request("The request body is nested too deeply. Send a flatter one.") from None

    def _misfit(self, text: str, where: str) -> FaultError:
        found = _PATH.search(text)
        path = found["path"].split("[...]")[0].rstrip(".") if found else ""
        if where:
            path = f"{where}{path}" if path.startswith("[") or not path else f"{where}.{path}"
        missing = _MISSING.match(text)
        if missing:
            path = f"{path}.{missing['field']}" if path else missing["field"]
            return invalid_request(f"`{path}` is required, but the request does not have it.", path)
        if not path:
            got = _WRONG_TYPE.match(text)
            what = _words(got["got"]) if got else "something else"
            return invalid_request(f"The request body must be a JSON object, but it is {what}.")
        return invalid_request(f"`{path}` {self._rule(path, text)}", path)

    def _rule(self, path: str, text: str) -> str:
        if text.startswith("Invalid enum value"):
            allowed = self._choices.get(path.rpartition(".")[2], "one of the documented values")
            return f"has a value that is not allowed. Use {allowed}."
        if wrong := _WRONG_TYPE.match(text):
            return f"must be {_words(wrong['expected'])}, but it is {_words(wrong['got'])}."
        if length := _LENGTH.match(text):
            return _length_rule(length["what"], length["sign"], int(length["bound"]))
        if bound := _BOUND.match(text):
            return f"must be at {'most' if bound['sign'] == '<=' else 'least'} {float(bound['bound']):.10g}."
        if "matching regex" in text:
            return "must not hold line breaks or other control characters."
        if "out of range" in text:
            return "is a number out of range."
        return "does not fit the documented type."


def _words(types: str) -> str:
    """`int | null` in words; null is left out beside others, as it only means "not sent"."""
    names = types.split(" | ")
    named = [_TYPE_WORDS.get(name, name) for name in names if name != "null" or len(names) == 1]
    return " or ".join(named)


def _length_rule(what: str, sign: str, bound: int) -> str:
    unit = "characters" if what == "str" else "entries"
    if sign == "<=":
        return f"is too long: it may have {bound} {unit}."
    return "must not be empty." if bound == 1 else f"must have at least {bound} {unit}."


def _malformed(body: bytes, text: str) -> FaultError:
    if not body.strip():
        return invalid_request("The request body is empty. Send a JSON object.")
    found = _MALFORMED.match(text)
    why = f"{found['why']} at byte {found['byte']}" if found else "it is cut short or holds a broken escape"
    return invalid_request(f"The request body is not valid JSON: {why}. Send one JSON object.")
