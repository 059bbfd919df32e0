"""The commands as people and programs use them, on a data folder of their own."""

import csv
import errno
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.books import assert_books_balance, hold, lines, new_id, record, settle, with_store
from tollhouse.accounts import keys
from tollhouse.cli import main
from tollhouse.stores.migrate import shipped
from tollhouse.stores.sqlite import SqliteStore


class Shell:
    """Runs commands in a folder and tells what they printed."""

    def __init__(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data_dir = data_dir
        self._capsys = capsys

    def run(self, *argv: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main(argv)
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def ok(self, *argv: str) -> str:
        code, out, err = self.run(*argv)
        assert (code, err) == (0, "")
        return out

    def json(self, *argv: str) -> Any:
        return json.loads(self.ok(*argv, "--json"))

    def refused(self, *argv: str, code: int = 1) -> str:
        got, out, err = self.run(*argv)
        assert (got, out) == (code, "")
        assert "Traceback" not in err
        return err


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("TOLLHOUSE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("TOLLHOUSE_CATALOG", raising=False)
    monkeypatch.delenv("TOLLHOUSE_CONFIG", raising=False)
    return Shell(tmp_path / "data", capsys)


@pytest.mark.row(49)
def test_a_key_is_printed_once_and_opens_its_workspace(shell: Shell) -> None:
    made = shell.json("keys", "create", "--workspace", "acme", "--name", "laptop", "--credit", "2.5")
    assert made["workspace"] == "acme"
    assert made["balance_usd"] == "2.5"
    assert made["expires_at"] is None
    assert keys.well_formed(made["key"])
    assert made["key"].startswith("th-")

    async def look(store: SqliteStore) -> None:
        principal = await store.principal(keys.digest(made["key"]))
        assert principal is not None
        assert principal.workspace == "acme"

    with_store(shell.data_dir, look)
    listed = shell.ok("keys", "list") + shell.ok("keys", "list", "--json")
    assert made["hint"] in listed
    assert made["key"] not in listed
    assert all(made["key"].encode() not in path.read_bytes() for path in shell.data_dir.iterdir())
    assert_books_balance(shell.data_dir)


def test_a_key_for_people(shell: Shell) -> None:
    out = shell.ok("keys", "create", "--workspace", "acme", "--expires", "30d")
    key = out.splitlines()[0]
    assert keys.well_formed(key)
    assert "valid until" in out
    assert "Workspace acme has 0.00 USD." in out
    table = shell.ok("keys", "list", "--workspace", "acme").splitlines()
    assert table[0].split() == ["ID", "KEY", "WORKSPACE", "NAME", "STATE", "EXPIRES"]
    assert keys.hint(key) in table[1]


def test_a_second_key_joins_the_workspace_that_is_there(shell: Shell) -> None:
    first = shell.json("keys", "create", "--workspace", "acme", "--credit", "1")
    second = shell.json("keys", "create", "--workspace", "acme", "--credit", "1")
    third = shell.json("keys", "create", "--workspace", first["workspace_id"])
    assert first["workspace_id"] == second["workspace_id"] == third["workspace_id"]
    assert third["balance_usd"] == "2"
    assert len(shell.json("keys", "list")) == 3
    assert len(shell.json("keys", "list", "--workspace", first["workspace_id"])) == 3
    shell.ok("workspaces", "create", "other")
    assert shell.json("keys", "list", "--workspace", "other") == []


def test_the_key_prefix_is_a_setting(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLHOUSE_KEY_PREFIX", "acme-")
    assert shell.json("keys", "create", "--workspace", "acme")["key"].startswith("acme-")


def test_keys_are_switched_off_on_and_off_for_good(shell: Shell) -> None:
    made = shell.json("keys", "create", "--workspace", "acme")
    assert shell.json("keys", "disable", made["id"])["state"] == "disabled"
    assert "is active" in shell.ok("keys", "enable", made["hint"])
    assert "is revoked" in shell.ok("keys", "revoke", made["id"])
    assert "revoked for good" in shell.refused("keys", "enable", made["id"])
    assert "keys list" in shell.refused("keys", "disable", "key_none")


@pytest.mark.parametrize("when", ["yesterday", "2020-01-01", "0d", "2027-13-01", "99999999d"])
def test_a_key_cannot_expire_in_the_past_or_in_words(shell: Shell, when: str) -> None:
    err = shell.refused("keys", "create", "--workspace", "acme", "--expires", when, code=2)
    assert "--expires" in err
    assert not shell.data_dir.exists()


def test_workspaces_are_made_and_listed(shell: Shell) -> None:
    made = shell.json("workspaces", "create", "acme")
    assert made["balance_usd"] == "0"
    assert made["locked"] is False
    shell.ok("workspaces", "create", "other one")
    assert "already" in shell.refused("workspaces", "create", "acme")
    assert [row["name"] for row in shell.json("workspaces", "list")] == ["acme", "other one"]
    assert "other one" in shell.ok("workspaces", "list")


def test_credit_is_added_once_per_reference(shell: Shell) -> None:
    shell.ok("workspaces", "create", "acme")
    for _ in range(2):
        added = shell.json("credits", "add", "acme", "0.000000001", "--reference", "invoice 7")
        assert added == {
            "workspace": "acme",
            "amount_usd": "0.000000001",
            "reference": "invoice 7",
            "balance_usd": "0.000000001",
        }
    assert "reference" in shell.refused("credits", "add", "acme", "5", "--reference", "invoice 7")
    shell.ok("credits", "add", "acme", "10")
    shell.ok("credits", "add", "acme", "10")
    assert shell.json("credits", "show", "acme")["balance_usd"] == "20.000000001"
    assert "20.000000001 USD" in shell.ok("credits", "show", "acme")
    assert_books_balance(shell.data_dir)


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "NaN", "0.0000000001", "five", "9999999999999999999", "1,5"])
def test_an_amount_that_is_none_is_a_usage_error(shell: Shell, amount: str) -> None:
    shell.ok("workspaces", "create", "acme")
    assert "usage:" in shell.refused("credits", "add", "acme", amount, code=2)
    assert shell.json("credits", "show", "acme")["balance_usd"] == "0"


def test_an_unknown_workspace_is_told_with_the_way_out(shell: Shell) -> None:
    shell.ok("workspaces", "create", "acme")
    for argv in (
        ("credits", "add", "acmee", "5"),
        ("credits", "show", "acmee"),
        ("usage", "--workspace", "acmee"),
        ("keys", "list", "--workspace", "acmee"),
    ):
        assert "tollhouse workspaces list" in shell.refused(*argv)


def test_a_data_folder_of_somebody_else_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.ok("workspaces", "create", "acme")

    def denied(_path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", denied)
    assert "cannot be read (Permission denied); run this as the gateway's user" in shell.refused("keys", "list")


def test_the_next_step_can_be_pasted(shell: Shell) -> None:
    assert "keys create --workspace 'two words' --credit" in shell.ok("workspaces", "create", "two words")
    assert "credits add 'two words' 5" in shell.ok("keys", "create", "--workspace", "two words")
    assert "credits add" not in shell.ok("keys", "create", "--workspace", "two words", "--credit", "5")


@pytest.mark.parametrize(
    "argv",
    [("keys", "list"), ("workspaces", "list"), ("credits", "show", "acme"), ("usage",), ("keys", "revoke", "key_1")],
)
def test_looking_makes_no_data_folder(shell: Shell, argv: tuple[str, ...]) -> None:
    assert "--data-dir" in shell.refused(*argv)
    assert not shell.data_dir.exists()


def fill(shell: Shell, *models: str) -> None:
    shell.ok("workspaces", "create", "acme")

    async def work(store: SqliteStore) -> None:
        workspace = await store.workspace("acme")
        assert workspace is not None
        for number, model in enumerate(models):
            request_id = new_id()
            await settle(
                store,
                hold(request_id, workspace.id),
                lines(1_500_000),
                record(
                    request_id, workspace_id=workspace.id, model=model, started_at_ms=1_700_000_000_000 + number * 10**8
                ),
            )

    with_store(shell.data_dir, work)


def test_usage_for_people_and_programs(shell: Shell) -> None:
    fill(shell, "b", "a", "a")
    assert shell.json("usage") == [
        {
            "model": model,
            "calls": calls,
            "failed_calls": 0,
            "prompt_tokens": 11 * calls,
            "cached_tokens": 3 * calls,
            "completion_tokens": 7 * calls,
            "reasoning_tokens": 2 * calls,
            "cost_usd": cost,
        }
        for model, calls, cost in (("a", 2, "0.003"), ("b", 1, "0.0015"))
    ]
    days = shell.json("usage", "--by", "day,workspace", "--since", "2023-11-15", "--until", "2023-11-16T12:00Z")
    assert [(row["day"], row["workspace"], row["calls"]) for row in days] == [("2023-11-16", "acme", 1)]
    assert shell.json("usage", "--since", "1d", "--workspace", "acme") == []
    table = shell.ok("usage", "--by", "model,provider").splitlines()
    assert table[0].split() == ["MODEL", "PROVIDER", "CALLS", "FAILED", "PROMPT", "CACHED", "COMPLETION", "COST", "USD"]
    assert table[1].split() == ["a", "openai", "2", "0", "22", "6", "14", "0.003"]
    assert shell.ok("usage", "--since", "1d") == "No calls.\n"
    assert "--by" in shell.refused("usage", "--by", "colour", code=2)
    assert "no time zone" in shell.refused("usage", "--tz", "Mars/Base", code=2)
    assert shell.json("usage", "--by", "month,hour", "--tz", "Europe/Berlin")
    assert "no moment" in shell.refused("usage", "--since", "soon", code=2)


@pytest.mark.fault(65)
def test_csv_cells_are_never_formulas(shell: Shell) -> None:
    evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", '=HYPERLINK("x";"y")', "a,b\n=1", "fine"]
    fill(shell, *evil)
    rows = list(csv.DictReader(io.StringIO(shell.ok("usage", "--csv", "--by", "model"))))
    cells = {row["model"] for row in rows}
    assert {cell.removeprefix("'") for cell in cells} == set(evil)
    assert all(cell.lstrip()[0] not in "=+-@" for cell in cells)
    assert "fine" in cells
    assert {row["cost_usd"] for row in rows} == {"0.0015"}


def test_a_table_obeys_no_control_character(shell: Shell) -> None:
    fill(shell, "a\x1b[31m\r\nb")
    out = shell.ok("usage")
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2


def test_migrate_tells_what_it_did(shell: Shell) -> None:
    assert shell.json("migrate") == {
        "version": shipped()[-1].version,
        "applied": [migration.name for migration in shipped()],
    }
    assert shell.json("migrate") == {"version": shipped()[-1].version, "applied": []}
    assert "Nothing to do" in shell.ok("migrate")


def test_models_are_listed_with_their_prices(shell: Shell, catalogue: Callable[[str], Path]) -> None:
    path = catalogue(GOOD)
    assert shell.json("models", "--catalog", str(path)) == [
        {
            "slug": "lab/mini",
            "name": "Mini",
            "aliases": ["mini"],
            "operations": ["chat"],
            "context_length": 8192,
            "max_output_tokens": 1024,
            "prompt_usd_per_million": "0.0375",
            "completion_usd_per_million": "3",
            "usd_per_picture": None,
            "free": False,
            "deployments": ["lab:mini-1"],
        }
    ]
    line = shell.ok("models", "--catalog", str(path)).splitlines()[1]
    assert line.split() == ["lab/mini", "Mini", "chat", "8192", "0.0375", "3", "-", "lab"]
    shipped_models = {one["slug"]: one for one in shell.json("models")}
    image = shipped_models["openai/gpt-image-1"]
    assert (image["operations"], image["completion_usd_per_million"]) == (["images"], "40")
    # The dearest: of a size that has no price of its own.
    assert shipped_models["simulator/diffusion"]["usd_per_picture"] == "0.04"


def test_check_finds_nothing_wrong_with_what_is_shipped(shell: Shell) -> None:
    assert shell.json("check")["ok"] is True
    assert "are fine" in shell.ok("check")


def test_check_names_file_line_and_the_right_spelling(shell: Shell, catalogue: Callable[[str], Path]) -> None:
    path = catalogue(GOOD.replace("context_length", "context_lenght"))
    err = shell.refused("check", "--catalog", str(path))
    assert f"{path}:11" in err
    assert "context_length" in err
    code, out, _ = shell.run("check", "--catalog", str(path), "--json")
    assert code == 1
    problems = json.loads(out)["problems"]
    assert json.loads(out)["ok"] is False
    assert (problems[0]["file"], problems[0]["line"]) == (str(path), 11)
    assert f"\n{path}:11: " in shell.refused("models", "--catalog", str(path))


def test_what_models_wait_for_is_told_by_provider(
    shell: Shell, catalogue: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAB_KEY", raising=False)
    path = str(catalogue(GOOD.replace("api_key: plain-for-the-test", "api_key: ${LAB_KEY}")))
    for command in ("models", "check"):
        told = shell.ok(command, "--catalog", path).splitlines()[-1]
        assert told.split() == ["lab", "1", "LAB_KEY", "is", "not", "set"]


def test_wildcards_are_told_below_the_list(shell: Shell, catalogue: Callable[[str], Path]) -> None:
    wildcard = "  - {slug: any/*, free: true, deployments: [{provider: lab, model: '*'}]}\n"
    assert "can be called, too: any/*" in shell.ok("models", "--catalog", str(catalogue(GOOD + wildcard)))
    assert "too:" not in shell.ok("models", "--catalog", str(catalogue(GOOD)))


def test_check_names_a_setting_that_does_not_exist(shell: Shell, tmp_path: Path) -> None:
    config = tmp_path / "tollhouse.yaml"
    config.write_text("prot: 8080\n")
    assert "`port`" in shell.refused("check", "--config", str(config))
    code, out, _ = shell.run("check", "--config", str(config), "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)
    assert "`port`" in shell.refused("keys", "list", "--config", str(config))
    assert "--config" in shell.refused("serve", "--config", str(tmp_path / "none.yaml"))


def test_version_and_help(shell: Shell) -> None:
    assert shell.ok("--version").startswith("tollhouse ")
    everything = shell.ok("--help")
    for command in ("serve", "check", "simulate", "keys", "workspaces", "credits", "models", "usage", "migrate"):
        assert command in everything
        assert "usage:" in shell.ok(command, "--help")


@pytest.mark.parametrize(
    "argv",
    [(), ("keys",), ("nonsense",), ("keys", "create"), ("simulate", "--port", "99999"), ("usage", "--json", "--csv")],
)
def test_a_wrong_command_line_is_exit_code_2(shell: Shell, argv: tuple[str, ...]) -> None:
    assert "usage:" in shell.refused(*argv, code=2)


def test_a_damaged_database_is_told_in_words(shell: Shell) -> None:
    shell.data_dir.mkdir()
    (shell.data_dir / "tollhouse.db").write_bytes(b"not a database " * 500)
    for argv in (("keys", "list"), ("serve", "--port", "0"), ("migrate",)):
        assert "The books cannot be used: the database file is not a database" in shell.refused(*argv)


GOOD = """\
creators: [{slug: lab, name: Lab}]
providers:
  - id: lab
    format: openai_chat
    base_url: https://lab.invalid/v1
    api_key: plain-for-the-test
models:
  - slug: lab/mini
    name: Mini
    creator: lab
    context_length: 8192
    max_output_tokens: 1024
    aliases: [mini]
    pricing: {prompt: "0.0375", completion: "3"}
    deployments:
      - {provider: lab, model: mini-1}
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "providers.yaml"
        path.write_text(text)
        return path

    return write
