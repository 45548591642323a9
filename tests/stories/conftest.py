"""The hall in which stories take place."""

import pytest

from bot.assistant import Assistant
from desk.settings import Settings
from desk.store import Bell, Store
from tests.bot import hall as halls
from tests.bot.hall import Hall
from tests.conftest import SetClock


@pytest.fixture
def hall(store: Store, bell: Bell, clock: SetClock, assistant: Assistant, config: Settings) -> Hall:
    """Agents, customers and an usher on this test's database."""
    return halls.hall(store, bell, clock, assistant, config)
