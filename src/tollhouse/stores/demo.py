"""The demo workspace of a fresh install: some credit, and a key that is kept so that a later run can show it again."""

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path

from tollhouse.accounts import keys
from tollhouse.accounts.store import NewKey
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.stores.database import make_folder
from tollhouse.stores.health import books_unavailable
from tollhouse.stores.store import Store

WORKSPACE = "demo"
KEY_FILE = "demo-key"
CREDIT_NANO_USD = 5_000_000_000
REFERENCE = "demo-credit"


async def ensure_demo(store: Store, data_dir: Path, key_prefix: str, now_ms: int) -> str | None:
    """The demo key while it works, None when it was disabled, revoked or removed, or was never made.

    It is made, with a workspace and 5 USD, when there is no workspace yet; a start that was cut off half-way is
    brought to its end. Raises FaultError (books_unavailable).
    """
    path = data_dir / KEY_FILE
    if not path.exists():
        if await store.workspaces():
            return None
        make_folder(data_dir)
        _keep(path, keys.new_key(secrets.token_bytes(keys.RANDOM_BYTES), key_prefix))
    key = _kept(path)
    if not keys.well_formed(key):
        return None
    known = [row for row in await store.keys(WORKSPACE) if row.hint == keys.hint(key)]
    if not known:
        await _establish(store, key, now_ms)
    return key if await store.principal(keys.digest(key)) else None


async def _establish(store: Store, key: str, now_ms: int) -> None:
    with _already_there():
        await store.create_workspace(WORKSPACE, now_ms)
    workspace = await store.workspace(WORKSPACE)
    if workspace is None:
        return
    await store.top_up(workspace.id, CREDIT_NANO_USD, REFERENCE, now_ms)
    with _already_there():
        await store.add_key(
            NewKey(
                id=f"key_{secrets.token_hex(8)}",
                workspace_id=workspace.id,
                name="demo",
                digest=keys.digest(key),
                hint=keys.hint(key),
                created_at_ms=now_ms,
                expires_at_ms=None,
            )
        )


@contextlib.contextmanager
def _already_there() -> Generator[None, None, None]:
    """Another process that starts at the same moment may have been first."""
    try:
        yield
    except FaultError as error:
        if error.fault.kind is not FaultKind.INVALID_REQUEST:
            raise


def _keep(path: Path, key: str) -> None:
    """Write the whole file or none, mode 0600, and leave one that another process wrote in the meantime."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(key + "\n")
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    except OSError as error:
        raise books_unavailable(f"{path} cannot be written ({error.strerror})") from error
    finally:
        draft.unlink(missing_ok=True)


def _kept(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise books_unavailable(f"{path} cannot be read ({error.strerror})") from error
