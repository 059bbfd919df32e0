"""The registry: every format that has a folder is listed, under its folder's name."""

from pathlib import Path

import tollhouse.wire
from tollhouse.wire.registry import FORMATS


def test_every_folder_is_listed() -> None:
    home = Path(tollhouse.wire.__file__).parent
    folders = {path.name for path in home.iterdir() if (path / "__init__.py").exists()}
    assert {fmt.name for fmt in FORMATS} == folders
    assert len(FORMATS) == len(folders)
