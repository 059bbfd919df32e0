"""Every dialect is wired: a folder that the composition root does not name would be dead code."""

from pathlib import Path

import tollhouse.server
from tollhouse import dialects


def test_every_dialect_is_named_by_the_composition_root() -> None:
    folders = sorted(path.parent.name for path in Path(dialects.__path__[0]).glob("*/surface.py"))
    source = Path(tollhouse.server.__file__).read_text(encoding="utf-8")
    assert folders == ["hpp_router", "hyperinfer", "voltagegpu"]
    assert all(f"from tollhouse.dialects.{folder}.surface import " in source for folder in folders)
