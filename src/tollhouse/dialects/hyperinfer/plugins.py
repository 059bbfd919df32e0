"""HyperInfer's server tools, as requests of every format name them."""

from typing import Annotated, Final, Literal

import msgspec

from tollhouse.dialects.fields import MAX_TOOLS

PLUGIN_IDS: Final = "web_search, web_fetch, pdf, datetime or image"


class Plugin(msgspec.Struct, gc=False):
    """One server tool."""

    id: Literal["web_search", "web_fetch", "pdf", "datetime", "image"]
    events: bool | None = None


Plugins = Annotated[list[Plugin], msgspec.Meta(max_length=MAX_TOOLS)]
