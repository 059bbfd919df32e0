"""Loss: one thing that a target format cannot say."""

import msgspec


class Loss(msgspec.Struct, frozen=True):
    """`path` names the field of the internal value (`messages[2].parts[0].cache_control`), without its content;
    `why` is a short reason for people."""

    path: str
    why: str
