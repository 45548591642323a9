"""Tiers by purchase and the large flag, to the last place: examples from the rule book and a slow second opinion."""

import random
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.tiers import Placing, Tier, cuts, is_large, place, shares

A, B, C, D = Tier
# few different amounts, so that ties are the rule and zero is frequent
AMOUNTS = st.lists(st.integers(0, 12).map(lambda tens: Decimal(tens * 10)), max_size=260)
CENTS = st.decimals(0, 10**12, places=2)


def placed(*amounts: int | str) -> list[Placing]:
    """The places of accounts 1, 2, 3… with these purchases."""
    return place(enumerate(map(Decimal, amounts), 1))


def tally(placings: list[Placing]) -> list[int]:
    """How many are in A, B, C and D."""
    found = Counter(placing.tier for placing in placings)
    return [found[tier] for tier in Tier]


def falling(count: int) -> list[int]:
    """Purchases of so many accounts, all different, the first the best."""
    return [1000 + number for number in range(count, 0, -1)]


# -- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        (20, [1, 0, 3, 16]), (1037, [11, 41, 156, 829]), (100, [1, 4, 15, 80]), (101, [2, 4, 15, 80]),
        (1, [1, 0, 0, 0]), (5, [1, 0, 0, 4]), (6, [1, 0, 1, 4]), (21, [1, 1, 3, 16]), (0, [0, 0, 0, 0]),
        (100_000, [1000, 4000, 15000, 80000]),
    ],
)  # fmt: skip
def test_places_of_each_tier_are_integer_ceilings(accounts: int, expected: list[int]) -> None:
    assert list(shares(accounts).values()) == expected
    assert tally(placed(*falling(accounts))) == expected


@pytest.mark.parametrize("tier", [A, B, C])
def test_equal_purchases_at_a_cut_all_take_the_higher_tier(tier: Tier) -> None:
    amounts = falling(200)
    cut = cuts(200)[tier]
    amounts[cut] = amounts[cut + 1] = amounts[cut - 1]  # the last place inside, and the two behind it
    placings = placed(*amounts)
    tie = [placing for placing in placings if placing.rank == cut]
    assert [(p.account, p.tier, p.tied, p.raised, p.cut) for p in tie] == [
        (account, tier, 2, True, cut) for account in (cut, cut + 1, cut + 2)
    ]
    assert placings[cut + 2].tier > tier and placings[cut + 2].rank == cut + 3
    assert sum(placing.raised for placing in placings) == 3


def test_the_tie_takes_its_places_from_the_next_tier() -> None:
    amounts = falling(200)
    amounts[2] = amounts[1]
    assert tally(placed(*amounts)) == [3, 7, 30, 160]


def test_a_tie_that_ends_at_the_cut_raises_nobody() -> None:
    amounts = falling(200)
    amounts[0] = amounts[1]
    placings = placed(*amounts)
    assert tally(placings) == [2, 8, 30, 160]
    assert [(p.rank, p.tied, p.raised) for p in placings[:3]] == [(1, 1, False), (1, 1, False), (3, 0, False)]


def test_a_tie_over_several_cuts_takes_the_highest() -> None:
    assert tally(placed(*[500] * 40)) == [40, 0, 0, 0]


def test_no_purchase_is_tier_d_even_where_places_are_free() -> None:
    placings = placed(900, *[0] * 99)
    assert tally(placings) == [1, 0, 0, 99]
    assert {(p.rank, p.tied, p.cut, p.raised) for p in placings[1:]} == {(2, 98, None, False)}
    assert tally(placed(*[0] * 10)) == [0, 0, 0, 10]
    assert tally(placed(*[-5] * 10)) == [0, 0, 0, 10], "a refund is no purchase either"


def test_nobody_is_short_of_a_tier_that_nobody_reached() -> None:
    assert {placing.short for placing in placed(*[0] * 10)} == {None}


def test_an_empty_tier_is_skipped_when_looking_upwards() -> None:
    placings = placed(*falling(20))  # no B
    assert placings[1].tier is C and placings[1].short == Decimal(1)
    assert placings[4].tier is D and placings[4].short == Decimal(1)
    assert placings[0].short is None


@pytest.mark.parametrize(
    ("amount", "near"),
    [("9000.00", True), ("8999.99", False), ("9000.01", True), ("9999.99", True), ("10000.00", None), ("0", False)],
)
def test_near_the_next_tier_means_within_a_tenth_of_it(amount: str, near: bool | None) -> None:
    placings = placed(10000, amount, *[1] * 18)
    second = next(placing for placing in placings if placing.account == 2)
    if near is None:  # as much as the best: tied into A
        assert second.tier is A and not second.near and second.raised
    else:
        assert second.tier is (C if Decimal(amount) > 0 else D)
        assert second.near is near


def test_zero_is_never_near() -> None:
    assert not any(placing.near for placing in placed("0.01", *[0] * 9))


@pytest.mark.parametrize(
    ("kwh", "months", "large"),
    [
        ("48000", 12, True), ("47999.99", 12, False), ("48000.01", 12, True),
        ("4000", 1, True), ("3999.99", 1, False), ("20000.0", 5, True), ("19999.9", 5, False),
        ("0", 12, False), ("1000000", 0, False),
    ],
)  # fmt: skip
def test_four_thousand_a_month_in_service_is_large_itself_included(kwh: str, months: int, large: bool) -> None:
    assert is_large(Decimal(kwh), months) is large


# -- against a slow second opinion ------------------------------------------------------------------------------------


def second_opinion(amounts: list[Decimal], index: int) -> Tier:
    """The rule read word by word, one account at a time, in fractions."""
    own, better = amounts[index], sum(amount > amounts[index] for amount in amounts)
    if own <= 0:
        return D
    for tier, share in ((A, Fraction(1, 100)), (B, Fraction(5, 100)), (C, Fraction(20, 100))):
        places = 0
        while Fraction(places) < share * len(amounts):
            places += 1
        if better < places:
            return tier
    return D


@given(AMOUNTS)
def test_every_tier_is_what_the_rule_says_word_by_word(amounts: list[Decimal]) -> None:
    placings = {placing.account: placing for placing in place(enumerate(amounts))}
    assert len(placings) == len(amounts)
    for index, amount in enumerate(amounts):
        placing = placings[index]
        assert placing.tier is second_opinion(amounts, index)
        assert placing.amount == amount and placing.of == len(amounts)
        assert placing.rank == 1 + sum(other > amount for other in amounts)
        assert placing.tied == sum(other == amount for other in amounts) - 1


@given(AMOUNTS)
def test_what_is_missing_would_just_reach_the_next_tier(amounts: list[Decimal]) -> None:
    placings = place(enumerate(amounts))
    for placing in placings:
        above = [other.amount for other in placings if other.tier < placing.tier]
        assert placing.short == (min(above) - placing.amount if above else None)
        if placing.short is not None:
            assert placing.short > 0
            assert placing.near == (
                placing.amount > 0 and Fraction(placing.short) / Fraction(min(above)) <= Fraction(1, 10)
            )


@given(AMOUNTS)
def test_exactly_the_ties_over_a_cut_are_called_raised(amounts: list[Decimal]) -> None:
    placings = place(enumerate(amounts))
    last = cuts(len(amounts))
    for placing in placings:
        over = placing.tier in last and placing.rank + placing.tied > last[placing.tier]
        assert placing.raised is over
        if placing.raised:
            assert placing.tied > 0


@given(AMOUNTS, st.randoms(use_true_random=False))
def test_neither_order_nor_numbering_of_the_accounts_matters(amounts: list[Decimal], chance: random.Random) -> None:
    accounts = list(enumerate(amounts))
    shuffled = chance.sample(accounts, len(accounts))
    assert place(shuffled) == place(accounts)
    numbers = chance.sample(range(1000), len(amounts))
    renumbered = {p.account: p for p in place(zip(numbers, amounts, strict=True))}
    for placing in place(accounts):
        other = renumbered[numbers[placing.account]]
        assert (other.tier, other.rank, other.raised, other.short) == (
            placing.tier, placing.rank, placing.raised, placing.short,
        )  # fmt: skip


@given(AMOUNTS)
def test_more_purchase_never_means_a_lower_tier(amounts: list[Decimal]) -> None:
    placings = place(enumerate(amounts))
    assert all(first.amount >= second.amount for first, second in zip(placings, placings[1:], strict=False))
    assert all(first.tier <= second.tier for first, second in zip(placings, placings[1:], strict=False))


@given(CENTS, st.integers(0, 12))
def test_large_is_the_exact_average(kwh: Decimal, months: int) -> None:
    assert is_large(kwh, months) is (months > 0 and Fraction(kwh) / months >= 4000 if months else False)
