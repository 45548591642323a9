"""Files as the real server takes them from a bot: what each kind must be, and what it becomes."""

from __future__ import annotations

from io import BytesIO
from typing import Final

from PIL import Image, UnidentifiedImageError

from tests.telegram.botapi_requests import Refusal, Upload, bad
from tests.telegram.botapi_text import Json

MEBI: Final = 2**20
FACTS: Final[dict[str, Json]] = {  # what the real server finds out about each kind
    "video": {"width": 640, "height": 360, "duration": 1},
    "animation": {"width": 320, "height": 180, "duration": 1},
    "audio": {"duration": 1},
    "voice": {"duration": 1},
    "document": {},
}


def checked(kind: str, given: Upload) -> Upload:
    """The upload, if the real server would take it as this kind."""
    size = len(given.content)
    if not size:
        bad("file must be non-empty")
    if size > 50 * MEBI:
        raise Refusal(413, "Request Entity Too Large")
    if kind == "photo":
        if size > 10 * MEBI:
            bad(f"file of size {size} bytes is too big for a photo; the maximum size is {10 * MEBI} bytes")
        _picture(given.content)
    return given


def _picture(content: bytes) -> None:
    try:
        with Image.open(BytesIO(content)) as picture:
            width, height = picture.size
    except UnidentifiedImageError:
        bad("IMAGE_PROCESS_FAILED")
    if width + height > 10_000 or max(width, height) > 20 * min(width, height):
        bad("PHOTO_INVALID_DIMENSIONS")


def mixable(kinds: list[str]) -> None:
    """Refuse an album of kinds that do not go together."""
    for kind in kinds:
        if kind not in ("photo", "video", "audio", "document"):
            bad(f"can't parse InputMedia: type {kind!r} is not allowed in an album")
    for kind in ("audio", "document"):
        if kind in kinds and set(kinds) != {kind}:
            bad(f"{kind} can't be mixed with other media types")
