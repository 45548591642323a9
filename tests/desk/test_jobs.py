"""Jobs: they exist exactly if their transaction commits, wait for their time, and are tried again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from desk import jobs
from desk.store import Store


async def waiting(store: Store) -> list[tuple[Any, ...]]:
    async with store.transaction() as db:
        result = await (await db.connection()).exec_driver_sql(
            "SELECT task_name, args, status, attempts FROM procrastinate_jobs ORDER BY id"
        )
        return [tuple(row) for row in result]


async def work(url: str, done: list[dict[str, Any]], *, failing: int = 0) -> None:
    """Let a worker do everything that is due now."""
    left = failing

    async def note(**facts: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            raise RuntimeError("not yet")
        done.append(facts)

    app = jobs.app(url)
    jobs.register(app, "note", note)
    async with app.open_async():
        await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)


async def test_a_job_of_a_transaction_that_failed_never_was(store: Store) -> None:
    with pytest.raises(RuntimeError):
        async with store.transaction() as db:
            await jobs.defer(db, "note", number=1)
            raise RuntimeError
    assert await waiting(store) == []


async def test_a_committed_job_is_done_once(store: Store, url: str) -> None:
    async with store.transaction() as db:
        await jobs.defer(db, "note", number=1)
        await jobs.defer(db, "note", number=2)
    assert await waiting(store) == [("note", {"number": 1}, "todo", 0), ("note", {"number": 2}, "todo", 0)]
    done: list[dict[str, Any]] = []
    await work(url, done)
    await work(url, done)
    assert done == [{"number": 1}, {"number": 2}]


async def test_a_job_waits_for_its_time(store: Store, url: str) -> None:
    async with store.transaction() as db:
        await jobs.defer(db, "note", at=datetime.now(UTC) + timedelta(hours=1), number=1)
    done: list[dict[str, Any]] = []
    await work(url, done)
    assert done == [] and (await waiting(store))[0][2] == "todo"


async def test_a_job_that_fails_stays_to_be_tried_again(store: Store, url: str) -> None:
    async with store.transaction() as db:
        await jobs.defer(db, "note", number=1)
    done: list[dict[str, Any]] = []
    await work(url, done, failing=1)
    assert done == [] and await waiting(store) == [("note", {"number": 1}, "todo", 1)]
