"""The running Telegram side: updates are acknowledged after their transaction, replies leave through the outbox."""

import asyncio
import contextlib
import hmac
import json
import logging
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import Column, SmallInteger, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col
from sqlmodel.ext.asyncio.session import AsyncSession
from telegram import Bot, BotCommand, CallbackQuery, Message, Update
from telegram.error import BadRequest, Conflict, InvalidToken, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

import templates
from bot.assistant import Assistant
from bot.inbound import Inbound
from bot.limiter import Limiter
from bot.sender import IN_FLIGHT, Sender
from bot.telegram import adapter
from bot.telegram.carrier import TelegramCarrier, seconds
from bot.telegram.typing_sign import Typing
from desk import attachments, deliveries
from desk.attachments import Storage
from desk.clock import Clock
from desk.columns import facts, key, moment, words
from desk.conversations import Channel, RecordLine
from desk.errors import BodyTooLarge, DatabaseDown, DeskError, SetupError, Unexpected, WrongSecret
from desk.leader import leadership
from desk.settings import Settings
from desk.store import Bell, Store

log = logging.getLogger("greenline.telegram")
ATTEMPTS: Final = 3  # tries before an update that cannot be handled is parked
LARGEST: Final = 1024 * 1024  # bytes of a webhook body; Telegram's are far smaller
POLL: Final = 25  # seconds a poll waits for updates
PAUSE: Final = 2  # seconds to wait after trouble with Telegram or the database
RIVAL: Final = 5  # seconds to wait while somebody else receives with our token
COMMANDS: Final = ("menu", "help", "lang", "cancel")


class ParkedUpdate(SQLModel, table=True):
    """An update that could not be handled: counted, then kept aside so that it blocks nobody."""

    __tablename__ = "parked_update"
    id: int | None = Field(default=None, sa_column=key())
    external_id: str = Field(sa_column=Column("external_id", words().type, nullable=False, unique=True))
    attempts: int = Field(default=1, sa_column=Column(SmallInteger, nullable=False, server_default=text("1")))
    error: str = Field(sa_column=words())
    content: dict[str, Any] = Field(sa_column=facts())
    at: Any = Field(sa_column=moment())


class TelegramService:
    """One bot. Exists only when a token is configured."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bell: Bell,
        clock: Clock,
        assistant: Assistant,
        storage: Storage,
    ) -> None:
        assert settings.telegram_token is not None
        base = settings.telegram_api_url
        # known without asking Telegram: a process that only takes webhook calls never does
        self._id = settings.telegram_token.get_secret_value().partition(":")[0]
        self._requests = (
            HTTPXRequest(connection_pool_size=IN_FLIGHT + 10, read_timeout=15, connect_timeout=5),
            # for polls, whose own time the library adds
            HTTPXRequest(connection_pool_size=2, read_timeout=10, connect_timeout=5),
        )
        self.bot = Bot(
            settings.telegram_token.get_secret_value(),
            base_url=f"{base}/bot",
            base_file_url=f"{base}/file/bot",
            request=self._requests[0],
            get_updates_request=self._requests[1],
        )
        self._settings, self._store, self._bell, self._clock = settings, store, bell, clock
        self._assistant, self._storage = assistant, storage
        secret = settings.telegram_webhook_secret
        self._secret = secret.get_secret_value() if secret else None
        self._courtesies: set[asyncio.Task[None]] = set()
        carrier = TelegramCarrier(self.bot, storage, self._rekey)
        self.sender = Sender(store, bell, clock, carrier, Limiter())
        self._typing = Typing(self.bot, bell, clock, self.sender.courtesy)

    @property
    def by_webhook(self) -> bool:
        """Whether Telegram calls us; otherwise we poll."""
        return self._secret is not None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["TelegramService"]:
        """Receive and send until the block ends."""
        tasks = [asyncio.create_task(self._receive(), name="telegram-in")]
        tasks.append(asyncio.create_task(self.sender.run(), name="telegram-out"))
        tasks.append(asyncio.create_task(self._typing.run(), name="telegram-typing"))
        try:
            yield self
        finally:
            for task in (*tasks, *self._courtesies):
                task.cancel()
            await asyncio.gather(*tasks, *self._courtesies, return_exceptions=True)

    async def close(self) -> None:
        """Close the connections to Telegram."""
        for request in self._requests:
            await request.shutdown()

    # -- in -----------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            async with leadership(self._store.url, "telegram:receive") as lost:
                try:
                    await self._introduce()
                    if self.by_webhook:
                        await lost.wait()
                    else:
                        await self._poll(lost)
                except RetryAfter as error:
                    await asyncio.sleep(seconds(error))
                except InvalidToken:
                    log.error("Telegram refuses the token; web chat goes on, trying again in a minute")
                    await asyncio.sleep(60)
                except TelegramError as error:
                    log.warning("Telegram not reachable: %s", error)
                    await asyncio.sleep(PAUSE)
                except Exception:
                    log.exception("receiving from Telegram interrupted")
                    await asyncio.sleep(PAUSE)

    async def _introduce(self) -> None:
        """Tell Telegram who we are, which commands there are, and how we want updates."""
        await self.bot.initialize()
        try:
            for language, code in (("zh_CN", "zh"), ("en", "en"), (self._settings.locale, None)):
                commands = [BotCommand(name, templates.label(f"command_{name}", language)) for name in COMMANDS]
                await self.bot.set_my_commands(commands, language_code=code)
        except BadRequest as error:
            log.warning("commands not accepted: %s", error)
        if self._secret:
            await self.bot.set_webhook(
                f"{self._settings.public_url}/telegram/webhook",
                secret_token=self._secret,
                allowed_updates=adapter.ALLOWED,
                max_connections=40,
            )
        else:
            await self.bot.delete_webhook(drop_pending_updates=False)

    async def _poll(self, lost: asyncio.Event) -> None:
        """Fetch, handle, and only then move the offset: what is not committed comes again."""
        offset: int | None = None
        while not lost.is_set():
            try:
                updates = await self.bot.get_updates(offset=offset, timeout=POLL, allowed_updates=adapter.ALLOWED)
            except Conflict as error:
                log.warning("somebody else receives with this token, trying again: %s", error)
                await asyncio.sleep(RIVAL)
                if "webhook" in error.message:
                    await self.bot.delete_webhook(drop_pending_updates=False)
                continue
            if updates and await self._handled(updates):
                offset = updates[-1].update_id + 1

    async def _handled(self, updates: Sequence[Update]) -> bool:
        """Handle updates, chats beside each other and each chat's in order. False = they must come again."""
        by_chat: dict[int | None, list[Update]] = defaultdict(list)
        for received in updates:
            by_chat[received.effective_chat.id if received.effective_chat else None].append(received)
        handled = True
        try:
            async with asyncio.TaskGroup() as group:
                for batch in by_chat.values():
                    group.create_task(self._in_order(batch))
        except* DatabaseDown:
            handled = False
        if not handled:
            log.warning("database away; updates stay with Telegram")
            await asyncio.sleep(PAUSE)
        return handled

    async def _in_order(self, updates: list[Update]) -> None:
        for received in updates:
            while not await self.handle(received):
                await asyncio.sleep(0.5)

    async def webhook(self, secret: str | None, body: AsyncIterator[bytes]) -> bool:
        """One call of the webhook: True = answer 200, False = answer 500 so that Telegram repeats it.

        Raises WrongSecret before anything is read, BodyTooLarge.
        """
        if not self._secret or not secret or not hmac.compare_digest(secret.encode(), self._secret.encode()):
            raise WrongSecret()
        content = bytearray()
        async for chunk in body:
            content += chunk
            if len(content) > LARGEST:
                log.warning("webhook body over %d bytes dropped", LARGEST)
                return True
        try:
            received = Update.de_json(json.loads(bytes(content)), self.bot)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # repeating what cannot be read would only block the queue
            log.warning("webhook body is no update: %s", error)
            return True
        return await self.handle(received)

    async def handle(self, received: Update) -> bool:
        """Handle one update in its transaction. False = it failed and should come again; parked ones return True.

        Raises DatabaseDown.
        """
        message: Inbound | None = None
        try:
            if received.message and (moved := _moved(received.message)):
                await self._rekey(*moved)
            elif message := adapter.inbound(received, self._id):
                too_large = any(file.size > attachments.LARGEST for file in message.files)
                if too_large and not message.text:
                    raise BodyTooLarge(limit=attachments.LARGEST)
                await self._assistant.receive(message)
        except DatabaseDown:
            raise
        except DeskError as error:
            log.info("update %d answered with %s", received.update_id, error.code)
            if message:
                await self._assistant.apologise(message, error)
        except Exception as error:
            reference = uuid.uuid4().hex[:8]
            log.exception("update %d failed, reference %s", received.update_id, reference)
            if not await self._park(received, error):
                return False
            if message:
                await self._admit(message, Unexpected(reference=reference))
        if received.callback_query:
            self._stop_spinning(received.callback_query)
        return True

    async def _admit(self, message: Inbound, error: DeskError) -> None:
        """Tell the sender of a parked update that it failed; parked it is even if that fails too."""
        try:
            await self._assistant.apologise(message, error)
        except DatabaseDown:
            raise
        except Exception:
            log.exception("%s parked without a word to its sender", message.external_id)

    def _stop_spinning(self, query: CallbackQuery) -> None:
        """End the button's waiting mark beside the work: a slow answer must hold up nobody."""

        async def answer() -> None:
            # an expired or repeated query is no reason to fail
            with contextlib.suppress(TelegramError):
                await query.answer()

        task = asyncio.create_task(answer())
        self._courtesies.add(task)
        task.add_done_callback(self._courtesies.discard)

    async def _park(self, received: Update, error: Exception) -> bool:
        """Count a failure; True once the update has used up its attempts and is set aside."""
        values = {
            "external_id": f"{self._id}:{received.update_id}",
            "error": adapter.storable(repr(error)[:500]),
            "content": _storable(received.to_dict()),
            "at": self._clock.now(),
        }
        statement = insert(ParkedUpdate).values(**values)
        again = statement.on_conflict_do_update(
            index_elements=["external_id"],
            set_={"attempts": col(ParkedUpdate.attempts) + 1, "error": values["error"], "at": values["at"]},
        )
        async with self._store.transaction() as db:
            attempts = (await db.execute(again.returning(col(ParkedUpdate.attempts)))).scalar_one()
        return int(attempts) >= ATTEMPTS

    # -- files and addresses ----------------------------------------------------------------------------------------

    async def fetch_files(self, line: int) -> None:
        """Bring the files of one record line from Telegram into our storage. Repeating it changes nothing."""
        async with self._store.transaction() as db:
            record = await db.get_one(RecordLine, line)
        contents: dict[str, bytes] = {}
        for file in record.body.get("attachments", []):
            if file["remote"] and not file["id"]:
                try:
                    remote = await self.bot.get_file(file["remote"])
                    contents[file["remote"]] = bytes(await remote.download_as_bytearray())
                except BadRequest as error:
                    log.warning("file of line %d not to be had: %s", line, error)
        async with self._store.transaction() as db:
            record = await db.get_one(RecordLine, line, with_for_update=True, populate_existing=True)
            files = [await self._kept(db, record, file, contents) for file in record.body.get("attachments", [])]
            record.body = {**record.body, "attachments": files}
            db.add(record)

    async def _kept(
        self, db: AsyncSession, record: RecordLine, file: dict[str, Any], contents: dict[str, bytes]
    ) -> dict[str, Any]:
        """The file as the record shows it from now on: stored, or known to be unobtainable."""
        if file["id"] or not file["remote"]:
            return file
        try:
            stored = await attachments.keep(
                db,
                self._storage,
                record.conversation_id,
                name=file["name"],
                media_type=file["media_type"],
                content=contents.get(file["remote"], b""),
                at=self._clock.now(),
            )
        except DeskError as error:
            log.warning("file of line %d not kept: %s", record.id, error)
            return {**file, "remote": None}
        return {**file, "id": stored.id, "size": stored.size}

    async def _rekey(self, old: str, new: str) -> None:
        """A group became a supergroup: its address gets the new number."""
        async with self._store.transaction() as db:
            await deliveries.readdress(db, Channel.TELEGRAM, old, new, at=self._clock.now())


def _moved(message: Message) -> tuple[str, str] | None:
    """The old and new number of a group, if the message says that it moved."""
    here = str(message.chat.id)
    if message.migrate_to_chat_id:
        return here, str(message.migrate_to_chat_id)
    if message.migrate_from_chat_id:
        return str(message.migrate_from_chat_id), here
    return None


def _storable(content: Any) -> Any:
    match content:
        case str():
            return adapter.storable(content)
        case dict():
            return {name: _storable(value) for name, value in content.items()}
        case list():
            return [_storable(value) for value in content]
    return content


def checked(settings: Settings) -> Settings:
    """The settings, if Telegram can work with them. Raises SetupError."""
    if settings.telegram_webhook_secret and not (settings.public_url or "").startswith("http"):
        raise SetupError("webhook_needs_public_url")
    return settings
