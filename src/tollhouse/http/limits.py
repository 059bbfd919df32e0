"""Limits: what one connection and one request may cost before it is refused."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Caps and deadlines of the door. Sizes in bytes, durations in seconds.

    `header_deadline_s` counts from the accepted connection, or from the first byte of a later request. A body may
    take `body_deadline_s`, and longer only while it comes faster than `min_body_bytes_per_s`. `write_timeout_s` is
    how long a caller may leave us with unsent bytes and read nothing. `max_bodies_bytes` is for all calls together.
    `tick_s` is how often deadlines are looked at; none is overrun by it. `linger_s` is how long a refused caller who
    still sends is listened to, so that he can read the refusal.
    """

    header_deadline_s: float = 10.0
    body_deadline_s: float = 60.0
    min_body_bytes_per_s: int = 32 * 1024
    keep_alive_s: float = 75.0
    write_timeout_s: float = 60.0
    linger_s: float = 2.0
    tick_s: float = 0.5
    max_header_bytes: int = 64 * 1024
    max_headers: int = 100
    max_target_bytes: int = 8 * 1024
    max_body_bytes: int = 50 * 1000 * 1000
    max_bodies_bytes: int = 512 * 1000 * 1000
    max_connections: int = 10_000
    max_pipelined: int = 16
    write_buffer_bytes: int = 64 * 1024
