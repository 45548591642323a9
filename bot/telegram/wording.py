"""A stored reply as Telegram shows it: HTML, split below the limit, with buttons."""

import html
import unicodedata
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

import templates

LIMIT: Final = 4096  # UTF-16 units of a text after its entities are parsed
BUTTON_BYTES: Final = 64
VERSION: Final = "v1:"


@dataclass(frozen=True)
class Part:
    """One Telegram message: HTML and the same without markup."""

    html: str
    plain: str
    buttons: InlineKeyboardMarkup | None = None
    messages: ClassVar[int] = 1


def units(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def split(text: str, limit: int = LIMIT) -> list[str]:
    """Cut plain text into pieces of at most `limit` units, at paragraph, line, sentence, clause or character, in that
    order. Nothing is lost but the white space at the cuts; what shows as one character is never torn."""
    pieces: list[str] = []
    rest = text.strip()
    while units(rest) > limit:
        end = _fitting(rest, limit)
        cut = next((at for marks in _CUTS if (at := _last(rest, marks, end)) > end // 3), end)
        # a "character" of hundreds of joiners is nobody's text and may be torn
        for whole in range(cut, max(0, cut - 40), -1):
            if not _joined(rest[whole - 1], rest[whole]):
                cut = whole
                break
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest or not pieces else pieces


_CUTS: Final = (("\n\n",), ("\n",), ("。", "！", "？", ". ", "! ", "? "), ("；", "，", "、", "; ", ", "), (" ",))


def _last(text: str, marks: tuple[str, ...], end: int) -> int:
    """Where the last of the marks before `end` is over; 0 = there is none."""
    return max((at + len(mark) if (at := text.rfind(mark, 0, end)) >= 0 else 0) for mark in marks)


def _joined(before: str, after: str) -> bool:
    """Whether two characters show as one: joined emoji, skin tones, flags, accents."""
    flag = "\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff"
    tone = "\U0001f3fb" <= after <= "\U0001f3ff"
    return flag or tone or "\u200d" in (before, after) or after in "\ufe0e\ufe0f" or unicodedata.category(after) == "Mn"


def _fitting(text: str, limit: int) -> int:
    used = 0
    for at, character in enumerate(text):
        used += 2 if ord(character) > 0xFFFF else 1
        if used > limit:
            return at
    return len(text)


def parts(text: str, body: dict[str, Any], language: str) -> list[Part]:
    """The messages of one reply: the text, its sources in italics, and the buttons under the last one."""
    cited = "\n".join(templates.render_text("_source", language, **source) for source in body.get("sources", []))
    cited = split(cited, LIMIT // 2)[0]
    tail = f"\n\n{cited}" if cited else ""
    pieces = split(text, LIMIT - units(tail))
    rendered = [Part(html.escape(piece, quote=False), piece) for piece in pieces[:-1]]
    last = pieces[-1]
    marked = html.escape(last, quote=False) + (f"\n\n<i>{html.escape(cited, quote=False)}</i>" if cited else "")
    return [*rendered, Part(marked, last + tail, keyboard(body.get("choices", [])))]


def keyboard(choices: list[dict[str, str]]) -> InlineKeyboardMarkup | None:
    """Buttons, short ones two in a row. The data is `v1:<action>:<id>`, resolved on the server."""
    rows: list[list[InlineKeyboardButton]] = []
    room = 0.0
    for choice in choices:
        data = VERSION + choice["id"]
        if len(data.encode()) > BUTTON_BYTES:
            continue
        button = InlineKeyboardButton(choice["label"][:60], callback_data=data)
        width = 1.0 if units(choice["label"]) > 9 else 0.5
        if room < width:
            rows.append([])
            room = 1.0
        rows[-1].append(button)
        room -= width
    return InlineKeyboardMarkup(rows) if rows else None
