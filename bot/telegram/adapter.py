"""Telegram updates as inbounds."""

from dataclasses import replace

from telegram import Message, Update
from telegram.constants import ChatMemberStatus

from bot.inbound import File, Inbound, Location
from bot.telegram.wording import VERSION
from desk.conversations import Channel

ALLOWED = ["message", "callback_query", "my_chat_member"]


def inbound(update: Update, bot_id: str) -> Inbound | None:
    """The inbound in an update, or None when there is nothing for us in it (channel posts, service messages)."""
    chat = update.effective_chat
    if chat is None:
        return None
    person = update.effective_user
    base = Inbound(
        Channel.TELEGRAM,
        f"{bot_id}:{update.update_id}",
        str(chat.id),
        name=storable(person.full_name) if person else "",
        language=_language(person.language_code if person else None),
    )
    if update.my_chat_member:
        gone = update.my_chat_member.new_chat_member.status in (
            ChatMemberStatus.BANNED,
            ChatMemberStatus.LEFT,
        )
        return replace(base, gone=gone, back=not gone)
    query = update.callback_query
    if query:
        choice = storable(query.data or "").removeprefix(VERSION)
        known = (query.data or "").startswith(VERSION)
        tapped = str(query.message.message_id) if query.message else query.inline_message_id
        return replace(base, choice=choice if known and choice else "?", tapped=tapped)
    message = update.message
    if message is None or not _says_something(message):
        return None
    return replace(
        base,
        text=_words(message),
        files=_files(message),
        album=message.media_group_id,
        location=_location(message),
    )


def storable(text: str) -> str:
    """Without what a database cannot store: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _words(message: Message) -> str:
    """What the message says: its text, or in a word what a shared contact, a poll or a die shows."""
    contact = message.contact
    said = (
        message.text
        or message.caption
        or (contact and f"{contact.first_name} {contact.last_name or ''} {contact.phone_number}")
        or (message.poll and message.poll.question)
        or (message.dice and message.dice.emoji)
    )
    return storable(said or "")


def _says_something(message: Message) -> bool:
    # members joining, titles changing and the like are no messages of a customer
    return bool(message.text or message.caption or message.effective_attachment)


def _language(code: str | None) -> str | None:
    """Chinese first: English only for people whose Telegram is set to it."""
    return "en" if code and code.lower().startswith("en") else None


def _location(message: Message) -> Location | None:
    place = message.location or (message.venue.location if message.venue else None)
    return Location(place.latitude, place.longitude) if place else None


def _files(message: Message) -> tuple[File, ...]:
    if message.photo:
        largest = message.photo[-1]
        return (File("photo.jpg", "image/jpeg", largest.file_size or 0, remote=largest.file_id),)
    for kind in ("document", "video", "voice", "audio", "video_note", "animation", "sticker"):
        found = getattr(message, kind)
        if found:
            name = storable(getattr(found, "file_name", None) or kind)
            media_type = getattr(found, "mime_type", None) or "application/octet-stream"
            return (File(name, media_type, found.file_size or 0, remote=found.file_id),)
    return ()
