"""Transactions and wake-ups on a real PostgreSQL."""

import asyncio

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import select

from desk.conversations import Contact
from desk.errors import DatabaseDown
from desk.store import Bell, Store, notify, plain_url, sqlalchemy_url
from tests.conftest import MONDAY, free_port


async def names(store: Store) -> list[str]:
    async with store.transaction() as db:
        return [contact.name for contact in (await db.exec(select(Contact))).all()]


async def test_a_transaction_that_ends_well_is_committed(store: Store) -> None:
    async with store.transaction() as db:
        db.add(Contact(name="Li", created_at=MONDAY))
    assert await names(store) == ["Li"]


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, KeyboardInterrupt])
async def test_anything_else_is_rolled_back(store: Store, error: type[BaseException]) -> None:
    with pytest.raises(error):
        async with store.transaction() as db:
            db.add(Contact(name="Li", created_at=MONDAY))
            await db.flush()
            raise error
    assert await names(store) == []


async def test_what_was_read_stays_readable_after_the_commit(store: Store) -> None:
    async with store.transaction() as db:
        contact = Contact(name="Li", created_at=MONDAY)
        db.add(contact)
    assert contact.name == "Li" and contact.id is not None


async def test_a_wrong_statement_is_not_taken_for_a_lost_database(store: Store) -> None:
    with pytest.raises(IntegrityError):
        async with store.transaction() as db:
            await db.execute(text("INSERT INTO delivery (line_id) VALUES (1) -- connect"))
    with pytest.raises(DBAPIError, match="lock timeout"):
        async with store.transaction() as holder, store.transaction() as db:
            await holder.execute(text("SELECT pg_advisory_xact_lock(1)"))
            await db.execute(text("SET LOCAL lock_timeout = '10ms'"))
            await db.execute(text("SELECT pg_advisory_xact_lock(1) /* connect */"))


async def test_a_server_that_is_not_there_is_said_to_be_down() -> None:
    store = Store(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    with pytest.raises(DatabaseDown):
        async with store.transaction() as db:
            await db.execute(text("SELECT 1"))
    with pytest.raises(DatabaseDown):
        await store.ping()
    await store.close()


async def test_a_connection_cut_in_the_middle_is_a_lost_database_and_the_next_one_works(store: Store) -> None:
    with pytest.raises(DatabaseDown):
        async with store.transaction() as db:
            me = (await db.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            async with store.transaction() as other:
                await other.execute(text("SELECT pg_terminate_backend(:me)"), {"me": me})
            db.add(Contact(name="Li", created_at=MONDAY))
    assert await names(store) == []
    await store.ping()


async def test_a_pool_that_stays_empty_is_a_lost_database(url: str) -> None:
    store = Store(url, pool_size=1)
    store.engine.pool._timeout = 0.05  # type: ignore[attr-defined]
    async with store.transaction() as db:
        await db.execute(text("SELECT 1"))
        with pytest.raises(DatabaseDown):
            async with store.transaction() as waiting:
                await waiting.execute(text("SELECT 1"))
    await store.ping()
    await store.close()


@pytest.mark.parametrize("prefix", ["postgresql://", "postgres://", "postgresql+psycopg://"])
def test_any_spelling_of_the_address_is_understood(prefix: str) -> None:
    assert sqlalchemy_url(f"{prefix}u@h/d") == "postgresql+psycopg://u@h/d"
    assert plain_url(f"{prefix}u@h/d") == "postgresql://u@h/d"


async def test_times_come_back_in_utc(store: Store) -> None:
    async with store.transaction() as db:
        db.add(Contact(name="Li", created_at=MONDAY))
    async with store.transaction() as db:
        [contact] = (await db.exec(select(Contact))).all()
    assert contact.created_at == MONDAY and str(contact.created_at.tzinfo) in ("UTC", "Etc/UTC")


# -- wake-ups ---------------------------------------------------------------------------------------------------------


async def listen(bell: Bell, topic: str, heard: asyncio.Queue[bool], *, patience: float = 30) -> None:
    async for rung in bell.rings(topic, patience=patience):
        heard.put_nowait(bool(rung))


async def ring(url: str, topic: str, *, commit: bool = True) -> None:
    """From a connection of its own, as another process would."""
    store = Store(url, pool_size=1)
    try:
        async with store.transaction() as db:
            await notify(db, topic)
            if not commit:
                raise LookupError
    except LookupError:
        pass
    finally:
        await store.close()


async def next_ring(heard: asyncio.Queue[bool]) -> bool:
    return await asyncio.wait_for(heard.get(), 10)


async def test_a_commit_elsewhere_wakes_those_who_wait_for_its_topic(url: str, bell: Bell) -> None:
    one: asyncio.Queue[bool] = asyncio.Queue()
    two: asyncio.Queue[bool] = asyncio.Queue()
    async with Bell(url) as other, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(listen(bell, "a", one)),
            group.create_task(listen(other, "a", two)),
        ]
        assert await next_ring(one) and await next_ring(two)  # the first look
        await ring(url, "b")
        await ring(url, "a", commit=False)
        assert one.empty() and two.empty()
        await ring(url, "a")
        assert await next_ring(one) and await next_ring(two)
        assert one.empty() and two.empty()
        for task in tasks:
            task.cancel()
    assert not bell._waiters and not other._waiters


async def test_a_ring_while_one_is_at_work_is_not_lost(url: str, bell: Bell) -> None:
    rounds = 0
    async for rung in bell.rings("a", patience=10):
        assert rung
        rounds += 1
        if rounds == 1:
            await ring(url, "a")  # between two looks
        if rounds == 2:
            break


async def test_silence_ends_a_wait_too(bell: Bell) -> None:
    heard = [rung async for rung, _ in _first(bell, 3)]
    assert heard == [{""}, set(), set()]


async def test_what_rang_is_told_with_its_detail(url: str, bell: Bell) -> None:
    waiting = bell.rings("a", patience=10)
    await anext(waiting)
    await ring(url, "a|17")
    assert await anext(waiting) == {"a|17"}


async def _first(bell: Bell, count: int):  # type: ignore[no-untyped-def]
    left = count
    async for rung in bell.rings("nobody", patience=0.01):
        yield rung, left
        left -= 1
        if not left:
            return


async def test_after_a_cut_connection_everyone_looks_again(url: str, bell: Bell) -> None:
    heard: asyncio.Queue[bool] = asyncio.Queue()
    task = asyncio.create_task(listen(bell, "a", heard))
    assert await next_ring(heard)
    async with await psycopg.AsyncConnection.connect(plain_url(url), autocommit=True) as killer:
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        )
    assert await next_ring(heard)  # on reconnecting
    await ring(url, "a")
    assert await next_ring(heard)
    task.cancel()


async def test_a_bell_without_a_database_starts_and_keeps_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.store.PATIENCE", 0.05)
    async with Bell(f"postgresql://nobody@127.0.0.1:{free_port()}/none") as bell:
        assert bell._task is not None and not bell._task.done()
