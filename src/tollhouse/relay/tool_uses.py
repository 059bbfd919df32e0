"""Tool uses: how often a provider has used its own tools, under the names by which a call asked for them."""

from collections.abc import Mapping, Sequence


def uses_by_name(asked: Sequence[str], told: Mapping[str, int]) -> dict[str, int]:
    """The uses of each tool that was `asked` for. An answer tells the kind of a tool (`web_search`), a request its
    version as well (`web_search_preview`), and one tool may do several things (`code_execution`:
    `bash_code_execution`); each use counts once."""
    uses = dict.fromkeys(asked, 0)
    for kind, times in told.items():
        name = next((one for one in asked if _is_of(kind, one)), None)
        if name is not None:
            uses[name] += times
    return uses


def _is_of(kind: str, name: str) -> bool:
    return kind == name or name.startswith(f"{kind}_") or kind.endswith(f"_{name}")
