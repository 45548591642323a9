"""How fast a channel may speak: per bot, per private chat, per group. Times are a monotonic clock's seconds."""

from collections import deque
from typing import Final

PER_BOT: Final = 30  # messages in any second
PRIVATE_GAP: Final = 1.0  # seconds between two messages to one private chat
PER_GROUP: Final = 20  # messages in any minute


class Limiter:
    """Telegram's limits. `wait` says when, `take` counts a message that leaves now."""

    def __init__(self, *, per_bot: int = PER_BOT) -> None:
        self._per_bot = per_bot
        self._bot: deque[float] = deque()
        self._chats: dict[str, deque[float]] = {}
        self._quiet_until = 0.0

    def room(self, now: float) -> int:
        """How many messages the bot may send right now."""
        while self._bot and self._bot[0] <= now - 1.0:
            self._bot.popleft()
        return 0 if now < self._quiet_until else max(0, self._per_bot - len(self._bot))

    def bot_wait(self, now: float) -> float:
        """Seconds until the bot may send anything."""
        if now < self._quiet_until:
            return self._quiet_until - now
        return 0.0 if self.room(now) else self._bot[0] + 1.0 - now

    def chat_wait(self, chat: str, now: float) -> float:
        """Seconds until this chat may get another message."""
        sent = self._chats.get(chat)
        if not sent:
            return 0.0
        if chat.startswith("-"):
            while sent and sent[0] <= now - 60.0:
                sent.popleft()
            return 0.0 if len(sent) < PER_GROUP else sent[0] + 60.0 - now
        return max(0.0, sent[-1] + PRIVATE_GAP - now)

    def waiting(self, now: float) -> dict[str, float]:
        """Chats that may not get a message yet, with the seconds left; forgets the others."""
        left = {chat: self.chat_wait(chat, now) for chat in self._chats}
        for chat in [chat for chat, wait in left.items() if wait <= 0 and not chat.startswith("-")]:
            del self._chats[chat]
        return {chat: wait for chat, wait in left.items() if wait > 0}

    def take(self, chat: str, now: float) -> None:
        """A message to `chat` leaves now."""
        self._bot.append(now)
        self._chats.setdefault(chat, deque(maxlen=PER_GROUP)).append(now)

    def hush(self, seconds: float, now: float) -> None:
        """The channel asked for silence."""
        self._quiet_until = max(self._quiet_until, now + seconds)
