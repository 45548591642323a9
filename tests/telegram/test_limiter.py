"""Telegram's limits are kept whatever is asked for and whenever, and the bot is not slower than it must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.limiter import CATCH_UP, PER_BOT, PER_GROUP, PRIVATE_GAP, Limiter

CHATS = [str(number) for number in range(1, 41)] + ["-1", "-2"]
pauses = st.one_of(st.just(0.0), st.floats(0, 0.2), st.floats(0, 70))
wishes = st.lists(st.tuples(pauses, st.sampled_from(CHATS), st.booleans()), max_size=300)


def left(wishes: list[tuple[float, str, bool]], limiter: Limiter) -> list[tuple[float, str, bool]]:
    """What leaves when somebody tries at every wish and is turned away where the limiter says so."""
    now, sent = 1000.0, []
    for pause, chat, notice in wishes:
        now += pause
        room = limiter.spare(now) if notice else limiter.room(now)
        if room > 0 and not limiter.chat_wait(chat, now) and chat not in limiter.waiting(now):
            limiter.take(chat, now, notice=notice)
            sent.append((now, chat, notice))
    return sent


def most_within(times: list[float], seconds: float) -> int:
    return max((sum(start <= at < start + seconds - 1e-6 for at in times) for start in times), default=0)


@given(wishes)
def test_never_more_than_thirty_in_any_second(wishes: list[tuple[float, str, bool]]) -> None:
    assert most_within([at for at, _, _ in left(wishes, Limiter())], 1.0) <= PER_BOT


@given(wishes)
def test_a_private_chat_gets_one_a_second_and_a_group_twenty_a_minute(wishes: list[tuple[float, str, bool]]) -> None:
    sent = left(wishes, Limiter(per_bot=10_000))
    for chat in CHATS:
        times = [at for at, other, _ in sent if other == chat]
        if chat.startswith("-"):
            assert most_within(times, 60.0) <= PER_GROUP
        else:
            assert most_within(times, PRIVATE_GAP) <= 1


@given(wishes)
def test_notices_never_come_in_a_burst(wishes: list[tuple[float, str, bool]]) -> None:
    times = [at for at, _, notice in left(wishes, Limiter()) if notice]
    assert most_within(times, 1 / PER_BOT) <= CATCH_UP + 1


@given(wishes, st.floats(0, 5))
def test_what_it_says_to_wait_is_enough_and_not_too_much(wishes: list[tuple[float, str, bool]], later: float) -> None:
    limiter = Limiter()
    sent = left(wishes, limiter)
    now = (sent[-1][0] if sent else 1000.0) + later
    wait, spare = limiter.wait(now), limiter.spare_wait(now)
    assert limiter.room(now + wait + 1e-6) > 0
    assert limiter.spare(now + spare + 1e-6) > 0
    assert wait == 0 or limiter.room(now + wait - 1e-3) == 0


def test_a_broadcast_uses_all_that_is_permitted_and_leaves_a_place_for_a_reply() -> None:
    limiter, now, sent, waits = Limiter(), 0.0, 0, []
    while now < 60.0:
        now += max(limiter.spare_wait(now), 0.004)  # late by as much as a look into the database takes
        if int(now * 10) % 7 == 0 and not limiter.chat_wait("reply", now):
            waits.append(limiter.wait(now))
            now += waits[-1]
            limiter.take("reply", now)
        for _ in range(limiter.spare(now)):
            sent += 1
            limiter.take(f"n{sent}", now, notice=True)
    assert sent + len(waits) >= 0.99 * 60 * PER_BOT
    assert max(waits) < 0.1


def test_silence_is_kept() -> None:
    limiter = Limiter()
    limiter.hush(2.5, 10.0)
    limiter.hush(1.0, 10.0)
    assert limiter.room(12.4) == limiter.spare(12.4) == 0
    assert limiter.wait(10.0) == limiter.spare_wait(10.0) == pytest.approx(2.5)
    assert limiter.room(12.5) == PER_BOT


def test_chats_of_long_ago_are_forgotten() -> None:
    limiter = Limiter(per_bot=10_000)
    for number in range(1000):
        limiter.take(str(number), 0.0)
        limiter.take(f"-{number}", 0.0)
    limiter.waiting(61.0)
    limiter.waiting(61.0)
    assert not limiter._chats


def test_an_album_takes_as_many_places_as_it_has_pictures() -> None:
    limiter = Limiter()
    limiter.take("7", 10.0)
    assert limiter.album_wait("7", 10.0, 9) == 0
    limiter.take("7", 10.0, messages=9)
    assert limiter.room(10.0) == PER_BOT - 10
    assert limiter.chat_wait("7", 10.0) == pytest.approx(10 * PRIVATE_GAP)
    limiter.take("8", 10.5, messages=10)
    limiter.take("9", 10.6, messages=5)
    assert limiter.wait(10.6, 5) == 0
    assert limiter.wait(10.6, 6) == limiter.album_wait("9", 10.6, 6) == pytest.approx(0.4)


def test_an_album_in_a_group_waits_until_all_of_it_is_permitted() -> None:
    limiter = Limiter()
    for number in range(12):
        limiter.take("-1", 10.0 + number)
    assert limiter.chat_wait("-1", 22.0, 8) == limiter.album_wait("-1", 22.0, 8) == 0
    assert limiter.chat_wait("-1", 22.0, 10) == limiter.album_wait("-1", 22.0, 10) == pytest.approx(49.0)


def test_what_is_no_message_leaves_most_places_alone() -> None:
    limiter = Limiter()
    assert sum(limiter.slip(10.0) for _ in range(PER_BOT)) == PER_BOT // 2
    assert limiter.room(10.0) == PER_BOT // 2 and limiter.slip(11.0)
