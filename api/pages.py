"""What all pages share: the reader's language and versioned static files."""

import hashlib
from functools import cache
from importlib import resources

from fastapi import Request

import templates


def language_of(request: Request) -> str:
    """The page's language: asked for, remembered, or the installation's first."""
    wanted = request.query_params.get("lang") or request.cookies.get("lang") or ""
    if wanted in templates.LANGUAGES:
        return wanted
    found = getattr(request.app.state, "services", None)
    return str(found.settings.locale) if found else templates.LANGUAGES[0]


@cache
def static(path: str) -> str:
    """The URL of a static file with its version, so that browsers may keep it for ever."""
    content = (resources.files("templates") / "static" / path).read_bytes()
    return f"/static/{path}?v={hashlib.sha256(content).hexdigest()[:10]}"
