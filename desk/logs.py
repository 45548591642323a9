"""Logs: one JSON line per event, secrets and personal data masked."""

import logging
import re
import sys
from typing import Any, Final

import structlog

_PATTERNS: Final = (
    (re.compile(r"(?<!\d)(\d{6,12}):[\w-]{20,}"), r"\1:***"),  # bot tokens
    (re.compile(r"(?i)(bearer\s+)[^\s\"',;]+"), r"\1***"),
    (
        re.compile(r"(?i)((?:token|secret|password|passwd|api_?key|greenline_chat)[\"']?\s*[=:]\s*[\"']?)[^\s&\"',;]+"),
        r"\1***",
    ),
    (re.compile(r"://([^:/@\s]*):[^/\s]+@"), r"://\1:***@"),  # passwords in URLs
    (re.compile(r"(?<!\d)((?:86[ -]?)?1[3-9]\d)[ -]?\d{4}[ -]?(\d{4})(?!\d)"), r"\1****\2"),  # mobile numbers
    (re.compile(r"(?<!\d)(0\d{2,3})[ -]\d{5,6}(\d{2})(?!\d)"), r"\1-****\2"),  # fixed lines
    (re.compile(r"(?<!\d)(\d{6})\d{8}(\d{3}[\dXx])(?!\d)"), r"\1********\2"),  # identity numbers
    (re.compile(r"(?<!\d)(\d{3})\d{4,10}(\d{3})(?!\d)"), r"\1****\2"),  # account numbers 户号
    (re.compile(r"[\w.+-]+@([\w-]+\.[\w.]+)"), r"***@\1"),
)
_HIDDEN: Final = frozenset({"text", "name", "token", "secret", "password", "authorization", "cookie", "content"})


def mask(value: str) -> str:
    """The text with tokens, passwords, phone, identity and account numbers and e-mail names blotted out."""
    for pattern, instead in _PATTERNS:
        value = pattern.sub(instead, value)
    return value


def _hide(value: Any) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return {name: "***" if name in _HIDDEN else _hide(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_hide(inner) for inner in value]
    return value


def _masked(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    hidden: structlog.typing.EventDict = _hide(dict(event))
    return hidden


def configure(*, level: str = "INFO") -> None:
    """Send everything, the libraries' lines too, to stderr as JSON."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=["reference", "path"]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _masked,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in (
        "httpx",
        "httpcore",
        "telegram",
        "alembic",
        "procrastinate",
        "uvicorn.access",
        "uvicorn.error",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
