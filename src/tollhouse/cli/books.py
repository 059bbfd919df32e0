"""Access to the books that the settings name, for one command, whether a gateway is running on them or not."""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from tollhouse.accounts.store import Workspace
from tollhouse.ir.fault import invalid_request
from tollhouse.server import open_store
from tollhouse.settings import Settings, load_settings
from tollhouse.stores.store import Store

T = TypeVar("T")


class Options(Protocol):
    """Where an option is added: a parser, or a group of options that exclude each other."""

    def add_argument(self, name: str, /, *, action: str, help: str) -> argparse.Action:  # noqa: A002 -- argparse's word
        """An option `name`."""
        ...


FLAGS = ("data_dir", "catalog", "host", "port", "workers")


def add_folder_options(parser: argparse.ArgumentParser) -> None:
    """Where the settings and the data folder are."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOLLHOUSE_CONFIG)")
    parser.add_argument("--data-dir", metavar="DIR", help="data folder (TOLLHOUSE_DATA_DIR; default: data)")


def add_json_option(parser: Options) -> None:
    """JSON instead of text."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the flags, the environment and the file make. Raises SettingsError."""
    given = {name: getattr(args, name, None) for name in FLAGS}
    overrides = {name: str(value) for name, value in given.items() if value is not None}
    return load_settings(args.config, overrides, os.environ)


def with_books(args: argparse.Namespace, work: Callable[[Store], Awaitable[T]], *, create: bool = False) -> T:
    """Open the books, run `work`, close them. A missing folder is made only by `create`.

    Raises FaultError and SettingsError.
    """
    settings = settings_of(args)

    async def run() -> T:
        store = await open_store(settings, create=create)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def found_workspace(store: Store, name: str) -> Workspace:
    """By name or id. Raises FaultError (invalid_request) when there is none."""
    workspace = await store.workspace(name)
    if workspace is None:
        raise invalid_request(
            f"There is no workspace {name!r}. `tollhouse workspaces list` shows them, "
            "`tollhouse workspaces create` makes one."
        )
    return workspace


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
