"""Saying something to a customer: a named reply becomes words, a line of the contact record and a delivery."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from desk import conversations, deliveries
from desk.conversations import Address, Conversation, Direction, RecordLine
from templates import Reply


async def say(
    db: AsyncSession, conversation: Conversation, address: Address, replies: Sequence[Reply],
    in_reply_to: int | None, at: datetime, *, by: str = "bot",
) -> list[RecordLine]:  # fmt: skip
    """Write replies in the conversation's language. The caller holds the conversation."""
    said: list[RecordLine] = []
    for reply in replies:
        body = templates.render_reply(reply, conversation.language)
        line = _line(conversation, address, body.pop("text"), body | {"in_reply_to": in_reply_to}, by=by, at=at)
        said.append(await _send(db, conversation, address, line, at))
    return said


async def speak(
    db: AsyncSession, conversation: Conversation, address: Address, text: str, body: dict[str, Any], *, by: str,
    at: datetime,
) -> RecordLine:  # fmt: skip
    """Write what a person says, as it is. The caller holds the conversation."""
    return await _send(db, conversation, address, _line(conversation, address, text, body, by=by, at=at), at)


def _line(
    conversation: Conversation, address: Address, text: str, body: dict[str, Any], *, by: str, at: datetime
) -> RecordLine:
    return RecordLine(
        conversation_id=conversation.id or 0, channel=address.channel, direction=Direction.OUT, by=by, text=text,
        body=body, at=at,
    )  # fmt: skip


async def _send(
    db: AsyncSession, conversation: Conversation, address: Address, line: RecordLine, at: datetime
) -> RecordLine:
    await conversations.write(db, line, conversation)
    await deliveries.enqueue(db, line, address, at=at)
    return line
