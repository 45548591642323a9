"""Entries in the database: versions that an answer can pin, staff edits beside seeds, validity to the day."""

import asyncio
from datetime import date, timedelta

import pytest

from desk.store import Store
from knowledge import entries
from knowledge.entries import SEEDS, BadEntry, Draft
from tests.conftest import MONDAY

DAY = date(2026, 3, 2)


def draft(title: str = "标题", **more: object) -> Draft:
    return Draft.model_validate({"title": title, "answer": "答", "document": "文件"} | more)


async def publish(
    store: Store, drafts: dict[str, Draft], origin: str = "staff", *, complete: bool = False
) -> tuple[int, int]:
    async with store.transaction() as db:
        return await entries.publish(db, drafts, origin=origin, by="Li", at=MONDAY, complete=complete)


async def seed(store: Store, drafts: dict[str, Draft] | None = None) -> tuple[int, int]:
    return await publish(store, drafts or entries.seeds(), SEEDS, complete=True)


async def told(store: Store, key: str, on: date = DAY) -> tuple[str, int] | None:
    """Title and version that customers are told on a day."""
    async with store.transaction() as db:
        found = [entry for entry in await entries.published(db, on=on) if entry.key == key]
    return (found[0].title, found[0].version) if found else None


async def test_the_shipped_guide_is_there_and_seeding_again_changes_nothing(store: Store) -> None:
    assert await seed(store) == (0, 0)
    async with store.transaction() as db:
        assert {entry.key for entry in await entries.published(db, on=DAY)} == entries.seeds().keys()


async def test_processes_that_seed_at_once_write_every_version_once(url: str) -> None:
    stores = [Store(url, pool_size=2) for _ in range(6)]
    news = {"x1": draft(), "x2": draft("第二")}
    done = await asyncio.gather(*(publish(store, news, "import:x") for store in stores))
    assert sorted(done) == [(0, 0)] * 5 + [(2, 0)]
    async with stores[0].transaction() as db:
        versions = [row for row in await entries.current(db) if row.key in news]
    assert [row.version for row in versions] == [1, 1]
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_changed_entry_gets_a_version_and_the_old_one_stays_readable(store: Store) -> None:
    await publish(store, {"x1": draft("一")})
    await publish(store, {"x1": draft("二")})
    assert await told(store, "x1") == ("二", 2)
    async with store.transaction() as db:
        old, new, none = [await entries.pinned(db, "x1", version) for version in (1, 2, 3)]
    assert old is not None and new is not None and none is None
    assert (old.title, new.title) == ("一", "二")


async def test_an_edit_by_staff_stands_until_its_file_changes(store: Store) -> None:
    shipped = entries.seeds()
    await publish(store, {"g11": shipped["g11"].model_copy(update={"title": "改过"})})
    assert await seed(store) == (0, 0) and await told(store, "g11") == ("改过", 2)
    changed = shipped | {"g11": shipped["g11"].model_copy(update={"title": "新文件"})}
    assert await seed(store, changed) == (1, 0) and await told(store, "g11") == ("新文件", 3)


async def test_a_file_that_is_gone_is_withdrawn_and_comes_back(store: Store) -> None:
    shipped = entries.seeds()
    fewer = {key: value for key, value in shipped.items() if key != "g11"}
    assert await seed(store, fewer) == (0, 1) and await told(store, "g11") is None
    assert await seed(store, fewer) == (0, 0)
    assert await seed(store) == (1, 0)
    assert await told(store, "g11") == (shipped["g11"].title, 3)


async def test_withdrawing_the_set_of_one_document_leaves_the_others(store: Store) -> None:
    await publish(store, {"x1": draft(), "x2": draft()}, "import:x")
    await publish(store, {"y1": draft()}, "import:y")
    assert await publish(store, {"x2": draft()}, "import:x", complete=True) == (0, 1)
    assert await told(store, "x1") is None
    assert await told(store, "y1") is not None and await told(store, "g11") is not None


async def test_comparing_says_what_publishing_would_do(store: Store) -> None:
    await publish(store, {"x1": draft("一"), "x2": draft("二"), "x3": draft("三")}, "import:x")
    coming = {"x1": draft("一"), "x2": draft("改"), "x4": draft("四")}
    async with store.transaction() as db:
        changes = await entries.compare(db, coming, origin="import:x")
    assert changes == {"new": ["x4"], "changed": ["x2"], "unchanged": ["x1"], "withdrawn": ["x3"]}
    assert await publish(store, coming, "import:x", complete=True) == (2, 1)


@pytest.mark.parametrize(("days", "in_force"), [(-1, False), (0, True), (5, True), (6, False)])
async def test_both_ends_of_validity_count(store: Store, days: int, in_force: bool) -> None:
    await publish(store, {"x1": draft(valid_from=DAY, valid_until=DAY + timedelta(days=5))})
    assert (await told(store, "x1", DAY + timedelta(days=days)) is not None) == in_force


async def test_a_version_that_is_to_come_leaves_the_present_one_standing(store: Store) -> None:
    await publish(store, {"x1": draft("现在", valid_until=DAY)})
    await publish(store, {"x1": draft("以后", valid_from=DAY + timedelta(days=1))})
    assert await told(store, "x1", DAY) == ("现在", 1)
    assert await told(store, "x1", DAY + timedelta(days=1)) == ("以后", 2)


async def test_an_expired_version_does_not_bring_an_older_one_back(store: Store) -> None:
    await publish(store, {"x1": draft("旧")})
    await publish(store, {"x1": draft("新", valid_until=DAY)})
    assert await told(store, "x1", DAY + timedelta(days=1)) is None


async def test_withdrawing_what_is_to_come_withdraws_the_present_too(store: Store) -> None:
    await publish(store, {"x1": draft("现在")}, "import:x")
    await publish(store, {"x1": draft("以后", valid_from=DAY + timedelta(days=9))}, "import:x")
    await publish(store, {}, "import:x", complete=True)
    assert await told(store, "x1") is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("title = ", "Invalid value"),
        ('answer = "x"\ndocument = "d"', "title"),
        ('title = "t"\nanswer = "x"\ndocument = "d"\nprice = 3', "price"),
        ('title = "t"\nanswer = "x"\ndocument = "d"\nvalid_from = "soon"', "valid_from"),
    ],
)
def test_a_file_that_cannot_be_used_names_itself_and_the_place(content: str, problem: str) -> None:
    with pytest.raises(BadEntry, match=problem) as refused:
        entries.parse("g99.toml", content)
    assert refused.value.name == "g99.toml" and str(refused.value).startswith("g99.toml: ")


def test_ways_to_ask_come_once_and_most_formal_first() -> None:
    found = entries.texts_to_ask(draft("标题", question="问题", aliases=["别名", "问题"]))
    assert list(found) == ["问题", "标题", "别名"]
    assert list(entries.texts_to_ask(draft("标题"))) == ["标题"]
