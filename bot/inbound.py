"""A message as it comes in, the same from every channel."""

from dataclasses import dataclass
from typing import Any

from desk.conversations import Channel


@dataclass(frozen=True)
class File:
    """A file that came with a message: already stored (`id`), or still to be fetched from the channel (`remote`)."""

    name: str
    media_type: str
    size: int
    id: str | None = None
    remote: str | None = None


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
    name: str = ""
    language: str | None = None  # what the channel knows about the person's language
    back: bool = False  # only says that the address works again, nothing to answer
    gone: bool = False  # only says that the address no longer works

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
        return kept
