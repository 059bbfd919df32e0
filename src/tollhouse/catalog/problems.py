"""Problem and CatalogError: what is wrong in a catalogue, where it stands, and what was probably meant."""

import difflib
from collections.abc import Iterable

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One mistake. `path` is the key path for people: `models[3] (openai/gpt-5).deployments[0]`; empty for the whole
    file. `line` counts from 1."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: "
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class CatalogError(Exception):
    """The catalogue cannot be used; `problems` holds every mistake that was found, by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line)))
        super().__init__(render_problems(self.problems))


def render_problems(problems: Iterable[Problem]) -> str:
    """The mistakes for people, one a line, without colours, with a closing line that counts them."""
    lines = [str(problem) for problem in problems]
    count = len(lines)
    lines.append(f"{count} problem{'' if count == 1 else 's'} in the catalogue.")
    return "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, None when none is close."""
    folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for the end of a message; all the choices when none is close and they are few."""
    choices = sorted(set(known))
    match = nearest(word, choices)
    if match is not None:
        return f"; did you mean `{match}`?"
    if 0 < len(choices) <= 8:
        return "; it is one of " + ", ".join(f"`{name}`" for name in choices)
    return ""
