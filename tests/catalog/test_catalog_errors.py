"""Golden errors: a bad catalogue, and the very words that its author reads."""

from pathlib import Path

import pytest

from support.bad_catalogues import GOLDEN, provider
from tollhouse.catalog.load import load_catalog
from tollhouse.catalog.problems import CatalogError, did_you_mean, nearest, render_problems
from tollhouse.wire.registry import OPERATIONS

FORMATS = OPERATIONS
ENVIRON = {"BROKEN_KEY": "sekret\nsekret", "BAD_URL": "localhost:11434"}


def problems_of(text: str, folder: Path, environ: dict[str, str] | None = None) -> list[str]:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(path, ENVIRON if environ is None else environ, FORMATS, "http://127.0.0.1:9")
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


@pytest.mark.parametrize(("text", "expected"), [case for case in GOLDEN if case[1] is not None])
def test_the_author_reads_exactly_this(text, expected, tmp_path):
    assert problems_of(text, tmp_path) == expected


@pytest.mark.parametrize("text", [text for text, _ in GOLDEN])
def test_every_problem_names_file_and_line_and_no_secret(text, tmp_path):
    for line in problems_of(text, tmp_path):
        assert int(line.split(":")[0]) >= 1
        assert "hunter2" not in line
        assert "sekret" not in line


def test_all_problems_are_told_at_once(tmp_path):
    text = provider("timouts: {}", base_url="ftp://x") + "    featurs: []\n    context_length: x\n"
    assert len(problems_of(text, tmp_path)) == 4


def test_render_counts_the_problems(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("models: 5\nmodles: 6\n", encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(path, {}, FORMATS)
    lines = render_problems(caught.value.problems).splitlines()
    assert len(lines) == 3
    assert lines[-1] == "2 problems in the catalogue."
    assert str(caught.value) == "\n".join(lines)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path):
    with pytest.raises(CatalogError, match=r"the file cannot be read \(No such file.*check --catalog"):
        load_catalog(tmp_path / "missing.yaml", {}, FORMATS)
    with pytest.raises(CatalogError, match="the file cannot be read"):
        load_catalog(tmp_path, {}, FORMATS)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(CatalogError, match="the file is not UTF-8 text"):
        load_catalog(tmp_path / "latin.yaml", {}, FORMATS)


def test_nearest_ignores_case_and_far_words():
    assert nearest("Deploymnets", ["deployments", "description"]) == "deployments"
    assert nearest("xyz", ["deployments"]) is None
    assert did_you_mean("xyz", []) == ""
    assert did_you_mean("zz", [f"word{n}" for n in range(9)]) == ""
