"""A service hall for the tests: agents, customers of every rank, and an usher who looks when told to."""

import itertools
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import col, select

from bot import handling
from bot.assistant import Assistant
from bot.reception import Reception
from bot.usher import Usher
from desk import agent_messages, claims, events, policy, queue
from desk.agent_messages import AgentMessage
from desk.claims import Claim
from desk.conversations import Address, Channel, Conversation, RecordLine
from desk.customers import Account, AccountContact, How
from desk.deliveries import Delivery
from desk.events import Event
from desk.promises import Promise
from desk.queue import QueueEntry
from desk.ranks import Rank
from desk.settings import Settings
from desk.staff import Staff
from desk.store import Bell, Store
from tests.bot.talk import Customer
from tests.conftest import SetClock
from tests.desk import floor


@dataclass
class Hall:
    """Everybody in one place; every call is a transaction of its own."""

    store: Store
    clock: SetClock
    assistant: Assistant
    usher: Usher
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def agent(self, *languages: str, **able: Any) -> Staff:
        """Somebody who has just sat down at the desk and takes customers."""
        number = await floor.agent(self.store, languages=languages or ("zh_CN", "en"), at=self.clock.now(), **able)
        async with self.store.transaction() as db:
            return await db.get_one(Staff, number)

    async def customer(
        self, rank: Rank | None = None, *, channel: Channel = Channel.WEB, language: str = "zh_CN"
    ) -> Customer:
        """Somebody who has written before; with a rank, somebody known to speak for an account of it."""
        person = Customer(self.assistant, f"person-{next(self._numbers)}", channel)
        await self.assistant.greet(channel, person.address, language=language)
        if rank is not None:
            await self.bind(person, rank)
        return person

    async def bind(self, person: Customer, rank: Rank) -> Account:
        """A new account of that rank, for which this person speaks."""
        _, number = await floor.customer(self.store, rank)
        talk = await self.talk(person)
        async with self.store.transaction() as db:
            account = await db.get_one(Account, number)
            db.add(
                AccountContact(
                    account_id=account.id or 0, contact_id=talk.contact_id, how=How.LINK, since=self.clock.now()
                )
            )
            return account

    async def talk(self, person: Customer) -> Conversation:
        """The conversation as it is now."""
        async with self.store.transaction() as db:
            query = select(Conversation).join(Address, col(Address.id) == col(Conversation.address_id))
            return (await db.exec(query.where(col(Address.external_id) == person.address))).one()

    async def entry(self, person: Customer) -> QueueEntry | None:
        """The open wait, if there is one."""
        number = (await self.talk(person)).id or 0
        async with self.store.transaction() as db:
            return await queue.open_entry(db, number)

    async def claims(self, staff: Staff) -> Claim | None:
        """One agent presses the button."""
        async with self.store.transaction() as db:
            return await handling.claim(db, staff, at=self.clock.now())

    async def serves(self, staff: Staff, person: Customer) -> int:
        """The customer asks for a person and this agent takes them; the number of the conversation."""
        await person.says(choice="person")
        taken = await self.claims(staff)
        assert taken is not None
        return taken.entry.conversation_id

    async def writes(self, staff: Staff, talk: int, client_id: str, words: str, *, seen: int = 2**62) -> AgentMessage:
        """An agent presses send: the message is held for a while."""
        async with self.store.transaction() as db:
            return await agent_messages.hold(
                db, await claims.held(db, talk), staff.id or 0, client_id, words, {}, seen=seen, undo_s=5,
                by=staff.name, at=self.clock.now(),
            )  # fmt: skip

    async def heard(self, person: Customer) -> list[RecordLine]:
        """Every line that the customer has had from us, oldest first."""
        talk = await self.talk(person)
        async with self.store.transaction() as db:
            query = select(RecordLine).where(col(RecordLine.conversation_id) == talk.id)
            return list(
                (await db.exec(query.where(col(RecordLine.direction) == "out").order_by(col(RecordLine.id)))).all()
            )

    async def told(self, person: Customer) -> list[str]:
        """The names of what the customer has had from us; what a person wrote has none."""
        return [line.body.get("name", "") for line in await self.heard(person)]

    async def last(self, person: Customer) -> str:
        """The words that the customer had last."""
        return (await self.heard(person))[-1].text

    async def delivered(self) -> list[str]:
        """The words of everything that was handed to a channel."""
        async with self.store.transaction() as db:
            query = select(RecordLine.text).join(Delivery, col(Delivery.line_id) == col(RecordLine.id))
            return list((await db.exec(query.order_by(col(RecordLine.id)))).all())

    async def promises(self) -> list[Promise]:
        """All promises, oldest first."""
        async with self.store.transaction() as db:
            return list((await db.exec(select(Promise).order_by(col(Promise.id)))).all())

    async def happened(self, *kinds: str) -> list[Event]:
        """The events of these kinds, oldest first."""
        async with self.store.transaction() as db:
            return [each for each in await events.read(db, limit=1000) if each.kind in kinds]

    async def rules(self, **changes: Any) -> None:
        """A supervisor publishes other rules."""
        async with self.store.transaction() as db:
            number, _ = await policy.latest(db)
            await policy.publish(db, changes, version=number, note="test", by="test", at=self.clock.now())


def hall(store: Store, bell: Bell, clock: SetClock, assistant: Assistant, config: Settings) -> Hall:
    """The hall on this test's database."""
    return Hall(store, clock, assistant, Usher(store, bell, clock, Reception(config.zone)))
