"""Errors: stable codes, facts without prose, one of five kinds."""

from collections.abc import Iterator

import pytest

from api import problems
from desk import errors
from desk.errors import DeskError


def kinds(base: type[DeskError] = DeskError) -> Iterator[type[DeskError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


FIVE = {errors.NotFound, errors.NotAllowed, errors.Conflict, errors.Invalid, errors.Unavailable}


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_is_of_one_kind_with_a_code_a_status_and_an_explanation(kind: type[DeskError]) -> None:
    error = kind()
    assert error.code.isascii() and error.code == error.code.lower() and not error.code.startswith("_")
    assert kind in FIVE or len(FIVE & set(kind.__mro__)) == 1
    assert 400 <= problems.status(error) < 600
    assert kind.__doc__


def test_codes_are_stable_and_different() -> None:
    codes = [kind().code for kind in kinds()]
    assert len(set(codes)) == len(codes)
    assert errors.UnknownEntry(key="g99").code == "unknown_entry"
    assert errors.GuideLoading().code == "guide_loading"


def test_facts_are_kept_and_readable_in_a_traceback() -> None:
    error = errors.MoveNotAllowed(state="sent", action="confirm")
    assert error.facts == {"state": "sent", "action": "confirm"}
    assert str(error) == "MoveNotAllowed(state='sent', action='confirm')"


def test_a_setup_error_names_its_reason() -> None:
    error = errors.SetupError("port_taken", port=80)
    assert (error.reason, error.facts, str(error)) == ("port_taken", {"port": 80}, "port_taken")
    assert not isinstance(error, DeskError)
