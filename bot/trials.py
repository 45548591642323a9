"""The job that tries a change of the learning list before anybody may publish it."""

import asyncio
from datetime import tzinfo
from typing import Any, Final

from bot.mind import Mind
from desk.clock import Clock
from desk.store import Store
from knowledge import entries, learning, trial
from knowledge.entries import Entry
from knowledge.learning import CannotLearn, Learned, LearningChange, Stage

TASK: Final = "try_learning"
PAUSE: Final = 0.5  # seconds between two notes of how far it is


class Trials:
    """Builds the changed guide in memory and asks it the regression questions beside the present one."""

    def __init__(self, store: Store, mind: Mind, clock: Clock, *, zone: tzinfo) -> None:
        self._store, self._mind, self._clock, self._zone = store, mind, clock, zone

    async def work(self, number: int) -> None:
        """Try one change. After a death in the middle it begins anew; what is tried or settled already stays."""
        today = self._clock.now().astimezone(self._zone).date()
        async with self._store.transaction() as db:
            try:
                change = await learning.change_of(db, number)
            except CannotLearn:
                return
            published, learned = await entries.published(db, on=today), await learning.learned(db)
        if change.stage != Stage.TRYING:
            return
        cases = trial.cases(learned, {entry.key for entry in published})
        done = [0]
        work = asyncio.create_task(asyncio.to_thread(self._try, change, published, learned, cases, done))
        while not work.done():
            await asyncio.wait([work], timeout=PAUSE)
            await self._write(number, done[0], len(cases), None)
        await self._write(number, len(cases), len(cases), work.result())

    def _try(
        self, change: LearningChange, published: list[Entry], learned: Learned, cases: list[trial.Case], done: list[int]
    ) -> dict[str, Any]:
        after = self._mind.imagine(learning.changed(change, published), trial.with_change(learned, change))

        def step(count: int) -> None:
            done[0] = count

        return trial.compare(self._mind.guide, after, cases, change, step=step)

    async def _write(self, number: int, done: int, total: int, report: dict[str, Any] | None) -> None:
        async with self._store.transaction() as db:
            change = await learning.change_of(db, number, lock=True)
            if change.stage == Stage.TRYING:
                change.done, change.total, change.report = done, total, report
                change.stage = Stage.TRIED if report else Stage.TRYING
                db.add(change)
