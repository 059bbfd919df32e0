"""The house rules that no linter keeps: sizes, imports inside functions, forbidden names, catch-alls."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "tollhouse"
FILES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
CATCH_ALLS_ALLOWED = ("server.py", "relay/", "stores/writer.py", "tools/run.py")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_keeps_the_house_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    problems: list[str] = []
    if len(text.splitlines()) > MAX_FILE_LINES:
        problems.append(f"{len(text.splitlines())} lines; split it by concept")
    if path.stem in FORBIDDEN_NAMES:
        problems.append(f"the name {path.stem} says nothing; name the concept")
    doc = ast.get_docstring(tree)
    if not doc or len(doc.splitlines()[0]) < 20:
        problems.append("no sentence at the top that says what it is")
    for function in _functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > MAX_FUNCTION_LINES:
            problems.append(f"{function.name} has {length} lines")
        problems += [
            f"{function.name} imports inside itself (line {node.lineno})"
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
    problems += [f"catches everything (line {line})" for line in _catch_alls(tree, _name(path))]
    assert not problems, f"{_name(path)}: {problems}"


def _catch_alls(tree: ast.AST, name: str) -> list[int]:
    if name.startswith(CATCH_ALLS_ALLOWED):
        return []
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]


def test_no_file_is_empty() -> None:
    assert [_name(path) for path in FILES if not path.read_text(encoding="utf-8").strip()] == []


def test_ignored_types_have_a_code_and_a_why() -> None:
    bare = [
        f"{_name(path)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ("# type: ignore" in line or "# pyright: ignore" in line)
        and not ("ignore[" in line and len(line.partition("ignore[")[2].partition("]")[2].strip(" #")) > 8)
    ]
    assert bare == []
