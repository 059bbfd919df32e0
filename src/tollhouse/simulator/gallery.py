"""Gallery: pictures that hang in the simulator under a path, for answers that hold an address instead of the file."""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from tollhouse.simulator.jpeg import jpeg
from tollhouse.simulator.picture import Wish, draw
from tollhouse.simulator.png import png

PATH: Final = "/_simulator/pictures/"
_MOST: Final = 4096


class Print(msgspec.Struct, frozen=True, kw_only=True):
    """One picture as a file of format `png` or `jpeg`."""

    wish: Wish
    file_format: str
    transparent: bool = False

    def file(self) -> bytes:
        """The bytes of the file."""
        picture = draw(self.wish)
        return jpeg(picture) if self.file_format == "jpeg" else png(picture, transparent=self.transparent)


class Gallery:
    """The wishes behind the last addresses; a picture is drawn when somebody comes to see it."""

    def __init__(self) -> None:
        self._hanging: OrderedDict[str, Print] = OrderedDict()

    def hang(self, each: Print) -> str:
        """The path of the picture."""
        path = f"{PATH}{hashlib.sha256(msgspec.json.encode(each)).hexdigest()[:32]}.{each.file_format}"
        self._hanging[path] = each
        if len(self._hanging) > _MOST:
            self._hanging.popitem(last=False)
        return path

    def at(self, path: str) -> Print | None:
        """The picture under `path`, None where none hangs."""
        return self._hanging.get(path)
