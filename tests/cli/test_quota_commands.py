"""Limits, plans, consumers, refunds and locks on the command line."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from support.books import assert_books_balance, with_store
from support.callers import HPP, HYPERINFER, ask, chat
from support.gateway import RunningGateway
from tollhouse.accounts import keys
from tollhouse.accounts.change import Change
from tollhouse.accounts.quotas import Plan
from tollhouse.cli import main
from tollhouse.stores.sqlite import SqliteStore


class Shell:
    """Runs commands on a data folder and tells what they printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
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
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOLLHOUSE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def shell(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    assert not data_dir.exists()
    return Shell(capsys)


@pytest.fixture
def key(shell: Shell) -> str:
    return shell.json("keys", "create", "--workspace", "acme", "--credit", "10")["id"]


def give_plans(data_dir: Path) -> None:
    """As a gateway does when it starts."""

    async def work(store: SqliteStore) -> None:
        plans = [Plan(name="free", period="month", tokens=1000), Plan(name="pro", period="month", tokens=5000)]
        await store.quotas.sync_plans(plans, Change(at_ms=1, actor="gateway"))

    with_store(data_dir, work)


@pytest.mark.row(52, 53)
def test_limits_are_set_shown_changed_and_taken_away(shell: Shell, key: str, data_dir: Path) -> None:
    assert "has no limit" in shell.ok("keys", "limit", key)
    shown = shell.json("keys", "limit", key, "--daily", "5", "--monthly", "50.25", "--total", "100")
    assert [(one["period"], one["limit"], one["used"], one["remaining"]) for one in shown["limits"]] == [
        ("daily", "5", "0", "5"),
        ("monthly", "50.25", "0", "50.25"),
        ("total", "100", "0", "100"),
    ]
    assert shown["limits"][0]["resets_at"].endswith("T00:00:00Z")
    assert shown["limits"][2]["resets_at"] is None
    table = shell.ok("keys", "limit", key, "--daily", "0.5", "--total", "none")
    assert "0.50 USD" in table
    assert "total" not in table
    assert [one["period"] for one in shell.json("keys", "limit", key)["limits"]] == ["daily", "monthly"]
    assert "none" in shell.refused("keys", "limit", key, "--daily", "much", code=2)
    assert "keys list" in shell.refused("keys", "limit", "key_none", "--daily", "1")
    assert_books_balance(data_dir)


@pytest.mark.row(53)
def test_a_reset_is_written_down(shell: Shell, key: str) -> None:
    shell.ok("keys", "limit", key, "--total", "3")
    assert shell.json("keys", "reset-limit", key, "total", "--note", "asked by Ada")["resets_by_hand"] == 1
    latest = shell.json("audit", "--key", key, "--last", "1")[0]
    assert (latest["action"], latest["note"], latest["detail"]["resets"]) == ("limit.reset", "asked by Ada", 1)
    assert latest["actor"].startswith("cli:")
    assert "asked by Ada" in shell.ok("audit")
    assert "no daily limit" in shell.refused("keys", "reset-limit", key, "daily")


@pytest.mark.row(51)
def test_models_are_allowed(shell: Shell, key: str) -> None:
    assert shell.json("keys", "list")[0]["allowed_models"] is None
    shell.ok("keys", "allow", key, "openai/gpt-5", "ollama/*")
    assert shell.json("keys", "list")[0]["allowed_models"] == ["openai/gpt-5", "ollama/*"]
    assert "--all" in shell.refused("keys", "allow", key, code=2)
    assert "every model" in shell.ok("keys", "allow", key, "--all")
    assert shell.json("keys", "list")[0]["allowed_models"] is None


def test_providers_are_wished_for(shell: Shell, key: str) -> None:
    assert "any provider" in shell.ok("keys", "providers", key)
    given = ("--only", "openai", "--only", "azure", "--ignore", "x", "--order", "azure", "--sort", "price")
    wishes = {
        "order": ["azure"],
        "only": ["openai", "azure"],
        "ignore": ["x"],
        "sort": "price",
        "max_price": {"prompt": 2.5},
    }
    shown = shell.json("keys", "providers", key, *given, "--max-prompt-price", "2.5", "--note", "asked by Ada")
    assert shown["providers"] == wishes
    assert shell.json("keys", "providers", key)["providers"] == shell.json("keys", "list")[0]["providers"] == wishes
    assert shell.json("audit", "--key", key, "--last", "1")[0]["note"] == "asked by Ada"
    # What is given stands in place of all that was there.
    assert shell.json("keys", "providers", key, "--only", "openai")["providers"] == {"only": ["openai"]}
    assert '"only":["openai"]' in shell.ok("keys", "providers", key)
    assert "--any" in shell.refused("keys", "providers", key, "--any", "--only", "openai", code=2)
    for price in ("-1", "nan", "inf", "much"):
        assert shell.run("keys", "providers", key, "--max-image-price", price)[0] == 2
    assert "any provider" in shell.ok("keys", "providers", key, "--any")
    assert shell.json("keys", "list")[0]["providers"] is None
    assert "no key" in shell.refused("keys", "providers", "nobody", "--any")


def test_plans(shell: Shell, key: str, data_dir: Path) -> None:
    assert "catalogue" in shell.ok("plans")
    give_plans(data_dir)
    assert [plan["name"] for plan in shell.json("plans")] == ["free", "pro"]
    assert "1000" in shell.ok("plans")
    on = shell.json("keys", "plan", key, "free")["plan"]
    assert (on["plan"], on["unit"], on["limit"], on["remaining"]) == ("free", "tokens", 1000, 1000)
    assert "5000 tokens" in shell.ok("workspaces", "plan", "acme", "pro")
    assert len(shell.json("keys", "limit", key)["limits"]) == 2
    assert shell.json("keys", "reset-plan", key, "--note", "a bug of ours")["resets_by_hand"] == 1
    assert "5000 tokens" in shell.ok("workspaces", "reset-plan", "acme")
    assert [row["note"] for row in shell.json("audit") if row["action"] == "limit.reset"] == ["", "a bug of ours"]
    assert "is on no plan" in shell.ok("workspaces", "plan", "acme", "none")
    assert "is on no plan" in shell.ok("keys", "plan", key, "none")
    assert "there is: free, pro" in shell.refused("keys", "plan", key, "gold")
    assert "no quota to reset" in shell.refused("keys", "reset-plan", key)
    assert "no quota to reset" in shell.refused("workspaces", "reset-plan", "acme")
    assert "gold" in shell.refused("keys", "create", "--workspace", "acme", "--plan", "gold")
    assert len(shell.json("keys", "list")) == 1


@pytest.mark.row(38, 39)
def test_consumers(shell: Shell, key: str, data_dir: Path) -> None:
    shown = shell.json("consumers", "show", key)
    assert (shown["quota_usd"], shown["remaining_usd"], shown["has_quota"]) == ("10", "10", True)
    named = shell.json("consumers", "set", key, "--username", "ada", "--custom-id", "crm-7", "--quota", "2")
    assert (named["username"], named["custom_id"], named["quota_usd"]) == ("ada", "crm-7", "2")
    assert shell.json("consumers", "set", key, "--quota", "3")["username"] == "ada"
    assert shell.json("consumers", "list", "--workspace", "acme")[0]["quota_usd"] == "3"
    assert "ada" in shell.ok("consumers", "list")
    assert "(ada, crm-7)" in shell.ok("consumers", "reset", key)
    assert shell.json("consumers", "set", key, "--quota", "none")["quota_usd"] == "10"
    assert "no quota of its own" in shell.refused("consumers", "reset", key)
    assert "404" in shell.ok("consumers", "remove", key)
    for verb in ("show", "reset", "remove"):
        assert "consumers set" in shell.refused("consumers", verb, key)
    other = shell.json("keys", "create", "--workspace", "acme", "--no-consumer")["id"]
    assert "no consumer" in shell.refused("consumers", "show", other)
    assert shell.json("consumers", "set", other, "--username", "bo")["username"] == "bo"
    assert_books_balance(data_dir)


def test_a_key_is_made_with_all_that_restricts_it(shell: Shell, data_dir: Path) -> None:
    shell.ok("workspaces", "create", "acme")
    give_plans(data_dir)
    options = ("--daily", "1", "--allow", "gpt-4", "--plan", "free", "--username", "ada", "--custom-id", "7")
    made = shell.json("keys", "create", "--workspace", "acme", *options)

    async def look(store: SqliteStore) -> None:
        principal = await store.principal(keys.digest(made["key"]))
        assert principal is not None
        assert principal.allowed_models == {"gpt-4"}
        assert [(limit.reason, limit.amount) for limit in principal.limits] == [
            ("plan_quota", 1000),
            ("key_limit", 10**9),
        ]

    with_store(data_dir, look)
    assert shell.json("consumers", "show", made["id"])["custom_id"] == "7"


@pytest.mark.row(54, 56)
def test_workspaces_are_locked_and_invoiced(shell: Shell, key: str) -> None:
    assert key
    assert shell.json("workspaces", "lock", "acme", "--note", "unpaid")["locked"]
    assert "is not locked" in shell.ok("workspaces", "unlock", "acme")
    assert shell.json("workspaces", "invoicing", "acme", "on")["invoicing"]
    assert shell.ok("workspaces", "list").splitlines()[1].split()[3:5] == ["no", "yes"]
    assert "pays from its balance" in shell.ok("workspaces", "invoicing", "acme", "off")
    assert "workspaces list" in shell.refused("workspaces", "lock", "nowhere")


@pytest.mark.fault(78)
def test_credit_is_refunded_once_and_never_more_than_there_is(shell: Shell, key: str, data_dir: Path) -> None:
    for _ in range(2):
        assert shell.json("credits", "refund", "acme", "4", "--reference", "r1")["balance_usd"] == "6"
    assert "6 USD is available" in shell.refused("credits", "refund", "acme", "6.01")
    assert "another refund" in shell.refused("credits", "refund", "acme", "1", "--reference", "r1")
    assert "Refunded 6.00 USD" in shell.ok("credits", "refund", "acme", "6")
    assert shell.json("consumers", "show", key)["quota_usd"] == "0"
    assert_books_balance(data_dir)


@pytest.mark.row(43)
def test_a_running_gateway_heeds_a_change_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quota, a lock, and the refund of credit that the gateway has leased."""
    gateway = RunningGateway(tmp_path)
    monkeypatch.setenv("TOLLHOUSE_DATA_DIR", str(tmp_path / "data"))
    shell = Shell(capsys)
    try:
        secret = gateway.key("acme", 5)
        key = shell.json("keys", "list", "--workspace", "acme")[0]["id"]
        model = "simulator/script/text=5/usage=10:5"
        assert chat(gateway, HYPERINFER, secret, model).status == 200

        def quota() -> float:
            return ask(gateway, "GET", "/api/quota-check", HPP.auth(secret)).json()["quota"]

        assert quota() == 5
        shell.ok("consumers", "set", key, "--quota", "3")
        changed_s = time.monotonic()
        gateway.eventually(lambda: quota() == 3, timeout_s=1.5)
        assert time.monotonic() - changed_s < 1.5
        left = shell.json("credits", "show", "acme")["balance_usd"]
        assert shell.json("credits", "refund", "acme", left)["balance_usd"] == "0"
        shell.ok("workspaces", "lock", "acme")
        gateway.eventually(lambda: chat(gateway, HYPERINFER, secret, model).status == 403, timeout_s=1.5)
    finally:
        gateway.stop()
