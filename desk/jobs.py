"""Jobs and timers: procrastinate on the same PostgreSQL, deferred inside the caller's transaction."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import procrastinate
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.store import plain_url, raw_connection

STALLED: Final = 8.0  # seconds without a sign of life until a worker counts as dead
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


async def retry_orphans(jobs: procrastinate.App) -> None:
    """Start jobs again whose worker died in the middle of them."""
    for job in await jobs.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED):
        await jobs.job_manager.retry_job(job)


async def work(jobs: procrastinate.App) -> None:
    """Do jobs until cancelled; a job under way then gets a moment to finish."""
    await jobs.run_worker_async(
        install_signal_handlers=False,
        shutdown_graceful_timeout=5,
        delete_jobs="successful",
        # a job due in two seconds rings no bell when its time comes
        fetch_job_polling_interval=1,
        update_heartbeat_interval=STALLED / 4,
        stalled_worker_timeout=STALLED,
    )


def register(
    jobs: procrastinate.App,
    name: str,
    work: Callable[..., Awaitable[None]],
    *,
    cron: str | None = None,
) -> None:
    """Make `work` the task `name`, retried with growing pauses for about four hours; with `cron` it recurs once per
    tick across all workers."""
    retry = procrastinate.RetryStrategy(max_attempts=13, exponential_wait=2)
    task = jobs.task(name=name, retry=retry)(work)
    if cron:
        jobs.periodic(cron=cron)(task)
