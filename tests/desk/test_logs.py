"""Logs: one JSON line each, and nothing in them that a thief could use."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Logging as the program configures it; call it for what was written."""
    root, written = logging.getLogger(), io.StringIO()
    before = root.handlers, root.level
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure()
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers, root.level = before


SECRETS = [
    ("token 123456789:AAE-abcdefghijklmnopqrstuvwxyz012345 refused", "AAE-abcdefgh"),
    ("POST https://api.telegram.org/bot123456789:AAE-abcdefghijklmnopqrstuvwxyz012345/sendMessage", "AAE-abcdefgh"),
    ("Authorization: Bearer s3cr3t-value_1", "s3cr3t-value_1"),
    ("token=s3cr3t-value_1&lang=en", "s3cr3t-value_1"),
    ('{"token": "s3cr3t-value_1"}', "s3cr3t-value_1"),
    ("{'password': 's3cr3t-value_1'}", "s3cr3t-value_1"),
    ("Cookie: greenline_chat=s3cr3t-value_1; lang=en", "s3cr3t-value_1"),
    ("host=db user=me password=s3cr3t-value_1 dbname=x", "s3cr3t-value_1"),
    ("postgresql://me:s3cr3t-value_1@db.example/x", "s3cr3t-value_1"),
    ("postgresql://:s3cr3t-value_1@db.example/x", "s3cr3t-value_1"),
    ("postgresql://me:s3cr3t@value_1@db.example/x", "value_1"),
    ("请回电13812345678谢谢", "13812345678"),
    ("call +86 138-1234-5678", "1234-5678"),
    ("座机 0571-87654321", "87654321"),
    ("身份证 330102199003078888", "330102199003078888"),
    ("身份证 33010219900307888X", "19900307"),
    ("户号 3301234567890", "3301234567890"),
    ("户号3301234567", "3301234567"),
    ("mail li.gong+work@example.com", "li.gong"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_and_personal_data_are_blotted_out(text: str, secret: str) -> None:
    assert secret not in logs.mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "guide indexed: 91 entries, full search",
        "leading telegram:send",
        "update 123456 answered with empty_message",
        "http://localhost:8000/chat",
        "2026-03-02T01:00:00.123456Z",
    ],
)
def test_ordinary_lines_stay_readable(text: str) -> None:
    assert logs.mask(text) == text


@given(st.text(max_size=60), st.integers(10**9, 10**16 - 1))
def test_no_long_number_survives_in_any_text(text: str, number: int) -> None:
    assert str(number) not in logs.mask(f"{text} {number} {text}")


def test_messages_of_any_logger_come_out_as_one_masked_json_line(lines: Any) -> None:
    logging.getLogger("somebody.else").warning("user %s with %s", "13812345678", "postgresql://a:pw123@h/x")
    [line] = lines()
    assert line["level"] == "warning" and line["logger"] == "somebody.else" and line["timestamp"].endswith("Z")
    assert "138****5678" in line["event"] and "pw123" not in line["event"]


def test_a_traceback_is_masked_too_and_keeps_its_reference(lines: Any) -> None:
    try:
        raise ValueError("cannot reach postgresql://me:hunter2@db/x for 13812345678")
    except ValueError as error:
        logging.getLogger("x").error("request failed", exc_info=error, extra={"reference": "ab12", "path": "/chat"})
    [line] = lines()
    assert (line["reference"], line["path"]) == ("ab12", "/chat")
    assert "ValueError" in line["exception"] and "Traceback" in line["exception"]
    assert "hunter2" not in json.dumps(line) and "13812345678" not in json.dumps(line)


def test_hidden_fields_and_nested_values_are_masked() -> None:
    event = {"event": "x", "text": "secret words", "facts": {"name": "Li", "to": ["13812345678"]}, "count": 3}
    assert logs._masked(None, "", event) == {
        "event": "x",
        "text": "***",
        "facts": {"name": "***", "to": ["138****5678"]},
        "count": 3,
    }


def test_chatty_libraries_are_quiet(lines: Any) -> None:
    logging.getLogger("httpx").info("HTTP Request: POST https://api.telegram.org/bot1:x")
    logging.getLogger("greenline").info("kept")
    assert [line["event"] for line in lines()] == ["kept"]
