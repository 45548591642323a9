"""Texts as Telegram's server reads them: HTML parse mode, UTF-16 lengths, trimming, commands."""

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "span": "spoiler",
    "tg-spoiler": "spoiler", "a": "text_link", "code": "code", "pre": "pre", "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}  # fmt: skip
_ESCAPE = re.compile(r"&(?:\#x[0-9a-fA-F]+|\#[0-9]+|(?:lt|gt|amp|quot)(?![A-Za-z]));?")
_TOKEN = re.compile(
    rf"""(?P<text>[^<&]+) | (?P<escape>{_ESCAPE.pattern}) | (?P<and>&)
    | </(?P<end>[^\s>]*)\s*>
    | <(?!/)(?P<start>[^\s>]*)(?P<given>(?:\s+[^\s=>]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9.-]+))?)*)\s*>
    | <(?P<broken>/?[^\s>]*)""",
    re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([^\s=>]+)(?:\s*=\s*("[^"]*"|'[^']*'|[A-Za-z0-9.-]+))?""")
_COMMAND = re.compile(r"(?<!\S)/[A-Za-z0-9_]{1,32}(?:@\w+)?")


def utf16(text: str) -> int:
    """The length in UTF-16 units, in which Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def render(source: str) -> tuple[str, list[Json]]:
    """Telegram's HTML as plain text and entities. Raises ValueError in the real server's words."""
    text, entities, opened = "", list[Json](), list[tuple[str, dict[str, str], int]]()
    for token in _TOKEN.finditer(source):
        kind, place = token.lastgroup, f" at byte offset {len(source[: token.start()].encode())}"
        if kind in ("text", "and"):
            text += token[0]
        elif kind == "escape":
            text += _unescaped(token)
        elif kind == "broken":
            raise ValueError(_broken(token["broken"].lower(), bool(opened), token.end() == len(source), place))
        elif kind == "end":
            if not opened:
                raise ValueError(f"Unexpected end tag{place}")
            tag, attributes, start = opened.pop()
            found = token["end"].lower()
            if found not in ("", tag):
                raise ValueError(f'Unmatched end tag{place}, expected "</{tag}>", found "</{found}>"')
            if utf16(text) > start:
                entities += _entity(tag, attributes, start, text)
        else:
            tag = token["start"].lower()
            if tag not in _TAGS:
                raise ValueError(f'Unsupported start tag "{tag}"{place}')
            attributes = {}
            for name, value in _ATTRIBUTE.findall(token["given"]):
                if not value and (tag, name.lower()) != ("blockquote", "expandable"):
                    raise ValueError(f'Expected equal sign in declaration of an attribute of the tag "{tag}"{place}')
                attributes[name.lower()] = _ESCAPE.sub(_unescaped, value[1:-1] if value[:1] in ('"', "'") else value)
            if tag == "span" and attributes.get("class") != "tg-spoiler":
                raise ValueError(f'Tag "span" must have class "tg-spoiler"{place}')
            opened.append((tag, attributes, utf16(text)))
    if opened:
        raise ValueError(f'Can\'t find end tag corresponding to start tag "{opened[-1][0]}"')
    return text, sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0]
    named = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}.get(body := escape.strip("&;"))
    if named:
        return named
    code = int(body[2:], 16) if body[1] == "x" else int(body[1:])
    return chr(code) if 0 < code < 0x10FFFF and not 0xD800 <= code <= 0xDFFF else escape


def _broken(tag: str, inside: bool, at_end: bool, place: str) -> str:
    if tag.startswith("/"):
        return f"Unclosed end tag{place}" if inside else f"Unexpected end tag{place}"
    return f"Unclosed start tag{place}" if at_end or tag in _TAGS else f'Unsupported start tag "{tag}"{place}'


def _entity(tag: str, attributes: dict[str, str], start: int, text: str) -> Iterator[Json]:
    entity: Json = {"type": _TAGS[tag], "offset": start, "length": utf16(text) - start}
    if tag == "a":
        entity["url"] = attributes.get("href") or text.encode("utf-16-le")[2 * start :].decode("utf-16-le")
        if "." not in entity["url"] and not re.match(r"(https?|tg)://", entity["url"]):
            return  # what is no link stays text
    elif tag == "tg-emoji":
        if not attributes.get("emoji-id", "").isdigit():
            raise ValueError("Invalid custom emoji identifier specified")
        entity["custom_emoji_id"] = attributes["emoji-id"]
    elif tag == "blockquote" and "expandable" in attributes:
        entity["type"] = "expandable_blockquote"
    yield entity


def trimmed(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    """Without the white space around the text, which the real server cuts off."""
    lead, kept = len(text) - len(text.lstrip()), text.strip()
    moved = []
    for entity in entities:
        start = max(entity["offset"] - lead, 0)
        end = min(entity["offset"] + entity["length"] - lead, utf16(kept))
        if end > start:
            moved.append({**entity, "offset": start, "length": end - start})
    return kept, moved


def commands(text: str) -> list[Json]:
    """The bot commands in a text, as entities."""
    return [
        {"type": "bot_command", "offset": utf16(text[: found.start()]), "length": len(found[0])}
        for found in _COMMAND.finditer(text)
    ]
