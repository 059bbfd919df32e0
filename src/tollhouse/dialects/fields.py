"""Types of request fields that mean the same in every published API, with the bounds that hold everywhere.

The contracts leave lengths open. The caps here are far above what programs send, and keep one request from costing
unbounded work or from carrying control characters into logs and headers.
"""

import re
from typing import Annotated, Final

import msgspec

from tollhouse.ir.fault import invalid_request

MAX_MESSAGES: Final = 10_000
MAX_PARTS: Final = 5_000
MAX_TOOL_CALLS: Final = 1_000
MAX_TOOLS: Final = 2_000
MAX_STOPS: Final = 1_000
MAX_OUTPUT_TOKENS: Final = 2**31 - 1
MAX_METADATA_BYTES: Final = 64 * 1024

_NO_CONTROL_CHARACTERS: Final = r"\A[^\x00-\x1f\x7f]*\Z"
# JSON escapes of NUL, CR and LF; literal ones cannot stand in a JSON string.
_LINE_OR_NUL_ESCAPE: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\(?:u000[0aAdD]|[rn])")

ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=_NO_CONTROL_CHARACTERS)]
Prompt = Annotated[str, msgspec.Meta(min_length=1)]
UserId = Annotated[str, msgspec.Meta(max_length=1024, pattern=_NO_CONTROL_CHARACTERS)]
OutputLimit = Annotated[int, msgspec.Meta(ge=1, le=MAX_OUTPUT_TOKENS)]
UnitInterval = Annotated[float, msgspec.Meta(ge=0, le=1)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Stops = Annotated[list[str], msgspec.Meta(max_length=MAX_STOPS)]
RawTool = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        extra_json_schema={"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]}
    ),
]
"""A tool as it was sent: what its type needs is for the wire format to see."""
Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]


def is_absent(raw: msgspec.Raw) -> bool:
    """Whether a field kept as raw JSON was not sent, or sent as null."""
    return bytes(raw) in {b"", b"null"}


def check_metadata(raw: msgspec.Raw) -> None:
    """Refuse metadata that is too large or holds NUL, CR or LF. Raises FaultError (invalid_request)."""
    if len(bytes(raw)) > MAX_METADATA_BYTES:
        raise invalid_request(
            f"`metadata` is too large: it may take {MAX_METADATA_BYTES} bytes. Send less of it.", "metadata"
        )
    if _LINE_OR_NUL_ESCAPE.search(bytes(raw)):
        raise invalid_request(
            "`metadata` holds a line break or a NUL character, which are not allowed there. Remove them.", "metadata"
        )
