"""Runs client programs of others, unmodified, against a gateway, and prints how each did at each upstream format."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from clients.installing import ROOT, install_npm, install_python
from clients.libraries import NODE_PROGRAMS, PYTHON_PROGRAMS, run_library
from clients.outcome import UPSTREAMS, Outcome
from clients.stage import Stage, set_stage
from clients.tasks import programs, run_agent

_PAGE = ROOT / "docs" / "clients.md"
_MARK = "<!-- the rest is written by `python -m clients --write` -->\n"


def main() -> int:
    """The exit code: 0 when every scenario went well, 1 otherwise."""
    agents = programs()
    names = [*NODE_PROGRAMS, *PYTHON_PROGRAMS, *agents]
    options = argparse.ArgumentParser(prog="python -m clients", description=__doc__)
    options.add_argument("--only", nargs="+", choices=names, metavar="PROGRAM", help=f"of: {', '.join(names)}")
    options.add_argument(
        "--upstream", nargs="+", choices=UPSTREAMS, default=list(UPSTREAMS), help="the upstream formats"
    )
    options.add_argument("--write", action="store_true", help=f"write a summary into {_PAGE.relative_to(ROOT)}")
    chosen = options.parse_args()
    install_npm()
    install_python()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="clients-") as scratch, set_stage(Path(scratch)) as stage:
        for name in chosen.only or names:
            started_s = time.monotonic()
            outcomes += _run(name, chosen.upstream, stage, Path(scratch))
            print(f"clients: {name}: {time.monotonic() - started_s:.0f} s", file=sys.stderr, flush=True)
    failed = [one for one in outcomes if one.failure is not None]
    print(render(outcomes, chosen.upstream))
    for one in failed:
        print(f"FAILED {one.client}, upstream {one.upstream}, {one.scenario}: {one.failure}")
    if chosen.write:
        page = _PAGE.read_text()
        _PAGE.write_text(page[: page.index(_MARK) + len(_MARK)] + "\n" + summarise(outcomes, chosen.upstream))
    print(f"clients: {len(outcomes) - len(failed)} of {len(outcomes)} went well")
    return 1 if failed else 0


def _run(name: str, upstreams: Sequence[str], stage: Stage, scratch: Path) -> list[Outcome]:
    agent = programs().get(name)
    if agent is None:
        return run_library(name, upstreams, stage, scratch)
    return run_agent(agent, upstreams, stage, scratch)


def render(outcomes: Sequence[Outcome], upstreams: Sequence[str]) -> str:
    """A table in Markdown: a line for each client and scenario, a column for each upstream."""
    cells = {(one.client, one.scenario, one.upstream): one.failure for one in outcomes}
    lines = [f"| client | scenario | {' | '.join(upstreams)} |", "|---" * (2 + len(upstreams)) + "|"]
    for client, scenario in dict.fromkeys((one.client, one.scenario) for one in outcomes):
        row = [_cell(cells, (client, scenario, upstream)) for upstream in upstreams]
        lines.append(f"| {client} | {scenario} | {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def summarise(outcomes: Sequence[Outcome], upstreams: Sequence[str]) -> str:
    """The same in short: a line for each client, with its scenarios."""
    lines = [f"| client | scenarios | {' | '.join(upstreams)} |", "|---" * (2 + len(upstreams)) + "|"]
    for client in dict.fromkeys(one.client for one in outcomes):
        own = [one for one in outcomes if one.client == client]
        row = [_went([one for one in own if one.upstream == upstream]) for upstream in upstreams]
        scenarios = ", ".join(dict.fromkeys(one.scenario for one in own))
        lines.append(f"| {client} | {scenarios} | {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _went(outcomes: Sequence[Outcome]) -> str:
    failed = [one.scenario for one in outcomes if one.failure is not None]
    return f"failed: {', '.join(failed)}" if failed else f"{len(outcomes)} ok" if outcomes else "–"


def _cell(cells: dict[tuple[str, str, str], str | None], key: tuple[str, str, str]) -> str:
    if key not in cells:
        return "–"
    return "ok" if cells[key] is None else "failed"


if __name__ == "__main__":
    sys.exit(main())
