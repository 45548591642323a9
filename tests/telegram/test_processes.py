"""Real processes against the double: everything in one, the parts apart, and a token that Telegram refuses."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bot.mind import Mind
from desk.conversations import Direction
from desk.store import Store
from tests.conftest import Process, free_port
from tests.telegram.botapi import BotApi
from tests.telegram.world import QUESTION, SECRET, TOKEN, Outside, T

SLOW = 3 * T  # a program starts


@pytest.fixture
def begin(
    start: Callable[..., Process], loaded: Mind, pytestconfig: pytest.Config, tmp_path: Path
) -> Callable[..., Process]:
    """Starts a program that finds the vectors of the guide ready."""
    assert pytestconfig.cache is not None
    (tmp_path / "process").mkdir()
    (tmp_path / "process" / "cache").symlink_to(pytestconfig.cache.mkdir("mind") / "cache")
    return start


@pytest.mark.parametrize("webhook", [False, True], ids=["polling", "webhook"])
async def test_run_answers_in_telegram_with_nothing_but_a_token(
    begin: Callable[..., Process], store: Store, webhook: bool
) -> None:
    api, settings, port = BotApi(TOKEN), {"telegram_token": TOKEN}, free_port()
    async with api.serve() as url:
        if webhook:
            settings |= {"telegram_webhook_secret": SECRET, "public_url": f"http://127.0.0.1:{port}"}
        program = begin("run", port=str(port), telegram_api_url=url, **settings)
        town, lin, wang = Outside(api, store), api.person(7), api.person(8)
        await asyncio.gather(lin.say(QUESTION), wang.say("低压居民要多久?"))
        [answer] = await lin.wait(lambda inbox: inbox, SLOW)
        assert "二个月" in answer.text and "第四条" in answer.text
        await wang.wait(lambda inbox: inbox, SLOW)
        [line] = await town.lines(Direction.OUT, chat=8)
        assert line.body["name"] == "silent" and not line.body["sources"]
        assert await asyncio.to_thread(program.stop) == 0


async def test_the_parts_apart_do_the_same_together(begin: Callable[..., Process], store: Store) -> None:
    api, port = BotApi(TOKEN), free_port()
    async with api.serve() as url:
        settings = {"telegram_token": TOKEN, "telegram_api_url": url, "port": str(port)}
        settings |= {"telegram_webhook_secret": SECRET, "public_url": f"http://127.0.0.1:{port}"}
        for part in ("web", "bot", "worker"):
            begin(part, **settings)
        town, lin = Outside(api, store), api.person(7)
        await lin.send_photo(b"picture")
        await lin.wait(lambda inbox: inbox, SLOW)

        async def kept() -> bool:
            [line] = await town.lines(Direction.IN)
            return bool(line.body["attachments"][0]["id"])

        await town.until(kept, SLOW)


async def test_a_token_that_telegram_refuses_leaves_the_web_chat_running(begin: Callable[..., Process]) -> None:
    api = BotApi(TOKEN)
    async with api.serve() as url:
        program = begin("run", telegram_token="1:wrong", telegram_api_url=url)
        await asyncio.to_thread(program.ready)
        async with httpx.AsyncClient(base_url=f"{program.base}/api/v1/chat", timeout=T) as client:
            session = (await client.post("/sessions")).json()
            headers = {"Authorization": f"Bearer {session['token']}"}
            answer = await client.post("/messages", json={"client_id": "1", "text": QUESTION}, headers=headers)
        assert "二个月" in answer.json()["messages"][1]["text"]
        said = await Outside(api, None).until(lambda: "refuses the token" in program.output(), SLOW)  # type: ignore[arg-type]
        assert said and program.process.poll() is None
