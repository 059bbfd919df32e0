"""Scanning: a JSON body cut once into its top-level fields, with everything refused that is no sound JSON object."""

import itertools

import msgspec

from tollhouse.ir.fault import FaultError, invalid_request

MAX_DEPTH = 512

_FLAT_LEVELS = 32
_STRUCTURE_LEVELS = 4
_MANY_CHILDREN = 1000
_NOISE = bytes(byte for byte in range(256) if byte not in b'{}[]"')
_STEPS = tuple(1 if byte in b"{[" else -1 for byte in range(256))

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def scan_object(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, msgspec.Raw]:
    """The top-level fields of `body`, each as its own bytes; of a repeated key the last value counts.

    Joined again from this dict, the body cannot hold another value than the one that was read here. Takes time linear
    in the body. Raises FaultError (invalid_request) with a message that says what is wrong.
    """
    try:
        if not body.isascii():
            body.decode()
        fields = _object_decoder.decode(body)
        too_deep = deeper_than(body, max_depth)
    except UnicodeDecodeError as error:
        raise invalid_request(f"The body is not valid UTF-8 (byte {error.start}): send JSON in UTF-8.") from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    except msgspec.DecodeError as error:
        raise invalid_request(_complaint(body, error)) from None
    if too_deep:
        raise _too_deep(max_depth)
    return fields


def join_object(fields: dict[str, msgspec.Raw]) -> bytes:
    """The fields as one JSON object again, in their order."""
    return msgspec.json.encode(fields)


def deeper_than(body: bytes, max_depth: int) -> bool:
    """Whether arrays and objects of the valid JSON `body` nest deeper than `max_depth`."""
    openers = 0
    for bracket in (b"{", b"["):
        at = body.find(bracket)
        while at >= 0 and openers <= max_depth:
            openers += 1
            at = body.find(bracket, at + 1)
    if openers <= max_depth:
        return False
    return _nests(body, max_depth, _STRUCTURE_LEVELS)


def _nests(value: bytes, max_depth: int, levels: int) -> bool:
    """As `deeper_than`, by looking into the children: texts, where most brackets stand, are left out at once."""
    room = 2 * max_depth
    if len(value) <= room or value[0] not in b"[{":
        return False
    if levels == 0:
        return _deepest(_brackets(value), max_depth)
    keys: tuple[str, ...] = ()
    if value.startswith(b"["):
        children = _list_decoder.decode(value)
    else:
        fields = _object_decoder.decode(value)
        children, keys = list(fields.values()), tuple(fields)
    if len(children) > _MANY_CHILDREN:
        return _deepest(_brackets(value), max_depth)
    # What no child holds is spaces, or values of repeated keys that were left out above.
    hidden = len(value) - sum(map(len, keys)) - sum(len(memoryview(child)) for child in children)
    if hidden > room:
        return _deepest(_brackets(value), max_depth)
    return any(_nests(bytes(child), max_depth - 1, levels - 1) for child in children)


def _deepest(brackets: bytes, max_depth: int) -> bool:
    """Whether the balanced `brackets` nest deeper than `max_depth`."""
    # Each round takes away one or two innermost levels; ordinary bodies are flat and vanish in a few.
    rest, levels = brackets, 0
    while levels < _FLAT_LEVELS and levels + len(rest) // 2 > max_depth:
        rest = rest.replace(b"[]", b"").replace(b"{}", b"")
        levels += 2
    if levels + len(rest) // 2 <= max_depth:
        return False
    return max(itertools.accumulate(map(_STEPS.__getitem__, brackets)), default=0) > max_depth


def _brackets(body: bytes) -> bytes:
    """The brackets of the valid JSON `body` that stand outside of strings, in their order."""
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    # Two quotes side by side do not change which brackets are inside of a string.
    bare = bare.translate(None, _NOISE).replace(b'""', b"")
    return b"".join(bare.split(b'"')[::2])


def _too_deep(max_depth: int) -> FaultError:
    return invalid_request(f"The body nests deeper than {max_depth} levels of arrays and objects: flatten it.")


def _complaint(body: bytes, error: msgspec.DecodeError) -> str:
    """Words for a body that the decoder refused; they repeat nothing of it."""
    if not body.strip():
        return "The body is empty: send a JSON object."
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "The body begins with a byte order mark: send plain UTF-8 without one."
    if isinstance(error, msgspec.ValidationError):
        return "The body must be a JSON object, such as {...}: it holds another JSON value."
    return f"The body is not valid JSON ({str(error).removeprefix('JSON is malformed: ')})."
