"""Real files for tests, as small as their kinds allow."""

from io import BytesIO

from PIL import Image

FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(12)
VOICE = b"OggS" + bytes(24) + b"OpusHead" + bytes(11)
MUSIC = b"ID3" + bytes(20)


def picture(kind: str = "PNG", width: int = 3, height: int = 2) -> bytes:
    """A picture of one colour."""
    target = BytesIO()
    Image.new("RGB", (width, height), "green").save(target, kind)
    return target.getvalue()
