"""Every word a customer or a member of staff reads. Facts in, text out.

Chinese stands in the templates; other languages are Babel catalogues in `locales/`. `render_reply` gives a chat message
with its choices and sources, `page` a whole page, `error_words` the title and advice of an error.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

LANGUAGES: Final = ("zh_CN", "en")


@dataclass(frozen=True)
class Choice:
    """A button. `id` is what comes back when it is tapped; `label` names or holds its words.

    With `facts` None the label is shown as it is (it came from the guide), otherwise it names a label template.
    """

    id: str
    label: str
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Source:
    """Where an answer stands: guide entry and version, document and article."""

    entry: str
    version: int
    title: str
    document: str
    article: str


@dataclass(frozen=True)
class Reply:
    """A named answer with facts; the words are added at the end."""

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    sources: tuple[Source, ...] = ()


@cache
def _catalogue(language: str) -> Translations:
    if language == LANGUAGES[0]:
        return Translations()
    source = resources.files("templates") / "locales" / language / "LC_MESSAGES" / "messages.po"
    packed = io.BytesIO()
    write_mo(packed, read_po(io.BytesIO(source.read_bytes()), locale=language))
    packed.seek(0)
    return Translations(packed)


@cache
def environment(language: str, *, html: bool) -> Environment:
    """The templates of one language; undefined facts raise."""
    env = Environment(
        loader=PackageLoader("templates", "pages" if html else "chat"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]) if html else False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    env.install_gettext_translations(_catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    env.globals["language"] = language
    # adding nothing lets a missing fact complain by its name
    env.filters |= {"number": lambda value: f"{value + 0:,}", "money": lambda value: f"{value + 0:,.2f}"}
    return env


def label(name: str, language: str, /, **facts: Any) -> str:
    """The words of a button."""
    module = environment(language, html=False).get_template("_labels.txt").make_module(facts)
    return str(getattr(module, name)()).strip()


def render_text(name: str, language: str, /, **facts: Any) -> str:
    """One chat text by template name."""
    return environment(language, html=False).get_template(f"{name}.txt").render(facts).strip()


def render_reply(reply: Reply, language: str) -> dict[str, Any]:
    """`name`, `text`, `choices[{id,label}]` and `sources` (as in Source): what the contact record keeps."""
    return {
        "name": reply.name,
        "text": render_text(reply.name, language, **reply.facts),
        "choices": [
            {"id": c.id, "label": c.label if c.facts is None else label(c.label, language, **c.facts)}
            for c in reply.choices
        ],
        "sources": [vars(source) for source in reply.sources],
    }


def error_words(names: Iterable[str], language: str, /, **facts: Any) -> tuple[str, str]:
    """Title and advice for the first of `names` (most specific first) that has words."""
    module = environment(language, html=False).get_template("_errors.txt").make_module({"facts": facts})
    for name in names:
        if hasattr(module, name):
            title, _, advice = str(getattr(module, name)()).strip().partition("\n")
            return title.strip(), " ".join(advice.split())
    raise KeyError(f"no words for {list(names)}")


def render_setup_error(reason: str, facts: Mapping[str, Any]) -> str:
    """One sentence, Chinese and English, on why the program cannot start."""
    said = []
    for language in LANGUAGES:
        module = environment(language, html=False).get_template("_setup.txt").make_module({"facts": facts})
        said.append(str(getattr(module, reason)()).strip())
    return "\n".join(said)


def page(name: str, language: str, /, **facts: Any) -> str:
    """A whole HTML page."""
    return environment(language, html=True).get_template(f"{name}.html").render(facts)


def when(at: datetime, zone: ZoneInfo, language: str) -> str:
    """A moment as people in the service area write it."""
    pattern = "M月d日 HH:mm" if language == LANGUAGES[0] else "d MMM HH:mm"
    return format_datetime(at, pattern, tzinfo=zone, locale=language)
