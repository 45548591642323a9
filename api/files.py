"""Files over HTTP, the same for customers and staff: taken in, shown, handed out."""

from typing import Final
from urllib.parse import quote

from fastapi import UploadFile
from fastapi.responses import Response
from pydantic import BaseModel
from sqlmodel.ext.asyncio.session import AsyncSession

from api.services import Services
from desk import attachments
from desk.attachments import INLINE, LARGEST, Attachment

# anything but a picture is saved, never run in our origin
_SANDBOX: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


class FileView(BaseModel):
    """A file of a conversation; without an id it is still being fetched from the channel."""

    id: str | None
    name: str
    media_type: str
    size: int
    url: str | None


def shown(files: list[dict[str, object]], folder: str) -> list[FileView]:
    """The files that a line names, with addresses below `folder`."""
    return [
        FileView.model_validate({**file, "url": f"{folder}/{file['id']}" if file["id"] else None}) for file in files
    ]


async def taken(db: AsyncSession, use: Services, conversation: int, file: UploadFile, folder: str) -> FileView:
    """Store an uploaded file. Raises BodyTooLarge over 20 MB, UnsupportedFile."""
    kept = await attachments.keep(
        db, use.storage, conversation, name=file.filename or "file",
        media_type=file.content_type or "application/octet-stream", content=await file.read(LARGEST + 1),
        at=use.clock.now(),
    )  # fmt: skip
    return FileView(id=kept.id, name=kept.name, media_type=kept.media_type, size=kept.size, url=f"{folder}/{kept.id}")


async def handed(use: Services, kept: Attachment) -> Response:
    """The bytes: a picture to look at, anything else to save. Raises UnknownAttachment."""
    content = await use.storage.get(kept.id)
    if kept.media_type in INLINE:
        return Response(content, media_type=kept.media_type, headers=_SANDBOX)
    name = f"attachment; filename*=UTF-8''{quote(kept.name, safe='')}"
    return Response(content, media_type="application/octet-stream", headers={**_SANDBOX, "Content-Disposition": name})
