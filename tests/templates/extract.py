"""Bring the catalogues up to date with the templates: `python -m tests.templates.extract`.

New messages come in untranslated, unused ones leave; then write the missing `msgstr` in the .po file by hand.
"""

from importlib import resources
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import extract_from_ast

import templates

ROOT: Final = Path(str(resources.files("templates")))
HEADER: Final = """\
# Refresh with: python -m tests.templates.extract
msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plural}\\n"

"""


def path(language: str) -> Path:
    """The catalogue of a language."""
    return ROOT / "locales" / language / "LC_MESSAGES" / "messages.po"


def used() -> Catalog:
    """Every message of the templates, as the very environments that render them look it up."""
    catalogue = Catalog()
    for html in (False, True):
        env = templates.environment(templates.LANGUAGES[0], html=html)
        for name in env.list_templates():
            assert env.loader is not None
            file = f"{'pages' if html else 'chat'}/{name}"
            for _, _, words in extract_from_ast(env.parse(env.loader.get_source(env, name)[0]), babel_style=False):
                message = [word for word in words or () if isinstance(word, str)]
                catalogue.add(message[0] if len(message) == 1 else tuple(message), locations=[(file, 0)])
    return catalogue


def kept(language: str) -> Catalog:
    """The catalogue as it stands in the package."""
    with path(language).open("rb") as file:
        return read_po(file, locale=language)


def main() -> None:
    """Rewrite every catalogue; what is translated stays."""
    for language in templates.LANGUAGES[1:]:
        catalogue = kept(language)
        catalogue.update(used(), no_fuzzy_matching=True, update_creation_date=False)
        catalogue.obsolete.clear()
        with path(language).open("wb") as file:
            file.write(HEADER.format(language=language, plural=catalogue.plural_forms).encode())
            write_po(file, catalogue, width=120, include_lineno=False, omit_header=True)


if __name__ == "__main__":
    main()
