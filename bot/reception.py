"""The reception: customers who want a person join the line, hear where they stand, and leave with a promise.

Decisions 1-3 of the policy: strict ranks, and whoever of tier A, important, B or C goes unserved is called back.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from desk import binding, conversations, hours, policy, presence, promises, queue, storm
from desk.conversations import Contact, Conversation, Direction
from desk.customers import Account
from desk.policy import Policy
from desk.promises import Promise
from desk.queue import Place, QueueEntry, Reason
from desk.ranks import Rank, rank_of
from knowledge.intents import Intent
from templates import Choice, Reply

SKILLS: Final = {  # what a matter needs somebody to know
    Intent.COMPLAINT: "complaint", Intent.FAULT_REPORT: "fault", Intent.OUTAGE_STATUS: "outage",
}  # fmt: skip
LEAVE: Final = Choice("queue:leave", "queue_leave", {})
CALLBACK: Final = Choice("queue:callback", "queue_callback", {})
ANYWAY: Final = Choice("queue:anyway", "queue_anyway", {})
MESSAGE: Final = Choice("message", "leave_message", {})
UNSERVED: Final = {  # what somebody hears who left, or waited too long, without and with a right to a callback
    "left": ("queue_left", "queue_left_promised"), "expired": ("queue_expired", "queue_expired_promised"),
}  # fmt: skip
LAST_WORDS: Final = 5  # messages that a promise carries along
# whether somebody asks where they stand
_WHERE: Final = re.compile(
    r"第几[位个名]|排到|几位|还要等|等多久|多久(能|才)?(轮|排|接|到我)|到我了"
    r"|position|how (long|much longer)\b.*\bwait|my turn",
    re.I,
)


@dataclass(frozen=True)
class Join:
    """Somebody wants a person. `unasked` = it was our idea; `anyway` = although a storm is on."""

    reason: Reason
    unasked: bool = False
    anyway: bool = False


@dataclass(frozen=True)
class Leave:
    """Somebody waits no longer; whoever has a right to it is called back."""


# what the buttons under a place in the line mean
WANTED: Final[dict[str, Join | Leave]] = {
    LEAVE.id: Leave(), CALLBACK.id: Leave(), ANYWAY.id: Join(Reason.BUTTON, anyway=True),
}  # fmt: skip


def asks_where(text: str) -> bool:
    """Whether a short message asks for one's place in the line."""
    return len(text) <= 30 and bool(_WHERE.search(text))


class Reception:
    """Lets customers into the line and out of it. The caller holds the conversation."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    async def join(
        self, db: AsyncSession, conversation: Conversation, wish: Join, held: Sequence[Account], skill: str, *,
        at: datetime,
    ) -> list[Reply]:  # fmt: skip
        """Wait for a person, or hear why not and what happens instead; nothing if it was our idea and nobody is there.

        Somebody with a right to a callback is promised one when nobody answers at this time.
        """
        rules = await policy.current(db, at=at)
        account = next((each for each in held if each.id == conversation.account_id), None) or _best(held)
        rank = rank_of(account.tier, account.important) if account else Rank.D
        agents = await presence.online(db, at=at)
        if wish.unasked and not agents:
            return []
        if not agents and not hours.is_open(rules.service, at, self._zone, await hours.calendar(db)):
            return [await self._closed(db, conversation, account, rank, rules, at=at)]
        on = await storm.current(db)
        if on and not rank.green and not wish.anyway:
            return [Reply("storm_notice", {"message": on.message}, (ANYWAY, MESSAGE))]
        await queue.join(db, conversation, account, reason=wish.reason, by="customer", at=at, skill=skill)
        place = (await queue.places(db, rules.queue, agents=agents, at=at))[conversation.id or 0]
        return [_told("queue_joined", conversation, place, at=at, reason=wish.reason, green=rank.green,
                      promised=rank.promised, hours=rules.promises.callback_hours)]  # fmt: skip

    async def _closed(
        self, db: AsyncSession, conversation: Conversation, account: Account | None, rank: Rank, rules: Policy, *,
        at: datetime,
    ) -> Reply:  # fmt: skip
        opens = hours.next_open(rules.service, at, self._zone, await hours.calendar(db))
        facts: dict[str, Any] = {"opens": self._when(opens, conversation) if opens else "", "due": ""}
        if rank.promised:
            promise = await self._promise(db, conversation, account, f"conversation:{conversation.id}", at=at)
            facts["due"] = self._when(promise.due_at, conversation)
        return Reply("queue_closed", facts, (MESSAGE,))

    async def leave(self, db: AsyncSession, conversation: Conversation, *, at: datetime) -> list[Reply]:
        """Out of the line; whoever has a right to it is promised a callback, others may leave a message."""
        entry = await queue.leave(db, conversation, by="customer", at=at)
        if entry is None:
            return []
        return [await self.unserved(db, conversation, entry, "left", at=at)]

    async def unserved(
        self, db: AsyncSession, conversation: Conversation, entry: QueueEntry, how: str, *, at: datetime
    ) -> Reply:
        """What somebody hears who left (`left`) or waited too long (`expired`)."""
        account = await db.get(Account, entry.account_id) if entry.account_id else None
        rank = rank_of(account.tier, account.important) if account else Rank.D
        alone, promised = UNSERVED[how]
        _forget(conversation)
        if not rank.promised:
            return Reply(alone, {}, (MESSAGE, Choice("person", "person", {})))
        promise = await self._promise(db, conversation, account, f"queue:{entry.id}", at=at)
        return Reply(promised, {"due": self._when(promise.due_at, conversation)}, (MESSAGE,))

    async def where(self, db: AsyncSession, conversation: Conversation, *, at: datetime) -> list[Reply]:
        """One's place in the line, asked for."""
        rules = await policy.current(db, at=at)
        agents = await presence.online(db, at=at)
        place = (await queue.places(db, rules.queue, agents=agents, at=at)).get(conversation.id or 0)
        return [_told("queue_position", conversation, place, at=at)] if place else []

    async def _promise(
        self, db: AsyncSession, conversation: Conversation, account: Account | None, subject: str, *, at: datetime
    ) -> Promise:
        """A callback with the customer's data attached (电力客户的分级和分类及管理)."""
        contact = await db.get_one(Contact, conversation.contact_id)
        lines = await conversations.latest(db, conversation.id or 0, limit=40)
        said = [
            line.text
            for line in lines
            if line.direction == Direction.IN and line.text and not line.text.startswith("/")
        ]
        data: dict[str, Any] = {"name": contact.name, "phone": contact.phone, "last": said[-LAST_WORDS:]}
        if account:
            if not contact.phone:
                data["phone"] = next(iter(await binding.registered_phones(db, account)), "")
            data |= {
                "account": account.no,
                "holder": account.name,
                "tier": account.tier,
                "important": account.important,
            }
        return await promises.make(
            db, promises.Kind.CALLBACK, subject, conversation_id=conversation.id or 0,
            contact_id=conversation.contact_id, account_id=account.id if account else None, data=data,
            by="greenline", at=at, zone=self._zone,
        )  # fmt: skip

    def _when(self, at: datetime, conversation: Conversation) -> str:
        return templates.when(at, self._zone, conversation.language)


def _best(held: Sequence[Account]) -> Account | None:
    """Of several accounts none of which was chosen, the one that comes first."""
    return min(held, key=lambda each: rank_of(each.tier, each.important), default=None)


def _told(name: str, conversation: Conversation, place: Place, *, at: datetime, **more: Any) -> Reply:
    """A reply about one's place, which is remembered as told."""
    conversation.state = {**conversation.state, "place": {"position": place.position, "at": at.isoformat()}}
    minutes = -(-place.estimate_s // 60)
    facts = {"position": place.position, "ahead": place.ahead, "minutes": minutes, "agents": place.agents}
    return Reply(name, facts | more, (CALLBACK, LEAVE) if place.rank.promised else (LEAVE,))


def _forget(conversation: Conversation) -> None:
    conversation.state = {name: value for name, value in conversation.state.items() if name != "place"}


def is_news(told: Mapping[str, Any] | None, place: Place, *, at: datetime, stormy: bool) -> bool:
    """Whether one's place is worth telling after what was told last: being next at once, anything else at most once a
    minute, in a storm every five."""
    if told is None:
        return True
    often = timedelta(minutes=5 if stormy else 1)
    seldom = place.position > 1 and at - datetime.fromisoformat(told["at"]) < often
    return told["position"] != place.position and not seldom


def worth_telling(conversation: Conversation, place: Place, *, at: datetime, stormy: bool) -> Reply | None:
    """News about one's place, which then counts as told."""
    if not is_news(conversation.state.get("place"), place, at=at, stormy=stormy):
        return None
    return _told("queue_position", conversation, place, at=at)
