"""Jobs and timers: procrastinate on the same PostgreSQL, deferred inside the caller's transaction."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import procrastinate
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.store import plain_url, raw_connection

# only names tasks when deferring; a worker's app is opened on a real connection
_names = procrastinate.App(connector=procrastinate.PsycopgConnector())


async def defer(db: AsyncSession, task: str, *, at: datetime | None = None, **facts: Any) -> None:
    """Put a job into the caller's transaction: it exists exactly if that commits. `at` = not before."""
    connection = await raw_connection(db)
    await db.flush()
    await _names.configure_task(task, connection=connection, schedule_at=at).defer_async(**facts)


def app(url: str) -> procrastinate.App:
    """A job application on this database, without tasks yet."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=plain_url(url), min_size=1, max_size=4))


def register(
    jobs: procrastinate.App,
    name: str,
    work: Callable[..., Awaitable[None]],
    *,
    cron: str | None = None,
) -> None:
    """Make `work` the task `name`, retried up to five times with growing pauses; with `cron` it recurs once per tick
    across all workers."""
    retry = procrastinate.RetryStrategy(max_attempts=5, exponential_wait=3)
    task = jobs.task(name=name, retry=retry)(work)
    if cron:
        jobs.periodic(cron=cron)(task)
