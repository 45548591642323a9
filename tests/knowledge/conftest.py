"""The real encoders and the shipped guide, loaded once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knowledge import encoders
from knowledge.encoders import Remembering
from knowledge.entries import as_entries, seeds
from knowledge.intents import Reader
from knowledge.search import Guide

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="session")
def rows() -> Callable[[str], list[dict[str, Any]]]:
    """The rows of a file in tests/data."""

    def load(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]

    return load


@pytest.fixture(scope="session")
def shipped_lite() -> Remembering:
    return Remembering(encoders.lite(), None)


@pytest.fixture(scope="session")
def shipped_full() -> Remembering:
    return Remembering(encoders.full(), None)


@pytest.fixture(scope="session")
def guide(shipped_lite: Remembering, shipped_full: Remembering) -> Guide:
    """The shipped guide with both encoders."""
    return Guide(as_entries(seeds()), shipped_lite, shipped_full)


@pytest.fixture(scope="session")
def lite_guide(shipped_lite: Remembering) -> Guide:
    """The shipped guide with the lite encoder alone."""
    return Guide(as_entries(seeds()), shipped_lite, None)


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader(encoders.lite(), encoders.full())
