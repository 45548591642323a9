"""Telegram updates as inbounds."""

from dataclasses import replace

from telegram import Message, Sticker, Update
from telegram.constants import ChatMemberStatus

from bot.inbound import File, Inbound, Location
from bot.telegram.wording import VERSION
from desk.conversations import Channel

ALLOWED = ["message", "edited_message", "callback_query", "my_chat_member"]
# what Telegram names no file of, as it always is: the name and the type under which it can be opened
_NAMELESS = {
    "animation": ("animation.mp4", "video/mp4"),
    "document": ("document", "application/octet-stream"),
    "video": ("video.mp4", "video/mp4"),
    "voice": ("voice.ogg", "audio/ogg"),
    "audio": ("audio.mp3", "audio/mpeg"),
    "video_note": ("video_note.mp4", "video/mp4"),
    "sticker": ("", ""),  # of three sorts
}


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
    edited = update.edited_message
    message = update.message or edited
    # somebody who shares where they go edits that message every few seconds
    if message is None or not _says_something(message) or (edited and message.location):
        return None
    return replace(
        base,
        text=_words(message),
        files=_files(message),
        album=None if edited else message.media_group_id,
        location=_location(message),
        edited=bool(edited),
    )


def storable(text: str) -> str:
    """Without what a database cannot store: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _words(message: Message) -> str:
    """What the message says: its text, or in a word what a shared contact, a venue, a poll or a die shows."""
    contact, venue = message.contact, message.venue
    said = (
        message.text
        or message.caption
        or (contact and f"{contact.first_name} {contact.last_name or ''} {contact.phone_number}")
        or (venue and f"{venue.title} {venue.address}")
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
    for kind, named in _NAMELESS.items():
        if found := getattr(message, kind):
            name, media_type = _moving(found) if kind == "sticker" else named
            media_type = getattr(found, "mime_type", None) or media_type
            name = storable(getattr(found, "file_name", None) or name)
            return (File(name, media_type, found.file_size or 0, remote=found.file_id),)
    return ()


def _moving(sticker: Sticker) -> tuple[str, str]:
    """The name and type of a sticker, which may be a picture, a film or a drawing that moves."""
    if sticker.is_video:
        return "sticker.webm", "video/webm"
    return ("sticker.tgs", "application/gzip") if sticker.is_animated else ("sticker.webp", "image/webp")
