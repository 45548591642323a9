"""Empties the outbox of one channel: one active sender, replies before notices, each delivery settled with its fate."""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from prometheus_client import Counter

from bot.limiter import Limiter
from desk import deliveries
from desk.clock import Clock
from desk.conversations import Channel
from desk.deliveries import Parcel
from desk.errors import DeskError
from desk.leader import leadership
from desk.store import Bell, Store

log = logging.getLogger("greenline.sender")
IN_FLIGHT: Final = 24  # sends at the same time
BACKOFF: Final = (1, 2, 5, 10, 30, 60)  # seconds before the n-th retry of a send that never left
SETTLED: Final = Counter("greenline_deliveries_total", "Settled sends by channel and result", ["channel", "result"])


@dataclass(frozen=True)
class Sent:
    """The channel has it."""

    external_id: str | None


@dataclass(frozen=True)
class NotSent:
    """It certainly did not leave; try again. `after` = the channel's own wish in seconds, for everything."""

    cause: str
    after: float | None = None


@dataclass(frozen=True)
class Doubtful:
    """It may have arrived."""

    cause: str


@dataclass(frozen=True)
class Unreachable:
    """The recipient cannot be reached."""

    cause: str


@dataclass(frozen=True)
class Refused:
    """The channel will never take it."""

    cause: str


Result = Sent | NotSent | Doubtful | Unreachable | Refused


class Carrier(Protocol):
    """A channel that can be pushed to."""

    channel: Channel

    async def send(self, parcel: Parcel, sender: "Sender") -> Result: ...


class Sender:
    """The sender of one channel."""

    def __init__(self, store: Store, bell: Bell, clock: Clock, carrier: Carrier, limiter: Limiter) -> None:
        self._store, self._bell, self._clock = store, bell, clock
        self._carrier, self._limiter = carrier, limiter
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Event()

    async def run(self) -> None:
        """Lead and send until cancelled; taking over, doubt what the predecessor left in the air."""
        channel = self._carrier.channel
        while True:
            async with leadership(self._store.url, f"sender:{channel}") as lost:
                try:
                    async with self._store.transaction() as db:
                        doubted = await deliveries.recover(db, channel, at=self._clock.now())
                    if doubted:
                        log.warning("%d deliveries were in the air when the last sender died", doubted)
                    await self._drain(lost)
                except (DeskError, OSError) as error:
                    log.warning("sender of %s interrupted: %s", channel, error)
                finally:
                    for task in self._tasks:
                        task.cancel()
                    await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(1)

    async def _drain(self, lost: asyncio.Event) -> None:
        topic = f"deliveries:{self._carrier.channel}"
        nudge = asyncio.create_task(self._nudge(topic))
        try:
            while not lost.is_set():
                self._free.clear()
                pause = await self._hand_out()
                try:
                    async with asyncio.timeout(pause):
                        await self._free.wait()
                except TimeoutError:
                    pass
        finally:
            nudge.cancel()

    async def _nudge(self, topic: str) -> None:
        async for _ in self._bell.rings(topic, patience=5):
            self._free.set()

    async def _hand_out(self) -> float:
        """Start as many sends as the limits allow; seconds until it is worth looking again."""
        now = time.monotonic()
        room = min(self._limiter.room(now), IN_FLIGHT - len(self._tasks))
        if room <= 0:
            return max(0.01, self._limiter.bot_wait(now)) if len(self._tasks) < IN_FLIGHT else 1.0
        waiting = self._limiter.waiting(now)
        at, channel = self._clock.now(), self._carrier.channel
        async with self._store.transaction() as db:
            quiet = await deliveries.paused_until(db, channel)
            if quiet and quiet > at:
                return min(5.0, (quiet - at).total_seconds())
            parcels = await deliveries.hand_over(db, channel, at=at, limit=room, busy=[*waiting.keys(), *self._busy])
            due = None if parcels else await deliveries.next_due(db, channel, after=at)
        for parcel in parcels:
            self._limiter.take(parcel.recipient, now)
            self._busy.add(parcel.recipient)
            task = asyncio.create_task(self._deliver(parcel))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if parcels:
            return 0.01
        soonest = [5.0, *waiting.values()]
        if due is not None and due > timedelta(0):
            soonest.append(due.total_seconds())
        return max(0.01, min(soonest))

    async def part_sent(self, parcel: Parcel, parts: int) -> None:
        """A part of a long message arrived; the next one waits its turn in the chat."""
        async with self._store.transaction() as db:
            await deliveries.note_part(db, parcel.id, parts)
        await asyncio.sleep(self._limiter.chat_wait(parcel.recipient, time.monotonic()))
        self._limiter.take(parcel.recipient, time.monotonic())

    async def _deliver(self, parcel: Parcel) -> None:
        try:
            result = await self._carrier.send(parcel, self)
            await self._settle(parcel, result)
        except Exception:
            # the row stays in `sending`; the next leader doubts it
            log.exception("delivery %d not settled", parcel.id)
        finally:
            self._busy.discard(parcel.recipient)
            self._free.set()

    async def _settle(self, parcel: Parcel, result: Result) -> None:
        at = self._clock.now()
        SETTLED.labels(self._carrier.channel, type(result).__name__.lower()).inc()
        async with self._store.transaction() as db:
            match result:
                case Sent(external_id):
                    await deliveries.confirm(db, parcel.id, external_id=external_id, at=at)
                case NotSent(cause, after):
                    pause = after if after is not None else BACKOFF[min(parcel.attempts, len(BACKOFF)) - 1]
                    until = at + timedelta(seconds=pause)
                    await deliveries.postpone(db, parcel.id, until=until, cause=cause)
                    if after is not None:
                        self._limiter.hush(after, time.monotonic())
                        await deliveries.pause(db, self._carrier.channel, until=until)
                case Doubtful(cause):
                    await deliveries.doubt(db, parcel.id, cause=cause, at=at)
                case Unreachable(cause):
                    await deliveries.lose_address(db, parcel.id, cause=cause, at=at)
                case Refused(cause):
                    await deliveries.refuse(db, parcel.id, cause=cause, at=at)
