"""Files: limits, refused kinds, whole or not at all, and only for their own conversation."""

from pathlib import Path

import pytest
from sqlmodel import select

from desk import attachments, conversations
from desk.attachments import LARGEST, Attachment, Folder
from desk.conversations import Channel
from desk.errors import BodyTooLarge, UnknownAttachment, UnsupportedFile
from desk.store import Store
from tests.conftest import MONDAY


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "files")


async def conversation(store: Store, visitor: str = "v") -> int:
    async with store.transaction() as db:
        begun, _ = await conversations.open_at(db, Channel.WEB, visitor, name="", language="en", at=MONDAY)
    return begun.id or 0


async def keep(store: Store, folder: Folder, name: str = "plan.pdf", content: bytes = b"x") -> Attachment:
    number = await conversation(store)
    async with store.transaction() as db:
        return await attachments.keep(
            db, folder, number, name=name, media_type="application/pdf", content=content, at=MONDAY
        )


async def test_a_file_comes_back_byte_by_byte(store: Store, folder: Folder, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    kept = await keep(store, folder, "厂区 平面图.pdf", content)
    assert (kept.name, kept.size) == ("厂区 平面图.pdf", 25600)
    assert await folder.get(kept.id) == content
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [kept.id]


async def test_the_largest_file_is_kept_and_one_byte_more_refused(store: Store, folder: Folder, tmp_path: Path) -> None:
    assert (await keep(store, folder, content=bytes(LARGEST))).size == LARGEST
    with pytest.raises(BodyTooLarge) as refused:
        await keep(store, folder, content=bytes(LARGEST + 1))
    assert refused.value.facts == {"limit": LARGEST}
    async with store.transaction() as db:
        assert len((await db.exec(select(Attachment))).all()) == 1


@pytest.mark.parametrize(
    "name", ["a.exe", "a.EXE", "a.pdf.exe", "a.exe.", "a.exe ", "a.js", "run.sh", "b.apk", "x.\x00exe"]
)
async def test_programs_are_refused(store: Store, folder: Folder, name: str) -> None:
    with pytest.raises(UnsupportedFile):
        await keep(store, folder, name.replace("\x00", ""))


async def test_an_empty_file_is_refused(store: Store, folder: Folder) -> None:
    with pytest.raises(UnsupportedFile):
        await keep(store, folder, content=b"")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\\b.pdf", "a_b.pdf"),
        ("a\x00\nb.pdf", "a__b.pdf"),
        ("gpj\u202efdp.jpg", "gpj_fdp.jpg"),
        ("half\ud83d.pdf", "half_.pdf"),
        ("", "file"),
        (" . ", "file"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
    ],
)
async def test_a_name_is_made_harmless(store: Store, folder: Folder, name: str, kept: str) -> None:
    assert (await keep(store, folder, name)).name == kept


async def test_a_file_is_written_whole_or_not_at_all(folder: Folder, tmp_path: Path) -> None:
    await folder.put("ab" * 16, b"first")
    blocked = tmp_path / "files" / "cd" / ("cd" * 16)
    blocked.mkdir(parents=True)
    (blocked / "in the way").touch()
    with pytest.raises(OSError, match=r"directory|exists"):
        await folder.put("cd" * 16, b"second")
    assert [path.name for path in tmp_path.rglob("*.part")] == []
    assert await folder.get("ab" * 16) == b"first"


async def test_a_file_belongs_to_one_conversation(store: Store, folder: Folder) -> None:
    kept = await keep(store, folder)
    other = await conversation(store, "other")
    async with store.transaction() as db:
        assert await attachments.of_conversation(db, kept.id, kept.conversation_id) is not None
        for number, owner in ((kept.id, other), ("0" * 32, other), ("\x00", other), ("", other), ("../x", other)):
            with pytest.raises(UnknownAttachment):
                await attachments.of_conversation(db, number, owner)


async def test_a_file_that_is_gone_is_unknown(folder: Folder) -> None:
    with pytest.raises(UnknownAttachment):
        await folder.get("0" * 32)
