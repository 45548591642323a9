"""What the learning list hears of a conversation: questions without an answer, and answers that were not meant."""

from datetime import datetime
from typing import Final

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from bot.dialogue import SILENT, Heard, Outcome
from bot.inbound import Inbound
from desk.conversations import Conversation, Direction, RecordLine
from knowledge import learning
from knowledge.learning import Why

_THIRD: Final = 2  # where the third choice stands in its list


async def note(
    db: AsyncSession, conversation: Conversation, inbound: Inbound, heard: Heard, outcome: Outcome, line: RecordLine, *,
    at: datetime,
) -> None:  # fmt: skip
    """Put a question on the learning list, if this message says that the guide failed it."""
    if any(reply.name in SILENT for reply in outcome.replies):
        await learning.note(
            db, line.text, Why.ABSTAINED, line=line.id or 0, finding=heard.finding, by="customer", at=at
        )
    if inbound.choice is None:
        return
    if inbound.choice.partition(":")[0] not in ("ask", "keep"):
        return
    offer = await _offer(db, conversation, inbound.choice, before=line.id or 0)
    if offer is None or offer.body.get("in_reply_to") is None:
        return
    ids = [choice["id"] for choice in offer.body["choices"]]
    keeps = inbound.choice.startswith("keep:")
    if keeps and offer.body["name"] in ("answer", "choices"):
        why = Why.WRONG
    elif not keeps and offer.body["name"] == "choices" and ids.index(inbound.choice) == _THIRD:
        why = Why.THIRD
    else:
        return
    asked = await db.get(RecordLine, offer.body["in_reply_to"])
    if asked is not None and asked.text:
        offered = [(key, score) for key, _, score in asked.body.get("understood", {}).get("matches", [])]
        await learning.note(
            db, asked.text, why, line=asked.id or 0, finding=None, offered=offered, by="customer", at=at
        )


async def _offer(db: AsyncSession, conversation: Conversation, choice: str, *, before: int) -> RecordLine | None:
    """The latest reply that offered this choice."""
    query = select(RecordLine).where(
        col(RecordLine.conversation_id) == conversation.id, col(RecordLine.direction) == Direction.OUT,
        col(RecordLine.id) < before, col(RecordLine.body)["choices"].contains([{"id": choice}]),
    )  # fmt: skip
    return (await db.exec(query.order_by(col(RecordLine.id).desc()).limit(1))).first()
