"""Claims per second beside the least that could be done: a raw SKIP LOCKED loop, in the same run on the same server.

The raw loop only takes the oldest row and marks it. A claim also ranks the whole line from the archive, counts the
agent's capacity, hands over the conversation, stores why, and writes the event.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import migrations
from desk import claims, postgres
from desk.policy import Queue
from desk.store import Store, plain_url

HANDS: Final = (1, 4, 8)  # connections at once
LINES: Final = (100, 1000)  # customers who wait
ROUNDS: Final = 3
TAKEN: Final = 100  # claims in a round; the line is filled up again before the next
RACED: Final = 10_000
AT: Final = datetime(2026, 3, 2, 1, tzinfo=UTC)
_PEOPLE: Final = """
    INSERT INTO staff (name, role, created_at) SELECT 'Agent ' || n, 'agent', %(at)s FROM generate_series(1, 8) n;
    INSERT INTO seat (staff_id, status, capacity, heartbeat_at, changed_at)
      SELECT id, 'online', 30000, %(at)s, %(at)s FROM staff;
    INSERT INTO customer (name, created_at) VALUES ('Holder', %(at)s);
    INSERT INTO account (no, customer_id, name, tier, important, updated_at)
      SELECT (3300000000000 + n)::text, 1, 'Account ' || n, (ARRAY['A','B','C','D'])[1 + n %% 4], n %% 10 = 0, %(at)s
      FROM generate_series(1, 1000) n;
    INSERT INTO contact (name, created_at) SELECT 'Visitor ' || n, %(at)s FROM generate_series(1, 1000) n;
    INSERT INTO address (contact_id, channel, external_id, created_at) SELECT id, 'web', id::text, %(at)s FROM contact;
    INSERT INTO conversation (address_id, contact_id, language, handler, created_at)
      SELECT id, contact_id, 'zh_CN', 'queue', %(at)s FROM address;
    CREATE TABLE raw_queue (id bigint PRIMARY KEY, joined_at timestamptz NOT NULL, status text NOT NULL, agent bigint);
    CREATE INDEX ON raw_queue (joined_at) WHERE status = 'waiting'
"""
_LINE_UP: Final = (
    "DELETE FROM queue_entry", "UPDATE conversation SET handler = 'queue', agent_id = NULL WHERE handler <> 'queue'",
    "UPDATE seat SET load = 0", "DELETE FROM raw_queue",
    "INSERT INTO queue_entry (conversation_id, account_id, language, reason, rank, joined_at)"
    " SELECT n, n, 'zh_CN', 'button', 5, %(at)s - n * interval '1 second' FROM generate_series(1, %(line)s) n",
    "INSERT INTO raw_queue SELECT n, %(at)s - n * interval '1 second', 'waiting' FROM generate_series(1, %(line)s) n",
    "ANALYZE queue_entry", "ANALYZE raw_queue",
)  # fmt: skip
_RAW: Final = "SELECT id FROM raw_queue WHERE status = 'waiting' ORDER BY joined_at LIMIT 1 FOR UPDATE SKIP LOCKED"
_RAW_TAKEN: Final = "UPDATE raw_queue SET status = 'claimed', agent = %s WHERE id = %s"


async def measure(advance: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Claims per second (medians), and how many of the raced claims had two owners."""
    with tempfile.TemporaryDirectory(prefix="gl-") as name:
        Path(name).chmod(0o755)  # the server of root runs as another user
        with postgres.embedded(Path(name)) as url:
            migrations.upgrade(url)
            store = Store(url, pool_size=max(HANDS))
            async with await psycopg.AsyncConnection.connect(plain_url(url), autocommit=True) as db:
                for statement in _PEOPLE.split(";"):
                    await db.execute(statement, {"at": AT})
                speeds = [await _speed(db, url, store, hands, line, advance) for line in LINES for hands in HANDS]
                doubles = await _race(db, store, advance)
            await store.close()
    return {"speeds": speeds, "raced": RACED, "double_claims": doubles}


async def _speed(
    db: Any, url: str, store: Store, hands: int, line: int, advance: Callable[[], None]
) -> dict[str, Any]:  # fmt: skip
    found: dict[str, list[float]] = {"claims": [], "raw": []}
    raws = [await psycopg.AsyncConnection.connect(plain_url(url)) for _ in range(hands)]
    for _ in range(ROUNDS):
        await _line_up(db, line)
        for name, work in (("raw", _raw_hand), ("claims", _hand)):
            left = iter(range(TAKEN))
            began = time.perf_counter()
            sources: Sequence[Any] = raws if work is _raw_hand else [store] * hands
            await asyncio.gather(*(work(source, agent, left) for agent, source in enumerate(sources, 1)))
            found[name].append(TAKEN / (time.perf_counter() - began))
        advance()
    for each in raws:
        await each.close()
    medians = {name: round(statistics.median(speeds), 1) for name, speeds in found.items()}
    return {"waiting": line, "connections": hands, **medians}


async def _line_up(db: Any, line: int) -> None:
    for statement in _LINE_UP:
        await db.execute(statement, {"at": AT, "line": line} if "%(" in statement else None)


async def _raw_hand(connection: Any, agent: int, left: Any) -> None:
    for _ in left:
        async with connection.transaction():
            [number] = await (await connection.execute(_RAW)).fetchone()
            await connection.execute(_RAW_TAKEN, (agent, number))


async def _hand(store: Store, agent: int, left: Any, got: list[int] | None = None) -> None:
    for _ in left:
        async with store.transaction() as db:
            taken = await claims.claim_next(db, Queue(), agent, by="bench", at=AT)
        if taken is not None and got is not None:
            got.append(taken.entry.id or 0)


async def _race(db: Any, store: Store, advance: Callable[[], None]) -> int:
    """All hands on the same lines until 10,000 customers have been taken."""
    got: list[int] = []
    for _ in range(RACED // max(LINES)):
        await _line_up(db, max(LINES))
        left = iter(range(max(LINES)))
        work: list[Awaitable[None]] = [_hand(store, agent, left, got) for agent in range(1, max(HANDS) + 1)]
        await asyncio.gather(*work)
        advance()
    assert len(got) == RACED, f"{RACED - len(got)} customers were lost"
    return len(got) - len(set(got))


def run(console: Console) -> dict[str, Any]:
    """Measure with a progress bar."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("claims", total=len(HANDS) * len(LINES) * ROUNDS + RACED // max(LINES))
        return asyncio.run(measure(lambda: progress.advance(task)))


def show(found: dict[str, Any], console: Console) -> None:
    """The figures as a table."""
    table = Table(title="claims per second, medians", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for heading in ("waiting", "connections", "claim_next", "raw SKIP LOCKED"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found["speeds"]:
        cells = (str(row["waiting"]), str(row["connections"]), f"{row['claims']:.0f}", f"{row['raw']:.0f}")
        table.add_row(*cells)
    console.print(table)
    console.print(f"{found['double_claims']} double claims among {found['raced']:,} raced by {max(HANDS)} connections.")


if __name__ == "__main__":
    show(run(Console(stderr=True)), Console())
