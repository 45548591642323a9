"""One small state machine for everything that has a status."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from desk.errors import MoveNotAllowed

S = TypeVar("S", bound=StrEnum)
A = TypeVar("A", bound=StrEnum)


class Machine(Generic[S, A]):
    """A table of allowed moves: state × action → state.

    The same table guards moves, draws the buttons and documents the lifecycle. Every state must have a row.
    """

    def __init__(self, table: Mapping[S, Mapping[A, S]]) -> None:
        self._table = {state: dict(moves) for state, moves in table.items()}
        targets = {target for moves in self._table.values() for target in moves.values()}
        missing = targets - self._table.keys()
        if missing:
            raise ValueError(f"states without a row: {sorted(missing)}")

    def move(self, state: S, action: A) -> S:
        """The state after `action`. Raises MoveNotAllowed."""
        try:
            return self._table[state][action]
        except KeyError:
            raise MoveNotAllowed(state=str(state), action=str(action)) from None

    def actions(self, state: S) -> list[A]:
        """What may be done in `state`, in table order."""
        return list(self._table[state])

    def final(self, state: S) -> bool:
        """Whether nothing leads out of `state`."""
        return not self._table[state]

    def sources(self, action: A) -> list[S]:
        """The states in which `action` is allowed."""
        return [state for state, moves in self._table.items() if action in moves]

    def replay(self, start: S, actions: Iterator[A] | list[A]) -> S:
        """The state after all `actions`, starting from `start`. Raises MoveNotAllowed."""
        for action in actions:
            start = self.move(start, action)
        return start

    def rows(self) -> Iterator[tuple[S, A, S]]:
        """Every allowed move, for diagrams and tests."""
        for state, moves in self._table.items():
            for action, target in moves.items():
                yield state, action, target
