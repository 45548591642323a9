"""A message as it comes in, the same from every channel."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from desk.conversations import Channel

_LINK: Final = re.compile(r"\s*/start(?:@\w+)?\s+bind-([\w-]{1,64})\s*", re.I | re.A)


def storable(text: str) -> str:
    """The text without what no database keeps: NUL characters and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class File:
    """A file that came with a message: already stored (`id`), or still to be fetched from the channel (`remote`)."""

    name: str
    media_type: str
    size: int
    id: str | None = None
    remote: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", storable(self.name))


@dataclass(frozen=True)
class Location:
    """A shared place, WGS-84 degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True)
class Inbound:
    """One message from a customer. `external_id` is unique on its channel and makes it idempotent."""

    channel: Channel
    external_id: str
    address: str
    text: str = ""
    choice: str | None = None
    tapped: str | None = None  # the message whose button was tapped, where the channel says so
    files: tuple[File, ...] = ()
    album: str | None = None
    location: Location | None = None
    edited: bool = False  # an earlier message, said anew
    name: str = ""
    language: str | None = None  # what the channel knows about the person's language
    back: bool = False  # only says that the address works again, nothing to answer
    gone: bool = False  # only says that the address no longer works
    token: str | None = field(default=None, init=False, repr=False)  # of a one-time link, taken out of the text

    def __post_init__(self) -> None:
        for name in ("text", "name"):
            object.__setattr__(self, name, storable(getattr(self, name)))
        if link := _LINK.fullmatch(self.text):
            # what opens an account is used, never kept in the contact record
            object.__setattr__(self, "text", "/start")
            object.__setattr__(self, "token", link[1])
        if self.choice is not None:
            object.__setattr__(self, "choice", storable(self.choice))

    @property
    def shared(self) -> bool:
        """Whether others read along: Telegram numbers groups below zero."""
        return self.channel is Channel.TELEGRAM and self.address.startswith("-")

    def body(self) -> dict[str, Any]:
        """What the contact record keeps beside the text."""
        kept: dict[str, Any] = {}
        if self.choice:
            kept["choice"] = self.choice
        if self.tapped:
            kept["tapped"] = self.tapped
        if self.files:
            kept["attachments"] = [vars(file) for file in self.files]
        if self.album:
            kept["album"] = self.album
        if self.location:
            kept["location"] = vars(self.location)
        if self.edited:
            kept["edited"] = True
        return kept
