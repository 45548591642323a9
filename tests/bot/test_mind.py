"""What the assistant knows follows the database, in every process, without a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from bot.assistant import Assistant
from bot.mind import Mind
from bot.reception import Reception
from desk.errors import GuideLoading
from desk.settings import Settings
from desk.store import Bell, Store
from knowledge import entries
from knowledge.entries import Draft
from knowledge.search import Decision
from tests.bot.talk import Customer
from tests.conftest import MONDAY, SetClock

FOUNTAIN = Draft(
    title="喷泉景观用电",
    question="广场喷泉景观用电怎么申请？",
    answer="广场喷泉景观用电，请向园林处申请。",
    document="景观用电办法",
    article="第七条",
)
ASKED = "广场喷泉景观用电怎么申请？"


async def publish(store: Store, drafts: dict[str, Draft], *, complete: bool = False) -> None:
    async with store.transaction() as db:
        await entries.publish(db, drafts, origin="import:x", by="Li", at=MONDAY, complete=complete)


@contextlib.asynccontextmanager
async def another_process(url: str, config: Settings, loaded: Mind, clock: SetClock) -> AsyncIterator[Mind]:
    """A mind on connections of its own that follows the guide."""
    store = Store(url, pool_size=2)
    mind = Mind(store, clock, config)
    mind._guide, mind._reader, mind._known = loaded._guide, loaded._reader, loaded._known
    async with Bell(url) as bell:
        task = asyncio.create_task(mind.follow(bell))
        try:
            yield mind
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await store.close()


async def knows(mind: Mind, key: str, version: int | None) -> None:
    """Wait until the mind knows this version of an entry, None = it knows none."""
    async with asyncio.timeout(30):
        while ((entry := mind.guide.entry(key)) and entry.version) != version:
            await asyncio.sleep(0.02)


@pytest.fixture
def lite(config: Settings) -> Settings:
    """One encoder is enough to see a guide change, and indexes in no time."""
    return config.model_copy(update={"encoder": "lite"})


async def test_a_published_entry_is_answered_by_every_process_without_a_restart(
    url: str, lite: Settings, loaded: Mind, store: Store, clock: SetClock
) -> None:
    async with another_process(url, lite, loaded, clock) as one, another_process(url, lite, loaded, clock) as two:
        await publish(store, {"x1": FOUNTAIN})
        for mind in (one, two):
            await knows(mind, "x1", 1)
            person = Customer(
                Assistant(store, mind, clock, Reception(ZoneInfo("Asia/Shanghai")), language="zh_CN"), f"p{id(mind)}"
            )
            assert "请向园林处申请" in await person.says(ASKED)
            assert person.sources == ["景观用电办法第七条"]
        await publish(store, {"x1": FOUNTAIN.model_copy(update={"answer": "改向水务处申请。"})})
        await knows(two, "x1", 2)
        assert "改向水务处" in await person.says(ASKED)
        await publish(store, {}, complete=True)
        await knows(two, "x1", None)
        await person.says(ASKED)
        assert person.sources != ["景观用电办法第七条"]


async def test_a_changed_guide_that_cannot_be_read_leaves_the_old_one_in_use(
    url: str, lite: Settings, loaded: Mind, store: Store, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.mind.RETRY", 0.01)
    tried = asyncio.Event()
    real = Mind.load

    async def failing(mind: Mind) -> None:
        tried.set()
        raise OSError("disk")

    async with another_process(url, lite, loaded, clock) as mind:
        monkeypatch.setattr(Mind, "load", failing)
        await publish(store, {"x1": FOUNTAIN})
        await asyncio.wait_for(tried.wait(), 10)
        assert mind.guide.entry("x1") is None and mind.guide.entry("g11") is not None
        monkeypatch.setattr(Mind, "load", real)
        await knows(mind, "x1", 1)  # tried again by itself


async def test_entries_come_into_force_with_the_day_of_the_service_area(
    lite: Settings, store: Store, clock: SetClock, loaded: Mind
) -> None:
    await publish(store, {"x1": FOUNTAIN.model_copy(update={"valid_from": date(2026, 3, 3)})})
    mind = Mind(store, clock, lite)
    mind._guide, mind._reader, mind._known = loaded._guide, loaded._reader, loaded._known
    await mind.load()
    assert mind.guide.entry("x1") is None
    clock.forward(hours=14, minutes=59)  # 23:59 in Shanghai, 15:59 UTC
    await mind.load()
    assert mind.guide.entry("x1") is None
    clock.forward(minutes=1)
    await mind.load()
    assert mind.guide.entry("x1") is not None


async def test_an_unchanged_guide_is_not_indexed_again(mind: Mind) -> None:
    before = mind.guide
    await asyncio.gather(*(mind.load() for _ in range(3)))
    assert mind.guide is before


async def test_before_the_first_load_nothing_is_known(store: Store, clock: SetClock, lite: Settings) -> None:
    mind = Mind(store, clock, lite)
    assert not mind.ready
    with pytest.raises(GuideLoading):
        _ = mind.guide
    with pytest.raises(GuideLoading):
        await mind.hear("你好")


async def test_a_guide_without_entries_is_silent_and_serves(store: Store, clock: SetClock, lite: Settings) -> None:
    async with store.transaction() as db:
        await entries.publish(db, {}, origin=entries.SEEDS, by="Li", at=MONDAY, complete=True)
    mind = Mind(store, clock, lite)
    await mind.load()
    assert mind.ready and len(mind.guide) == 0
    assert (await mind.find("双电源多久")).decision is Decision.ABSTAIN
    person = Customer(Assistant(store, mind, clock, Reception(ZoneInfo("Asia/Shanghai")), language="zh_CN"))
    for text in ("双电源的供电方案多久能出来?", "/start", "小区报装要什么资料"):
        assert await person.says(text) and person.sources == []
    await person.says(choice="topics:apply")
    assert person.names == ["stale_choice"]
    await person.says(choice="check:factory:n")
    assert person.names == ["checklist_documents"]
