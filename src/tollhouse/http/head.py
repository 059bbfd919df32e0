"""The head of a request: refuses what could be read in two ways, and turns the rest into plain fields."""

from tollhouse.ir.fault import Fault, FaultError, FaultKind, invalid_request

RawHeaders = list[tuple[bytes, bytes]]

_ONCE = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"content-encoding",
        b"authorization",
        b"expect",
    }
)


def read_fields(headers: RawHeaders, version: str) -> dict[str, str]:
    """Header fields by lower-case name, repeated ones joined by a comma. `version` is "1.0" or "1.1".

    Raises FaultError (invalid_request): another version, a repeated field that may stand only once, a missing Host,
    or a body whose end another reader could see elsewhere. The parser has refused a Content-Length beside a
    Transfer-Encoding, a repeated or malformed Content-Length, and folded lines.
    """
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    if len(fields) != len(headers):
        fields = _joined(headers)
    if version != "1.1":
        _check_version(version, fields)
    elif "host" not in fields:
        raise invalid_request("The request has no Host header; HTTP/1.1 requires one.")
    if "transfer-encoding" in fields and fields["transfer-encoding"].strip().lower() != "chunked":
        raise invalid_request("Transfer-Encoding must be exactly `chunked`; send the body that way or with a length.")
    return fields


def _check_version(version: str, fields: dict[str, str]) -> None:
    if version != "1.0":
        raise invalid_request(f"HTTP/{version} is not spoken here; use HTTP/1.1.")
    if "transfer-encoding" in fields:
        raise invalid_request("HTTP/1.0 knows no Transfer-Encoding; send a Content-Length, or use HTTP/1.1.")


def _joined(headers: RawHeaders) -> dict[str, str]:
    fields: dict[str, str] = {}
    for raw, value in headers:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        if name in fields:
            if raw in _ONCE:
                raise invalid_request(f"The header {name} stands in the request more than once; send it once.")
            text = f"{fields[name]}, {text}"
        fields[name] = text
    return fields


def check_size(headers: RawHeaders, target: bytes, max_bytes: int) -> None:
    """Raises FaultError (headers_too_large) when request line and headers take more than `max_bytes`."""
    size = len(target) + sum(len(name) + len(value) + 4 for name, value in headers)
    if size > max_bytes:
        raise FaultError(too_large(max_bytes))


def too_large(max_bytes: int) -> Fault:
    """The head is too long."""
    return Fault(
        kind=FaultKind.HEADERS_TOO_LARGE,
        source="client",
        message=f"The request's headers are longer than {max_bytes} bytes; send fewer or shorter ones.",
    )


def too_many(max_headers: int) -> Fault:
    """The head has too many lines."""
    return Fault(
        kind=FaultKind.HEADERS_TOO_LARGE,
        source="client",
        message=f"The request has more than {max_headers} headers; send fewer.",
    )


def target_too_long(max_bytes: int) -> Fault:
    """The request line is too long."""
    return Fault(
        kind=FaultKind.HEADERS_TOO_LARGE,
        source="client",
        message=f"The request's path and query are longer than {max_bytes} bytes; shorten them.",
    )
