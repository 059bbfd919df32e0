"""YAML to nodes: lines, aliases within bounds, and hostile files."""

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.document import DocumentError, Listing, Mapping, Scalar, parse_document


def plain(node):
    match node:
        case Scalar():
            return None if node.is_null else node.text
        case Listing():
            return [plain(item) for item in node.items]
        case Mapping():
            return {entry.key: plain(entry.value) for entry in node.entries}


def refusal(text):
    with pytest.raises(DocumentError) as caught:
        parse_document(text, "f")
    return caught.value.problem


def test_scalars_stay_text_and_know_their_lines():
    node = parse_document("a: 0.10\nb:\n  - yes\n  - 1e3\n  - '~'\n  - ~\n", "f")
    assert plain(node) == {"a": "0.10", "b": ["yes", "1e3", "~", None]}
    assert [entry.line for entry in node.entries] == [1, 2]
    assert [item.line for item in node.entries[1].value.items] == [3, 4, 5, 6]


def test_anchors_and_aliases_share_a_value():
    assert plain(parse_document("a: &x {k: v}\nb: [*x, *x]\n", "f")) == {"a": {"k": "v"}, "b": [{"k": "v"}, {"k": "v"}]}


def test_an_empty_file_is_a_null():
    assert parse_document("", "f").is_null
    assert parse_document("# only a comment\n", "f").is_null


def test_duplicate_keys_are_refused_at_any_depth():
    problem = refusal("a:\n  - {k: 1}\n  - k: 1\n    k: 2\n")
    assert (problem.line, problem.message) == (4, "the key `k` stands here again; it was set in line 3")


def test_billion_laughs_is_bounded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    problem = refusal("\n".join(lines))
    assert problem.message == "the file holds more than 200000 values, aliases written out"
    assert problem.line <= 6


def test_deep_nesting_is_bounded_with_and_without_aliases():
    assert "nested more than 32 deep" in refusal("[" * 40 + "]" * 40).message
    assert "nested more than 32 deep" in refusal("- " * 50_000 + "a").message
    chain = ["a0: &a0 [[[[[[[[[[x]]]]]]]]]]"] + [f"a{n}: &a{n} [[[[[[[[[[*a{n - 1}]]]]]]]]]]" for n in range(1, 5)]
    assert "nested more than 32 deep" in refusal("\n".join(chain)).message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [*x]\n", "the alias *x stands inside what it names"),
        ("a: *x\n", "the alias *x names nothing above it"),
        ("a: !!python/name:os.system x\n", "tags such as tag:yaml.org,2002:python/name:os.system have no meaning"),
        ("? [a]\n: b\n", "a key has to be plain text"),
        ("a: b: c\n", "this is not valid YAML"),
        ("a: \x01\n", "this is not valid YAML"),
        ("x" * 8_000_001, "the file is larger than 8000000 characters"),
    ],
)
def test_what_is_refused(text, words):
    assert words in refusal(text).message


def test_the_slow_parser_reads_the_same(monkeypatch):
    text = "a: &x {k: [1, ~, 'q']}\nb: *x\n"
    fast = parse_document(text, "f")
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert parse_document(text, "f") == fast
    assert "not valid YAML" in refusal("a: [\n").message


trees = st.recursive(
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(trees)
def test_what_yaml_writes_is_read_back(tree):
    text = yaml.safe_dump(tree, default_style="'", width=10_000)
    assert plain(parse_document(text, "f")) == tree


@given(st.text(alphabet="ab:-[]{}&*!#'\"|>%@`,? \n\t~0", max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(DocumentError):
        parse_document(text, "f")
