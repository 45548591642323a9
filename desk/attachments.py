"""Files that customers send: bytes behind one small seam, facts in a table."""

import asyncio
import re
import uuid
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import BigInteger, Column, Text
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.columns import moment, ref, words
from desk.errors import BodyTooLarge, UnknownAttachment, UnsupportedFile

INLINE: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")  # pictures that browsers show safely
LARGEST: Final = 20 * 1024 * 1024  # bytes; Telegram hands out no larger file either
REFUSED: Final = frozenset(
    {".exe", ".bat", ".cmd", ".com", ".scr", ".js", ".vbs", ".msi", ".apk", ".sh", ".ps1", ".jar"}
)
_NUMBER: Final = re.compile(r"[0-9a-f]{32}")


class Attachment(SQLModel, table=True):
    """One file of one conversation."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex, sa_column=Column(Text, primary_key=True))
    conversation_id: int = Field(sa_column=ref("conversation.id"))
    name: str = Field(sa_column=words())
    media_type: str = Field(sa_column=words())
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = Field(sa_column=moment())


class Storage(Protocol):
    """Keeps bytes under a key."""

    async def put(self, key: str, content: bytes) -> None: ...

    async def get(self, key: str) -> bytes: ...

    async def delete(self, key: str) -> None: ...


class Folder:
    """Storage in a folder of the data directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / key

    async def put(self, key: str, content: bytes) -> None:
        """Write atomically: a reader sees all bytes or none."""

        def write() -> None:
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            try:
                part.write_bytes(content)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

        await asyncio.to_thread(write)

    async def get(self, key: str) -> bytes:
        """The bytes. Raises UnknownAttachment."""
        try:
            return await asyncio.to_thread(self._path(key).read_bytes)
        except FileNotFoundError:
            raise UnknownAttachment() from None

    async def delete(self, key: str) -> None:
        """Take the bytes away, if they are there."""
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)


async def keep(
    db: AsyncSession,
    storage: Storage,
    conversation_id: int,
    *,
    name: str,
    media_type: str,
    content: bytes,
    at: datetime,
) -> Attachment:
    """Store a file. Raises BodyTooLarge over 20 MB, UnsupportedFile for programs and empty files."""
    # Windows drops dots and spaces at the end of a name, and what is left decides how it is opened
    name = re.sub(r"[\x00-\x1f\x7f\u202a-\u202e\ud800-\udfff/\\]", "_", name).strip(" .")[-120:] or "file"
    if len(content) > LARGEST:
        raise BodyTooLarge(limit=LARGEST)
    if not content or Path(name).suffix.lower() in REFUSED:
        raise UnsupportedFile(name=name)
    attachment = Attachment(
        conversation_id=conversation_id,
        name=name,
        media_type=media_type[:100],
        size=len(content),
        created_at=at,
    )
    await storage.put(attachment.id, content)
    db.add(attachment)
    await db.flush()
    return attachment


async def of_conversation(db: AsyncSession, attachment_id: str, conversation_id: int) -> Attachment:
    """The attachment, if it belongs to the conversation. Raises UnknownAttachment."""
    found = await db.get(Attachment, attachment_id) if _NUMBER.fullmatch(attachment_id) else None
    if found is None or found.conversation_id != conversation_id:
        raise UnknownAttachment()
    return found
