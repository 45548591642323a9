"""The files and the place of a message as Telegram takes them: what each is sent as, and which of them together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from bot.telegram.wording import Part, units
from desk.attachments import Storage

CAPTION: Final = 1024  # UTF-16 units of a caption after its entities are parsed
ALBUM: Final = 10  # files of one album
UPLOAD: Final = 45 * 1024 * 1024  # bytes of one request; Telegram takes 50 MB
PHOTO: Final = 10 * 1024 * 1024  # bytes of a picture shown as a photo
SIDES: Final = 10_000  # pixels of a photo's width and height together
RATIO: Final = 20  # of its longer side to its shorter one


class Kind(StrEnum):
    """What a file is sent as."""

    PHOTO = "photo"
    VIDEO = "video"
    ANIMATION = "animation"
    AUDIO = "audio"
    VOICE = "voice"
    DOCUMENT = "document"


# what may share an album: pictures with films, else only one's own kind; the other kinds travel alone
_TOGETHER: Final = {Kind.PHOTO: "seen", Kind.VIDEO: "seen", Kind.AUDIO: "heard", Kind.DOCUMENT: "read"}


@dataclass(frozen=True)
class Item:
    """One file: its number in the storage, its name, its size in bytes and what it is sent as."""

    id: str
    name: str
    size: int
    kind: Kind


@dataclass(frozen=True)
class Media:
    """One file, or an album of up to ten, with the words under the first."""

    items: tuple[Item, ...]
    caption: Part | None = None

    @property
    def messages(self) -> int:
        """As how many messages it counts."""
        return len(self.items)


@dataclass(frozen=True)
class Place:
    """A place, WGS-84 degrees."""

    latitude: float
    longitude: float
    messages: ClassVar[int] = 1


Leg = Part | Media | Place


async def load(body: dict[str, Any], storage: Storage) -> list[Item]:
    """The files of a message, looked at one by one. Raises UnknownAttachment when one is not in the storage."""
    items = []
    for file in body.get("attachments", []):
        content = await storage.get(file["id"])
        items.append(Item(file["id"], named(file["name"]), len(content), kind_of(file["media_type"], content)))
    return items


def named(name: str) -> str:
    """A file name that passes through the header of a form: Telegram shows an escaped quotation mark as `%22`."""
    return name.replace('"', "'")


def legs(words: Sequence[Part], items: Sequence[Item], place: dict[str, Any] | None) -> list[Leg]:
    """What is sent, in order: the words under the first file where they fit, else before it; the place last."""
    media = [Media(group) for group in _grouped(items)]
    places = [Place(place["latitude"], place["longitude"])] if place else []
    said: list[Part] = [part for part in words if part.plain or not (media or places)]
    if media and len(said) == 1 and _captions(media[0], said[0]):
        media[0], said = Media(media[0].items, said[0]), []
    return [*said, *media, *places]


def _captions(first: Media, words: Part) -> bool:
    """Whether words can stand under a file. An album has no buttons, and only one of pictures shows them for all."""
    alone = len(first.items) == 1
    seen = _TOGETHER.get(first.items[0].kind) == "seen"
    return units(words.plain) <= CAPTION and (alone or (seen and not words.buttons))


def _grouped(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    """Files in albums, in the order in which each sort first appears."""
    sorts: dict[str, list[Item]] = {}
    for item in items:
        sorts.setdefault(_TOGETHER.get(item.kind, item.id), []).append(item)
    for sort in sorts.values():
        album: list[Item] = []
        for item in sort:
            if album and (len(album) == ALBUM or sum(each.size for each in album) + item.size > UPLOAD):
                yield tuple(album)
                album = []
            album.append(item)
        yield tuple(album)


def kind_of(media_type: str, content: bytes) -> Kind:
    """What a file is sent as: what it says it is, unless its bytes or Telegram's limits make it a plain document."""
    match media_type.partition(";")[0].strip().lower():
        case "image/png" | "image/jpeg" | "image/webp" if len(content) <= PHOTO and _fits(pixels(content)):
            return Kind.PHOTO
        case "image/gif" if content.startswith(b"GIF8"):
            return Kind.ANIMATION
        case "video/mp4" if content[4:8] == b"ftyp":
            return Kind.VIDEO
        case "audio/ogg" | "audio/opus" if b"OpusHead" in content[:100]:
            return Kind.VOICE
        case "audio/mpeg" | "audio/mp3" | "audio/mp4" | "audio/m4a" | "audio/x-m4a":
            return Kind.AUDIO
    return Kind.DOCUMENT


def _fits(size: tuple[int, int] | None) -> bool:
    if size is None or min(size) < 1:
        return False
    return sum(size) <= SIDES and max(size) <= RATIO * min(size)


def pixels(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, JPEG or WebP picture; None when it is none of these."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR" and len(content) >= 24:
        return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and len(content) >= 30:
        return _webp(content)
    return None


def _jpeg(content: bytes) -> tuple[int, int] | None:
    """From the frame header, over whatever segments stand before it."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(content[at + 7 : at + 9]), int.from_bytes(content[at + 5 : at + 7])
        if marker in (0xD9, 0xDA):
            return None
        padded = marker == 0xFF
        at += 1 if padded else 2 + int.from_bytes(content[at + 2 : at + 4])
    return None


def _webp(content: bytes) -> tuple[int, int] | None:
    """From the first chunk: lossy, lossless or extended."""
    match content[12:16]:
        case b"VP8 ":
            sides = int.from_bytes(content[26:28], "little"), int.from_bytes(content[28:30], "little")
            return sides[0] & 0x3FFF, sides[1] & 0x3FFF
        case b"VP8L":
            bits = int.from_bytes(content[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    return None
