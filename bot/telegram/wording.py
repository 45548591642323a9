"""A stored reply as Telegram shows it: HTML, split below the limit, with buttons."""

import html
from dataclasses import dataclass
from typing import Any, Final

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


def units(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def split(text: str, limit: int = LIMIT) -> list[str]:
    """Cut plain text into pieces of at most `limit` units, at paragraph, line, sentence or character, in that order.

    Nothing is lost but the white space at the cuts; surrogate pairs and joined emoji are never torn.
    """
    pieces: list[str] = []
    rest = text.strip("\n")
    while units(rest) > limit:
        end = _fitting(rest, limit)
        window = rest[:end]
        cut = next(
            (
                at + len(mark)
                for mark in ("\n\n", "\n", "。", "!", "?", ". ", " ")
                if (at := window.rfind(mark)) > end // 3
            ),
            end,
        )
        while cut > 1 and (rest[cut] in "\u200d\ufe0f" or rest[cut - 1] == "\u200d"):
            cut -= 1
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest or not pieces else pieces


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
