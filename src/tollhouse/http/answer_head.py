"""The head of an answer as bytes: status line, headers, framing."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tollhouse.relay.call import Headers


def render_head(status: int, *groups: Headers) -> bytes:
    """Status line and header lines with the closing empty line. Raises ValueError when a header holds a line break."""
    lines = [STATUS_LINE[status]]
    lines += [b"%b: %b\r\n" % field for headers in groups for field in headers]
    lines.append(b"\r\n")
    head = b"".join(lines)
    if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
        raise ValueError("a header of the answer holds a line break")
    return head
