"""How fast a channel may speak: per bot, per private chat, per group. Times are a monotonic clock's seconds."""

from collections import deque
from typing import Final

PER_BOT: Final = 30  # messages in any second
PRIVATE_GAP: Final = 1.0  # seconds between two messages to one private chat
PER_GROUP: Final = 20  # messages in any minute
CATCH_UP: Final = 3  # notices that may leave at once after a late wake-up


class Limiter:
    """Telegram's limits. `take` counts a message that leaves now; everything else says what may leave when.

    Notices are paced evenly, so that a reply in the middle of a broadcast finds a place within a few hundredths of a
    second instead of waiting for the end of a burst.
    """

    def __init__(self, *, per_bot: int = PER_BOT) -> None:
        self._per_bot = per_bot
        self._bot: deque[float] = deque()
        self._chats: dict[str, deque[float]] = {}
        self._quiet_until = self._paced = float("-inf")

    def room(self, now: float) -> int:
        """How many messages the bot may send right now."""
        while self._bot and self._bot[0] <= now - 1.0:
            self._bot.popleft()
        return 0 if now < self._quiet_until else max(0, self._per_bot - len(self._bot))

    def wait(self, now: float, messages: int = 1) -> float:
        """Seconds until the bot may send so many messages at once."""
        if now < self._quiet_until:
            return self._quiet_until - now
        missing = messages - self.room(now)
        return max(0.0, self._bot[missing - 1] + 1.0 - now) if missing > 0 else 0.0

    def spare(self, now: float) -> int:
        """How many of the places are for notices right now."""
        steps = int((now - self._pace(now)) * self._per_bot + 1e-9) + 1 if self._pace(now) <= now else 0
        return min(self.room(now), steps)

    def spare_wait(self, now: float) -> float:
        """Seconds until a notice may leave."""
        return max(self.wait(now), self._pace(now) - now, 0.0)

    def _pace(self, now: float) -> float:
        return max(self._paced, now - (CATCH_UP - 1) / self._per_bot)

    def chat_wait(self, chat: str, now: float, messages: int = 1) -> float:
        """Seconds until this chat may get so many further messages at once (an album is several)."""
        sent = self._chats.get(chat)
        if not sent:
            return 0.0
        if not chat.startswith("-"):
            return max(0.0, sent[-1] + PRIVATE_GAP - now)
        while sent and sent[0] <= now - 60.0:
            sent.popleft()
        over = len(sent) + messages - PER_GROUP
        return max(0.0, sent[over - 1] + 60.0 - now) if over > 0 else 0.0

    def album_wait(self, chat: str, now: float, messages: int) -> float:
        """Seconds until so many messages may leave together with one that is already counted."""
        crowded = self.chat_wait(chat, now, messages) if chat.startswith("-") else 0.0
        return max(crowded, self.wait(now, messages))

    def waiting(self, now: float) -> dict[str, float]:
        """Chats that may not get a message yet, with the seconds left; forgets those without a past that matters."""
        left = {chat: self.chat_wait(chat, now) for chat in self._chats}
        for chat, wait in left.items():
            if wait <= 0 and (not chat.startswith("-") or not self._chats[chat]):
                del self._chats[chat]
        return {chat: wait for chat, wait in left.items() if wait > 0}

    def take(self, chat: str, now: float, *, messages: int = 1, notice: bool = False) -> None:
        """A message to `chat` leaves now, or an album; a private chat waits afterwards as after so many messages."""
        self._bot.extend([now] * messages)
        sent = self._chats.setdefault(chat, deque(maxlen=PER_GROUP))
        if chat.startswith("-"):
            sent.extend([now] * messages)
        else:
            start = max(now, sent[-1] + PRIVATE_GAP) if sent else now
            sent.append(start + (messages - 1) * PRIVATE_GAP)
        if notice:
            self._paced = self._pace(now) + 1 / self._per_bot

    def slip(self, now: float) -> bool:
        """Take a place for something that is no message and may as well not leave: only while most are free."""
        if self.room(now) <= self._per_bot // 2:
            return False
        self._bot.append(now)
        return True

    def hush(self, seconds: float, now: float) -> None:
        """The channel asked for silence."""
        self._quiet_until = max(self._quiet_until, now + seconds)
