"""A customer for the tests: says things to the assistant and reads what came back."""

import itertools
from dataclasses import dataclass, field
from typing import Any

from bot.assistant import Assistant, Received
from bot.inbound import File, Inbound
from desk.conversations import Channel, RecordLine


@dataclass
class Customer:
    """One person at one address; every message gets an external id of its own."""

    assistant: Assistant
    address: str = "visitor"
    channel: Channel = Channel.WEB
    last: list[RecordLine] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    def inbound(self, text: str = "", **more: Any) -> Inbound:
        """The next message, not yet sent."""
        number = f"{self.address}:{next(self._numbers)}"
        return Inbound(self.channel, number, self.address, text=text, **more)

    async def sends(self, text: str = "", **more: Any) -> Received:
        """Send a message; what became of it."""
        received = await self.assistant.receive(self.inbound(text, **more))
        assert received is not None
        self.last = received.replies
        return received

    async def says(self, text: str = "", **more: Any) -> str:
        """Send a message; all that was answered, as one text."""
        return "\n".join(reply.text for reply in (await self.sends(text, **more)).replies)

    async def taps(self, label: str) -> str:
        """Tap the button with this label under the last replies."""
        [choice] = [c["id"] for reply in self.last for c in reply.body["choices"] if c["label"] == label]
        return await self.says(choice=choice)

    @property
    def names(self) -> list[str]:
        """The names of the last replies."""
        return [reply.body["name"] for reply in self.last]

    @property
    def buttons(self) -> list[str]:
        """The labels under the last replies."""
        return [choice["label"] for reply in self.last for choice in reply.body.get("choices", [])]

    @property
    def sources(self) -> list[str]:
        """Document and article of what the last replies cite."""
        return [source["document"] + source["article"] for reply in self.last for source in reply.body["sources"]]


def picture(name: str = "photo.jpg") -> File:
    """A picture that is already stored."""
    return File(name, "image/jpeg", 1000, id="0" * 32)
