"""What people do in a conversation and what the customer hears of it: claim, speak, transfer, close, vanish."""

from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from bot.speech import say, speak
from desk import agent_messages, claims, conversations, events, policy, presence, promises, queue
from desk.claims import Claim
from desk.conversations import Address, Conversation, Direction, RecordLine
from desk.customers import Account
from desk.presence import Presence, Seat
from desk.queue import Act
from desk.staff import Staff
from templates import Choice, Reply


def number(staff_id: int) -> str:
    """What customers call an agent: a number of at least two digits, never a name."""
    return f"{staff_id:02d}"


async def _tell(db: AsyncSession, conversation: Conversation, reply: Reply, *, at: datetime) -> None:
    address = await db.get_one(Address, conversation.address_id)
    await say(db, conversation, address, [reply], None, at, by="system")
    db.add(conversation)


async def claim(db: AsyncSession, staff: Staff, *, at: datetime, wanted: int | None = None) -> Claim | None:
    """Take the next customer, or the wanted one; the customer hears who is there. Raises as `claims.claim_next`."""
    assert staff.id is not None
    rules = (await policy.current(db, at=at)).queue
    claim = await claims.claim_next(db, rules, staff.id, by=staff.name, at=at, wanted=wanted)
    if claim is not None:
        await _arrived(db, claim.conversation, staff, "agent_joined", at=at)
    return claim


async def _arrived(db: AsyncSession, conversation: Conversation, staff: Staff, name: str, *, at: datetime) -> None:
    conversation.state = {key: value for key, value in conversation.state.items() if key not in ("place", "flow")}
    await _tell(db, conversation, Reply(name, {"number": number(staff.id or 0)}), at=at)
    await promises.served(db, conversation.id or 0, by=staff.name, at=at)


async def open_by(
    db: AsyncSession, conversation_id: int, account: Account | None, staff: Staff, *, at: datetime
) -> None:
    """A person's reply takes over from the bot. Raises NotYours."""
    assert staff.id is not None
    await claims.open_by(db, conversation_id, account, staff.id, by=staff.name, at=at)
    conversation = await claims.held(db, conversation_id)
    await _arrived(db, conversation, staff, "agent_joined", at=at)


async def release(db: AsyncSession, conversation_id: int, client_id: str, *, at: datetime) -> RecordLine | None:
    """Send a held message, now that it can no longer be taken back; None if it was."""
    conversation = await claims.held(db, conversation_id)
    message = await agent_messages.release(db, conversation, client_id, at=at)
    if message is None:
        return None
    address = await db.get_one(Address, conversation.address_id)
    staff = await db.get_one(Staff, message.staff_id)
    body = {**message.body, "agent": message.staff_id, "client_id": client_id}
    line = await speak(db, conversation, address, message.text, body, by=staff.name, at=at)
    await agent_messages.released(db, message, line, by=staff.name, at=at)
    return line


async def note(
    db: AsyncSession,
    conversation_id: int,
    staff: Staff,
    text: str,
    *,
    mentions: list[int],
    whisper: bool,
    at: datetime,
    via: str = "",
) -> RecordLine:
    """Write a note for staff into the contact record; the customer never sees it.

    `via` = phone, hall or visit: a customer met elsewhere has the same record (公司大客户管理 第五条).
    """
    conversation = await claims.held(db, conversation_id)
    address = await db.get_one(Address, conversation.address_id)
    body: dict[str, Any] = {"mentions": mentions, "whisper": whisper, "agent": staff.id, "via": via}
    line = RecordLine(
        conversation_id=conversation_id, channel=address.channel, direction=Direction.NOTE, by=staff.name, text=text,
        body=body, at=at,
    )  # fmt: skip
    await conversations.write(db, line, conversation)
    subject = f"conversation:{conversation_id}"
    for mentioned in mentions:
        facts = {"line": line.id, "staff": mentioned}
        await events.record(db, "conversation.mentioned", subject, by=staff.name, at=at, **facts)
    return line


async def end(
    db: AsyncSession, conversation_id: int, staff: Staff, act: Act, *, at: datetime, outcome: str = "",
    category: str = "", text: str = "",
) -> Claim:  # fmt: skip
    """Close the conversation or return it to the bot; what was still held is sent first. Raises NotYours."""
    assert staff.id is not None
    await queue.open_entry(db, conversation_id, lock=True)  # before the conversation, as everywhere
    for held in await agent_messages.held(db, conversation_id):
        await release(db, conversation_id, held.client_id, at=at)
    ended = await claims.end(
        db, conversation_id, staff.id, act, by=staff.name, at=at, outcome=outcome, category=category
    )
    if text:
        await note(db, conversation_id, staff, text, mentions=[], whisper=False, at=at)
    name = "returned_to_bot" if act is Act.RETURN else "agent_closed"
    choices = (Choice("person", "person", {}), Choice("menu", "menu", {}))
    await _tell(db, ended.conversation, Reply(name, {}, choices), at=at)
    return ended


async def transfer(
    db: AsyncSession, conversation_id: int, staff: Staff, to: int | None, *, summary: str, at: datetime,
    skill: str | None = None,
) -> Claim:  # fmt: skip
    """Hand over to a colleague, who must accept, or back to the line. Raises NotYours, NotAtDesk, NoCapacity."""
    assert staff.id is not None
    rules = (await policy.current(db, at=at)).queue
    given = await claims.transfer(db, rules, conversation_id, staff.id, to, by=staff.name, at=at, skill=skill)
    await note(db, conversation_id, staff, summary, mentions=[to] if to else [], whisper=False, at=at)
    if to is None:
        await _tell(db, given.conversation, Reply("agent_released", {}), at=at)
    return given


async def accept(db: AsyncSession, conversation_id: int, staff: Staff, *, at: datetime) -> Claim:
    """Take what a colleague hands over; the customer hears who is there now. Raises NotYours."""
    taken = await claims.accept_transfer(db, conversation_id, staff.id or 0, by=staff.name, at=at)
    await _arrived(db, taken.conversation, staff, "agent_took_over", at=at)
    return taken


async def take_over(db: AsyncSession, conversation_id: int, staff: Staff, *, reason: str, at: datetime) -> Claim:
    """A supervisor takes a conversation. Raises NotYours."""
    taken = await claims.take_over(db, conversation_id, staff.id or 0, reason=reason, by=staff.name, at=at)
    await _arrived(db, taken.conversation, staff, "agent_took_over", at=at)
    return taken


async def lapse(db: AsyncSession, staff_id: int, *, at: datetime) -> int:
    """An agent has vanished: their customers are told and wait at their old place. Returns how many."""
    rules = (await policy.current(db, at=at)).queue
    given = await claims.lapse(db, rules, staff_id, at=at)
    for each in given:
        await _tell(db, each.conversation, Reply("agent_lapsed", {}), at=at)
    return len(given)


async def set_status(
    db: AsyncSession, staff: Staff, status: Presence, *, at: datetime, capacity: int | None = None,
    until: datetime | None = None,
) -> Seat:  # fmt: skip
    """Say what one is doing. Whoever goes offline gives their customers back; they keep their place and are told."""
    assert staff.id is not None
    if status == Presence.OFFLINE:
        for each in await claims.give_back_all(db, staff.id, Act.RELEASE, by=staff.name, at=at):
            await _tell(db, each.conversation, Reply("agent_released", {}), at=at)
    return await presence.set_status(db, staff.id, status, at=at, by=staff.name, capacity=capacity, until=until)
