"""End user: the name of the caller's own user, within the length that OpenAI's formats take."""

import hashlib

from tollhouse.wire.leftovers import Losses

# OpenAI answers 400 to a longer `user` (its error of November 2026); Claude Code names its user in 150 characters.
MAX_USER_CHARS = 64


def encode_user(user: str | None, losses: Losses) -> str | None:
    """The value of `user`: one that is too long goes as its SHA-256, which tells users apart just as well."""
    if user is None or len(user) <= MAX_USER_CHARS:
        return user
    losses.note("user", f"{losses.format_name} takes {MAX_USER_CHARS} characters; sent as its hash")
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
