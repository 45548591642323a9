"""State machines: the table allows exactly its moves, and replaying them gives the state."""

from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import deliveries
from desk.deliveries import DELIVERY
from desk.errors import MoveNotAllowed
from desk.machine import Machine


class State(StrEnum):
    A = "a"
    B = "b"
    C = "c"
    D = "d"


class Action(StrEnum):
    GO = "go"
    STOP = "stop"
    TURN = "turn"


TABLES = st.fixed_dictionaries({s: st.dictionaries(st.sampled_from(Action), st.sampled_from(State)) for s in State})
TRIED = st.lists(st.sampled_from(Action), max_size=12)


@given(TABLES, st.sampled_from(State), TRIED)
def test_replaying_the_moves_that_were_allowed_gives_the_state(
    table: dict[State, dict[Action, State]], start: State, tried: list[Action]
) -> None:
    machine = Machine(table)
    state, done = start, []
    for action in tried:
        try:
            state = machine.move(state, action)
        except MoveNotAllowed as error:
            assert error.facts == {"state": str(state), "action": str(action)}
            assert action not in table[state]
        else:
            done.append(action)
    assert machine.replay(start, done) == state
    assert machine.replay(start, iter(done)) == state


@given(TABLES)
def test_the_table_reads_the_same_from_every_side(table: dict[State, dict[Action, State]]) -> None:
    machine = Machine(table)
    rows = set(machine.rows())
    assert rows == {(s, a, t) for s, moves in table.items() for a, t in moves.items()}
    for state in State:
        assert machine.actions(state) == list(table[state])
        assert machine.final(state) == (not table[state])
        for action in Action:
            assert (state in machine.sources(action)) == (action in machine.actions(state))


@given(TABLES, st.sampled_from(State), TRIED)
def test_a_replay_with_a_forbidden_move_is_refused(
    table: dict[State, dict[Action, State]], start: State, tried: list[Action]
) -> None:
    machine, state = Machine(table), start
    for action in tried:
        if action not in table[state]:
            with pytest.raises(MoveNotAllowed):
                machine.replay(start, tried)
            return
        state = table[state][action]
    assert machine.replay(start, tried) == state


def test_a_state_without_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="b"):
        Machine({State.A: {Action.GO: State.B}})


def test_changing_the_table_afterwards_changes_nothing() -> None:
    table = {State.A: {Action.GO: State.A}}
    machine = Machine(table)
    table[State.A].clear()
    assert machine.move(State.A, Action.GO) == State.A


# -- the tables of the house ------------------------------------------------------------------------------------------


def test_every_fate_of_a_delivery_can_be_reached_and_every_act_is_used() -> None:
    reached = {deliveries.Fate.QUEUED}
    for _ in deliveries.Fate:
        reached |= {target for state, _, target in DELIVERY.rows() if state in reached}
    assert reached == set(deliveries.Fate)
    assert {action for _, action, _ in DELIVERY.rows()} == set(deliveries.Act)


def test_a_delivery_that_is_settled_for_good_stays_so() -> None:
    final = {fate for fate in deliveries.Fate if DELIVERY.final(fate)}
    assert final == {"sent", "unreachable", "failed", "cancelled"}
