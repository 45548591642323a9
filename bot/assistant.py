"""The assistant: one inbound message in, its replies stored, all in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from bot import dialogue, identity, lessons
from bot.dialogue import Alarm, Heard, Left, Outcome, Scene
from bot.identity import AskManager, Choose, ConfirmCode, Mine, ProveName, Redeem, SendCode, Told, Unbind, Wish
from bot.inbound import Inbound
from bot.mind import Mind
from bot.reception import SKILLS, Join, Leave, Reception
from bot.speech import say
from desk import alarms, areas, binding, conversations, events, jobs, masks, policy, queue
from desk.clock import Clock
from desk.conversations import Address, Channel, Conversation, Direction, Handler, RecordLine
from desk.customers import Account
from desk.errors import DeskError, EmptyMessage, GuideLoading
from desk.queue import Reason
from desk.ranks import rank_of
from desk.store import Store
from knowledge import checklists, temper
from knowledge import text as words
from knowledge.intents import Intent, Reading
from templates import Reply

SAME_TAP: Final = timedelta(seconds=3)  # a second tap on the same button within this time is a slip of the finger
ALBUM_PAUSE: Final = timedelta(seconds=2)  # how long to wait for further pictures of an album
TOPICS: Final[dict[str, tuple[str, ...]]] = {
    "apply": ("g02", "g05", "g10", "g11", "g14"),
    "service": ("m09", "m11", "f04", "z01", "c06"),
}


@dataclass(frozen=True)
class Received:
    """What became of one inbound: its line in the contact record and the replies to it."""

    conversation: Conversation
    line: RecordLine
    replies: list[RecordLine]
    repeated: bool = False


class Assistant:
    """Understands messages and answers them, the same on every channel."""

    def __init__(self, store: Store, mind: Mind, clock: Clock, reception: Reception, *, language: str) -> None:
        self._store, self._mind, self._clock, self._language = store, mind, clock, language
        self._reception = reception

    async def receive(self, inbound: Inbound) -> Received | None:
        """Handle one message in one transaction: record, decide, store replies, commit.

        A repeated external id changes nothing and returns the first result. None = there was nothing to answer.
        While the guide is loading the message is kept and its sender told so. Raises EmptyMessage, DatabaseDown.
        """
        if not (
            inbound.text.strip() or inbound.choice or inbound.files or inbound.location or inbound.back or inbound.gone
        ):
            raise EmptyMessage()
        at = self._clock.now()
        async with self._store.transaction() as db:
            if known := await conversations.seen(db, inbound.channel, inbound.external_id):
                return await self._before(db, known)
            language = inbound.language or self._language
            conversation, address = await conversations.open_at(
                db, inbound.channel, inbound.address, name=inbound.name, language=language, at=at
            )
            # the same message may have been handled while we waited for the lock
            if known := await conversations.seen(db, inbound.channel, inbound.external_id):
                return await self._before(db, known)
            if inbound.gone:
                await conversations.mark_unreachable(db, address, cause="blocked", at=at)
                return None
            await conversations.mark_reachable(db, address, at=at)
            if inbound.back:
                return None
            line = await self._record(db, conversation, inbound, at)
            conversation.last_inbound_at = at
            replies: list[RecordLine] = []
            try:
                if conversation.handler == Handler.AGENT:
                    await self._overhear(db, conversation, inbound, line, at)
                else:
                    replies = await self._answer(db, conversation, address, inbound, line, at)
            except GuideLoading as error:
                # whoever talks with a person needs no guide
                if conversation.handler == Handler.BOT:
                    replies = await self._regret(db, conversation, address, error, line, at)
            db.add(conversation)
            return Received(conversation, line, replies)

    async def greet(self, channel: Channel, address: str, *, language: str) -> Conversation:
        """The conversation at this address; a new one begins with the greeting."""
        at = self._clock.now()
        async with self._store.transaction() as db:
            conversation, place = await conversations.open_at(db, channel, address, name="", language=language, at=at)
            assert conversation.id is not None
            if not await conversations.lines(db, conversation.id, limit=1):
                await say(db, conversation, place, [dialogue.greeting(conversation.language)], None, at)
            return conversation

    async def finish_album(self, conversation_id: int, album: str) -> None:
        """Answer a whole album once its last picture has had time to arrive. Repeating it changes nothing."""
        at = self._clock.now()
        async with self._store.transaction() as db:
            conversation = await db.get_one(Conversation, conversation_id, with_for_update=True)
            albums = dict(conversation.state.get("albums", {}))
            waiting = albums.pop(album, None)
            if not waiting:
                return
            address = await db.get_one(Address, conversation.address_id)
            conversation.state = {**conversation.state, "albums": albums}
            if conversation.handler == Handler.BOT:
                scene = self._scene(conversation, waiting["line"])
                outcome = dialogue.album(scene, count=waiting["count"])
                await self._carry_out(db, conversation, address, outcome, waiting["line"], at)
            db.add(conversation)

    async def apologise(self, inbound: Inbound, error: DeskError) -> None:
        """Tell the customer that their message could not be handled, with the error's words; the message is kept."""
        at = self._clock.now()
        async with self._store.transaction() as db:
            if await conversations.seen(db, inbound.channel, inbound.external_id):
                return
            language = inbound.language or self._language
            conversation, address = await conversations.open_at(
                db, inbound.channel, inbound.address, name=inbound.name, language=language, at=at
            )
            line = await self._record(db, conversation, inbound, at)
            await self._regret(db, conversation, address, error, line, at)

    async def _regret(
        self,
        db: AsyncSession,
        conversation: Conversation,
        address: Address,
        error: DeskError,
        line: RecordLine,
        at: datetime,
    ) -> list[RecordLine]:
        names = [kind.__name__ for kind in type(error).__mro__]
        title, advice = templates.error_words(names, conversation.language, **error.facts)
        choices = (dialogue.keep(line.id or 0), dialogue.MENU)
        reply = Reply("error", {"title": title, "advice": advice}, choices)
        return await say(db, conversation, address, [reply], line.id, at)

    async def _before(self, db: AsyncSession, line: RecordLine) -> Received:
        assert line.id is not None
        conversation = await db.get_one(Conversation, line.conversation_id)
        return Received(conversation, line, await conversations.replies_to(db, line.id), repeated=True)

    async def _record(self, db: AsyncSession, conversation: Conversation, inbound: Inbound, at: datetime) -> RecordLine:
        line = RecordLine(
            conversation_id=conversation.id or 0,
            channel=inbound.channel,
            direction=Direction.IN,
            external_id=inbound.external_id,
            by="customer",
            text=inbound.text,
            body=inbound.body(),
            at=at,
        )
        await conversations.write(db, line, conversation)
        if any(file.remote for file in inbound.files):
            await jobs.defer(db, "fetch_files", line=line.id)
        return line

    async def _answer(
        self,
        db: AsyncSession,
        conversation: Conversation,
        address: Address,
        inbound: Inbound,
        line: RecordLine,
        at: datetime,
    ) -> list[RecordLine]:
        assert line.id is not None
        if self._slipped(conversation, inbound, at):
            return []
        heard = await self._hear(inbound)
        waits = conversation.handler == Handler.QUEUE
        if inbound.album and not heard.reading.danger and not waits:
            await self._gather(db, conversation, inbound, line.id, at)
            return []
        self._follow_language(conversation, inbound)
        kept = await self._kept(db, conversation, inbound.choice, before=line.id)
        held = await binding.accounts_of(db, conversation.contact_id)
        decide = dialogue.waiting if waits else dialogue.step
        outcome = decide(self._scene(conversation, line.id, kept, held), inbound, heard)
        if outcome.wish:
            told = await self._fulfil(db, conversation, address, outcome.wish, held, at)
            outcome = dialogue.turned(identity.after(outcome.wish, told, outcome.flow))
        line.body = {**line.body, "understood": _understood(heard)}
        db.add(line)
        await lessons.note(db, conversation, inbound, heard, outcome, line, at=at)
        replies = await self._carry_out(db, conversation, address, outcome, line.id, at)
        said = await self._receive(db, conversation, inbound, heard, outcome, held, at)
        return replies + await say(db, conversation, address, said, line.id, at)

    async def _receive(
        self,
        db: AsyncSession,
        conversation: Conversation,
        inbound: Inbound,
        heard: Heard,
        outcome: Outcome,
        held: Sequence[Account],
        at: datetime,
    ) -> list[Reply]:
        """What the reception says: to whoever wants a person, should have one, or asks where they stand."""
        matter = SKILLS.get(heard.reading.intent) if heard.reading.confidence >= dialogue.SURE else None
        if matter:
            conversation.state = {**conversation.state, "matter": matter}
        wish = outcome.person
        if outcome.asks_where:
            return await self._reception.where(db, conversation, at=at)
        if isinstance(wish, Leave):
            return await self._reception.leave(db, conversation, at=at)
        if wish is None and conversation.handler == Handler.BOT and not inbound.shared:
            wish = await self._should_have_one(db, conversation, inbound, outcome, held, at)
        if wish is None:
            return []
        conversation.state = {**conversation.state, "silent": 0}
        skill = conversation.state.get("matter", "")
        return await self._reception.join(db, conversation, wish, held, skill, at=at)

    async def _should_have_one(
        self,
        db: AsyncSession,
        conversation: Conversation,
        inbound: Inbound,
        outcome: Outcome,
        held: Sequence[Account],
        at: datetime,
    ) -> Join | None:
        """Whether a person should answer although nobody asked: anger, or the guide was silent once too often."""
        if inbound.choice is not None or outcome.flow:
            return None
        silent = any(reply.name in dialogue.SILENT for reply in outcome.replies)
        count = conversation.state.get("silent", 0) + 1 if silent else 0
        conversation.state = {**conversation.state, "silent": count}
        if temper.is_angry(inbound.text):
            return Join(Reason.ANGER, unasked=True)
        if not silent:
            return None
        if any(rank_of(each.tier, each.important).green for each in held):
            return Join(Reason.RULE, unasked=True)
        most = (await policy.current(db, at=at)).queue.abstentions
        return Join(Reason.ABSTENTION, unasked=True) if count >= most else None

    async def _overhear(
        self, db: AsyncSession, conversation: Conversation, inbound: Inbound, line: RecordLine, at: datetime
    ) -> None:
        """A person answers here. Only danger makes us do something: others than this one must know at once."""
        if inbound.choice is not None or not inbound.text.strip():
            return
        heard = await self._mind.overhear(inbound.text)
        line.body = {**line.body, "understood": _understood(heard)}
        db.add(line)
        if heard.reading.danger:
            await self._alarm(db, conversation, line.id or 0, at)

    async def _alarm(self, db: AsyncSession, conversation: Conversation, line: int, at: datetime) -> None:
        subject = f"conversation:{conversation.id}"
        await events.record(db, "danger.reported", subject, by="customer", at=at, line=line)
        await alarms.raise_alarm(db, conversation.id or 0, line, at=at)

    async def _hear(self, inbound: Inbound) -> Heard:
        if inbound.choice is not None or not inbound.text.strip() or dialogue.is_command(inbound.text):
            return Heard(Reading(Intent.SMALLTALK, 1.0, False), None)
        return await self._mind.hear(inbound.text)

    def _follow_language(self, conversation: Conversation, inbound: Inbound) -> None:
        """Answer in the language of the message until the customer fixes one."""
        if conversation.state.get("language_fixed") or not inbound.text or inbound.text.startswith("/"):
            return
        if identity.names(conversation.state.get("flow") or {}) or not any(map(str.isalpha, inbound.text)):
            return  # neither a firm's name nor a number tells the language of who types it
        clean = words.clean(inbound.text)
        if words.has_han(clean) and not words.mostly_latin(clean):
            conversation.language = "zh_CN"
        elif len(words.bare(clean).split()) >= 3 and not self._mind.guide.index.decoder.is_pinyin(words.bare(clean)):
            conversation.language = "en"

    def _slipped(self, conversation: Conversation, inbound: Inbound, at: datetime) -> bool:
        """Whether this is the same button tapped twice in a row."""
        tap = [inbound.tapped, inbound.choice] if inbound.tapped and inbound.choice else None
        last = conversation.state.get("tap")
        conversation.state = {**conversation.state, "tap": [*tap, at.isoformat()] if tap else None}
        return bool(tap and last and last[:2] == tap and at - datetime.fromisoformat(last[2]) < SAME_TAP)

    async def _gather(
        self, db: AsyncSession, conversation: Conversation, inbound: Inbound, line: int, at: datetime
    ) -> None:
        assert inbound.album is not None
        albums = conversation.state.get("albums", {})
        waiting = albums.get(inbound.album)
        if waiting is None:
            waiting = {"count": 0, "line": line}
            await jobs.defer(db, "finish_album", at=at + ALBUM_PAUSE, conversation=conversation.id, album=inbound.album)
        waiting = {**waiting, "count": waiting["count"] + len(inbound.files)}
        conversation.state = {**conversation.state, "albums": {**albums, inbound.album: waiting}}

    async def _kept(
        self, db: AsyncSession, conversation: Conversation, choice: str | None, *, before: int
    ) -> tuple[int, bool] | None:
        """The message that a `keep` button stands under, if it is one of this conversation; True = staff have it."""
        action, _, number = (choice or "").partition(":")
        if action != "keep" or not number.isdecimal() or len(number) > 18:
            return None
        line = await db.get(RecordLine, int(number)) if int(number) < before else None
        if line is None or line.conversation_id != conversation.id or line.direction != Direction.IN:
            return None
        left = await events.about(db, f"conversation:{conversation.id}", "message.left")
        return int(number), any(event.facts["line"] == line.id for event in left)

    def _scene(
        self,
        conversation: Conversation,
        line: int,
        kept: tuple[int, bool] | None = None,
        held: Sequence[Account] = (),
    ) -> Scene:
        guide, current = self._mind.guide, binding.current(conversation, held)
        return Scene(
            language=conversation.language,
            flow=conversation.state.get("flow") or {},
            kept=kept,
            line=line,
            entry=guide.entry,
            checklists=checklists.load(),
            topics=lambda name: [e for key in TOPICS.get(name, ()) if (e := guide.entry(key))],
            accounts=tuple(_mine(account, current=account is current) for account in held),
        )

    async def _fulfil(
        self,
        db: AsyncSession,
        conversation: Conversation,
        address: Address,
        wish: Wish,
        held: Sequence[Account],
        at: datetime,
    ) -> Told:
        """Carry out what the dialogue about identity wishes, in the transaction of the message."""
        proof, account = None, None
        match wish:
            case SendCode(no):
                proof = await binding.start_code(db, address, no, at=at)
            case ConfirmCode(no, code):
                proof, account = await binding.confirm_code(db, address, no, code, at=at)
            case ProveName(no, name, digits):
                proof, account = await binding.prove_by_name(db, address, no, name, digits, at=at)
            case Redeem(token):
                proof, account = await binding.use_link(db, address, token, at=at)
            case Choose(number) | Unbind(number) | AskManager(number):
                [account] = [each for each in held if each.id == number]
        if account is None:
            return Told(proof)
        if isinstance(wish, Unbind):
            await binding.unbind(db, account, conversation.contact_id, by="customer", at=at)
        elif isinstance(wish, AskManager):
            manager = await areas.manager_of(db, account)
            if manager is None:
                return Told(None, _mine(account))
            return Told(None, _mine(account), manager.name, manager.phone)
        else:
            await binding.choose(db, conversation, account, at=at)
            if conversation.handler == Handler.QUEUE:
                await queue.identify(db, conversation, account, by="customer", at=at)
        return Told(proof, _mine(account))

    async def _carry_out(
        self,
        db: AsyncSession,
        conversation: Conversation,
        address: Address,
        outcome: Outcome,
        line: int,
        at: datetime,
    ) -> list[RecordLine]:
        if outcome.language:
            conversation.language = outcome.language
        conversation.state = {
            **conversation.state,
            "flow": dict(outcome.flow),
            "language_fixed": bool(outcome.language or conversation.state.get("language_fixed")),
        }
        subject = f"conversation:{conversation.id}"
        for effect in outcome.effects:
            match effect:
                case Left():
                    await events.record(
                        db,
                        "message.left",
                        subject,
                        by="customer",
                        at=at,
                        line=effect.line,
                        about=effect.about,
                    )
                case Alarm():
                    await self._alarm(db, conversation, effect.line, at)
        return await say(db, conversation, address, outcome.replies, line, at)


def _mine(account: Account, *, current: bool = False) -> Mine:
    """An account as its contact is shown it."""
    assert account.id is not None
    return Mine(account.id, account.no, masks.holder(account.name), current)


def _understood(heard: Heard) -> dict[str, Any]:
    """What the record keeps about why the bot answered as it did."""
    kept: dict[str, Any] = {
        "intent": heard.reading.intent,
        "certainty": heard.reading.confidence,
        "danger": heard.reading.danger,
    }
    if heard.finding:
        kept |= {
            "decision": heard.finding.decision,
            "confidence": heard.finding.confidence,
            "matches": [[m.entry.key, m.entry.version, m.score] for m in heard.finding.matches],
        }
    return kept
