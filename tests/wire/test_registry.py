"""The registry: every format that has a folder is listed, under its folder's name."""

from pathlib import Path

import tollhouse.wire
from tollhouse.wire.registry import CALLER_FORMATS, FORMATS, OPERATIONS


def test_every_folder_is_listed() -> None:
    home = Path(tollhouse.wire.__file__).parent
    folders = {path.name for path in home.iterdir() if (path / "__init__.py").exists()}
    assert set(OPERATIONS) == folders


def test_what_callers_speak_is_found_by_its_own_name() -> None:
    assert all(form.name == name and OPERATIONS[name] == form.operation for name, form in CALLER_FORMATS.items())
    assert {fmt.name for fmt in FORMATS} == {name for name, operation in OPERATIONS.items() if operation == "chat"}
