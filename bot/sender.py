"""Empties the outbox of one channel: one active sender, replies before notices, each delivery settled with its fate."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from prometheus_client import Counter
from sqlmodel.ext.asyncio.session import AsyncSession

from bot.limiter import PER_BOT, Limiter
from desk import deliveries
from desk.clock import Clock
from desk.conversations import Channel
from desk.deliveries import Lane, Parcel
from desk.errors import DatabaseDown, MoveNotAllowed
from desk.leader import leadership
from desk.store import Bell, Store

log = logging.getLogger("greenline.sender")
IN_FLIGHT: Final = 60  # sends at the same time
NOTICES_IN_FLIGHT: Final = 40  # of which notices, so that a slow channel still has places for replies
LANDING: Final = 5.0  # seconds that sends get to finish when we are told to stop
SWEEP: Final = 15.0  # seconds between looks for deliveries that nobody is sending
IDLE: Final = 5.0  # seconds without a wake-up until we look anyway
GRAIN: Final = 0.03  # seconds between looks for what became possible only through the passing of time
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


class Interrupted(Exception):
    """Another sender leads now; what is left of this message is its business."""


@dataclass
class Flight:
    """A send whose outcome is not known yet."""

    parcel: Parcel
    asked_at: datetime
    task: asyncio.Task[None]


class Sender:
    """The sender of one channel."""

    def __init__(self, store: Store, bell: Bell, clock: Clock, carrier: Carrier, limiter: Limiter) -> None:
        self._store, self._bell, self._clock = store, bell, clock
        self._carrier, self._limiter = carrier, limiter
        self._flights: dict[int, Flight] = {}
        self._look = asyncio.Event()  # set when it is worth looking into the outbox again
        self._halt: tuple[str, float] | None = None  # who met the last flood limit, and until when
        self._lost, self._leads = asyncio.Event(), False
        self._swept = 0.0

    async def run(self) -> None:
        """Lead and send until cancelled, then let what is in the air land."""
        channel = self._carrier.channel
        while True:
            async with leadership(self._store.url, f"sender:{channel}") as lost:
                try:
                    await self._drain(lost)
                except asyncio.CancelledError:
                    await self._land()
                    raise
                except Exception:
                    log.exception("sender of %s interrupted", channel)
            await asyncio.sleep(1)

    async def _land(self) -> None:
        tasks = [flight.task for flight in self._flights.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=LANDING)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self, lost: asyncio.Event) -> None:
        self._lost, self._swept, self._leads = lost, float("-inf"), True
        helpers = [asyncio.create_task(self._nudge()), asyncio.create_task(self._nudge_when(lost))]
        try:
            while not lost.is_set():
                self._look.clear()
                try:
                    pause = await self._hand_out()
                except DatabaseDown as error:
                    log.warning("outbox not readable: %s", error.code)
                    pause = 1.0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._look.wait()
        finally:
            self._leads = False
            for task in helpers:
                task.cancel()

    async def _nudge(self) -> None:
        async for _ in self._bell.rings(f"deliveries:{self._carrier.channel}", patience=IDLE):
            self._look.set()

    async def _nudge_when(self, lost: asyncio.Event) -> None:
        await lost.wait()
        self._look.set()

    async def _hand_out(self) -> float:
        """Start as many sends as the limits allow; seconds until it is worth looking again."""
        now = time.monotonic()
        free = IN_FLIGHT - len(self._flights)
        if free <= 0:
            return IDLE
        if not self._limiter.room(now):
            return max(0.002, self._limiter.wait(now))
        waiting = self._limiter.waiting(now)
        busy = waiting.keys() | {flight.parcel.recipient for flight in self._flights.values()}
        at, channel = self._clock.now(), self._carrier.channel
        soonest = [IDLE]
        async with self._store.transaction() as db:
            if now - self._swept > SWEEP:
                await self._sweep(db, at)
            room = min(free, self._limiter.room(now))
            parcels = await deliveries.hand_over(db, channel, Lane.REPLY, at=at, limit=room, busy=busy)
            if len(parcels) == room:
                soonest.append(self._limiter.wait(now) or GRAIN)
            spare = min(self._limiter.spare(now), room - len(parcels))
            seats = NOTICES_IN_FLIGHT - self._notices_in_flight()
            if spare <= 0:
                soonest.append(self._limiter.spare_wait(now) or GRAIN)
            elif seats > 0:
                quiet = await deliveries.paused_until(db, channel)
                if quiet and quiet > at:
                    soonest.append((quiet - at).total_seconds())
                else:
                    busy |= {parcel.recipient for parcel in parcels}
                    limit = min(spare, seats)
                    notices = await deliveries.hand_over(db, channel, Lane.NOTICE, at=at, limit=limit, busy=busy)
                    parcels += notices
                    soonest += [1 / PER_BOT] * bool(notices)
            if min(soonest) > GRAIN:
                due = await deliveries.next_due(db, channel, after=at)
                soonest += [due.total_seconds()] if due else []
        self._start(parcels, at)
        # a chat that just got a message may have the next one waiting
        waits = self._limiter.waiting(time.monotonic()).values()
        return max(0.005, min([*soonest, *(max(GRAIN, wait) for wait in waits)]))

    def _notices_in_flight(self) -> int:
        return sum(flight.parcel.lane == Lane.NOTICE for flight in self._flights.values())

    async def _sweep(self, db: AsyncSession, at: datetime) -> None:
        """Doubt what a dead sender, or a commit whose answer was lost, has left behind."""
        doubted = await deliveries.recover(db, self._carrier.channel, at=at, but=list(self._flights))
        if doubted:
            log.warning("%d deliveries were in the air and nobody's", doubted)
        self._swept = time.monotonic()

    def _start(self, parcels: list[Parcel], at: datetime) -> None:
        now = time.monotonic()
        for parcel in parcels:
            self._limiter.take(parcel.recipient, now, notice=parcel.lane == Lane.NOTICE)
            self._flights[parcel.id] = Flight(parcel, at, asyncio.create_task(self._deliver(parcel, at)))

    async def part_sent(self, parcel: Parcel, parts: int, *, messages: int = 1) -> None:
        """A part of a long message arrived; the next one, of so many messages, waits its turn. Raises Interrupted."""
        await self._persist(lambda db: deliveries.note_part(db, parcel.id, parts))
        chat, limiter = parcel.recipient, self._limiter
        await self._turn(
            parcel, messages, lambda now: max(limiter.chat_wait(chat, now, messages), limiter.wait(now, messages))
        )

    async def widen(self, parcel: Parcel, messages: int) -> None:
        """What is about to leave counts as so many messages and not as the one that was counted. Raises Interrupted."""
        if others := messages - 1:
            await self._turn(parcel, others, lambda now: self._limiter.album_wait(parcel.recipient, now, others))

    async def _turn(self, parcel: Parcel, messages: int, waiting: Callable[[float], float]) -> None:
        while wait := waiting(now := time.monotonic()):
            await asyncio.sleep(wait)
        if self._lost.is_set():
            raise Interrupted()
        self._limiter.take(parcel.recipient, now, messages=messages)

    def courtesy(self) -> bool:
        """Whether something that is no message (typing) may leave now: who does not lead or is busy sends none."""
        return self._leads and self._limiter.slip(time.monotonic())

    async def _deliver(self, parcel: Parcel, asked_at: datetime) -> None:
        try:
            try:
                result = await self._carrier.send(parcel, self)
            except Interrupted:
                return
            except Exception as error:
                # what cannot even be put into words now will not be later either
                log.exception("delivery %d cannot be sent", parcel.id)
                result = Refused(repr(error)[:200])
            SETTLED.labels(self._carrier.channel, type(result).__name__.lower()).inc()
            await self._persist(lambda db: self._settle(db, parcel, result, asked_at))
        except MoveNotAllowed:
            log.warning("delivery %d was settled by another sender", parcel.id)
        except Exception:
            log.exception("delivery %d not settled; it will be doubted", parcel.id)
        finally:
            full = len(self._flights) >= IN_FLIGHT or self._notices_in_flight() >= NOTICES_IN_FLIGHT
            del self._flights[parcel.id]
            # otherwise the next look is at the end of the chat's pause, which `_hand_out` already knows
            if full or not self._limiter.chat_wait(parcel.recipient, time.monotonic()):
                self._look.set()

    async def _persist(self, work: Callable[[AsyncSession], Awaitable[None]]) -> None:
        """Write down what is known about a send, however long the database is away. Raises MoveNotAllowed."""
        tries = 0
        while True:
            try:
                async with self._store.transaction() as db:
                    return await work(db)
            except MoveNotAllowed:
                raise
            except Exception as error:
                tries += not isinstance(error, DatabaseDown)
                if tries > 3:
                    raise
                log.warning("a send could not be settled, trying again: %r", error)
                await asyncio.sleep(1)

    async def _settle(self, db: AsyncSession, parcel: Parcel, result: Result, asked_at: datetime) -> None:
        at = self._clock.now()
        match result:
            case Sent(external_id):
                await deliveries.confirm(db, parcel.id, external_id=external_id, at=at)
            case NotSent(cause, None):
                until = at + timedelta(seconds=BACKOFF[min(parcel.attempts, len(BACKOFF)) - 1])
                await deliveries.postpone(db, parcel.id, until=until, cause=cause)
            case NotSent(cause, after):
                until = at + timedelta(seconds=after or 0)
                await deliveries.postpone(db, parcel.id, until=until, cause=cause)
                await deliveries.pause(db, self._carrier.channel, until=until)
                self._slow_down(parcel, after or 0)
            case Doubtful(cause):
                await deliveries.doubt(db, parcel.id, cause=cause, at=at)
            case Unreachable(cause):
                await deliveries.lose_address(db, parcel.id, cause=cause, at=at, asked_at=asked_at)
            case Refused(cause):
                await deliveries.refuse(db, parcel.id, cause=cause, at=at)

    def _slow_down(self, parcel: Parcel, after: float) -> None:
        """The channel asked for silence: this chat and all notices wait, replies to others go on.

        When a reply to another chat meets the limit too, it is not the chat but the bot: then everything waits.
        """
        now = time.monotonic()
        chat, until = self._halt or (parcel.recipient, now)
        if parcel.lane == Lane.REPLY and now < until and chat != parcel.recipient:
            self._limiter.hush(max(after, until - now), now)
        self._halt = (parcel.recipient, max(until, now + after))
