"""What no split of a parent order may ever do, whatever it is given."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from trading.errors import InvalidInput
from trading.execution.parents import ParentTerms, parent_of
from trading.execution.splitting import CHILDREN_MAX, SplitRules, split
from trading.model.intent import SOL_MINT, Intent
from trading.model.units import BPS_ONE

UNITS = some.integers(1, 10**18)
RULES = some.builds(
    SplitRules,
    slices=some.integers(1, 200),
    duration_ns=some.integers(0, 10**14),
    child_min=UNITS,
    child_max=UNITS,
    depth_share_bps=some.integers(1, BPS_ONE),
)


@settings(max_examples=200, deadline=None)
@given(UNITS, UNITS, RULES)
def test_children_are_exactly_the_parent_and_within_every_cap(amount: int, depth: int, rules: SplitRules) -> None:
    cap = min(rules.child_max, depth * rules.depth_share_bps // BPS_ONE)
    if cap < 1 or -(-amount // cap) > CHILDREN_MAX:
        with pytest.raises(InvalidInput):
            split(amount, depth, 7, rules)
        return
    children = split(amount, depth, 7, rules)
    assert sum(each.amount for each in children) == amount
    assert all(1 <= each.amount <= cap for each in children)
    assert [each.number for each in children] == list(range(len(children)))
    dues = [each.due_ns for each in children]
    assert dues == sorted(dues)
    assert dues[0] == 7
    assert all(7 <= due <= 7 + rules.duration_ns for due in dues)


def test_an_order_is_spread_evenly_over_its_time() -> None:
    children = split(1_001, 10**6, 0, SplitRules(4, 400, 1, 10**6, 1_000))
    assert [(each.amount, each.due_ns) for each in children] == [(251, 0), (250, 100), (250, 200), (250, 300)]


def test_children_below_the_least_are_not_made_unless_a_cap_asks_for_them() -> None:
    assert len(split(1_000, 10**6, 0, SplitRules(10, 0, 400, 10**6, 1_000))) == 2
    assert [each.amount for each in split(1_000, 1_000, 0, SplitRules(1, 0, 400, 10**6, 2_500))] == [250] * 4


@pytest.mark.parametrize(
    ("field", "rules"),
    [
        ("slices", SplitRules(0, 0, 1, 1, 1)),
        ("child_min", SplitRules(1, 0, 0, 1, 1)),
        ("child_max", SplitRules(1, 0, 1, 0, 1)),
        ("depth_share_bps", SplitRules(1, 0, 1, 1, BPS_ONE + 1)),
        ("duration_ns", SplitRules(1, -1, 1, 1, 1)),
    ],
)
def test_a_bad_rule_is_refused_by_its_name(field: str, rules: SplitRules) -> None:
    with pytest.raises(InvalidInput) as refused:
        split(10, 10, 0, rules)
    assert refused.value.field == field


@settings(max_examples=100, deadline=None)
@given(some.integers(1, 10**15), some.integers(0, 10**15), some.integers(1, 40), some.integers(1, 5))
def test_children_together_ask_for_what_the_parent_does_and_no_less(
    amount: int, least: int, slices: int, wallets: int
) -> None:
    whole = Intent("p", "k", "", SOL_MINT, "frog", amount, least, 100, 5_000, 3, 0, 0, is_exit=False)
    names = tuple(f"w{number}" for number in range(wallets))
    made = parent_of(ParentTerms(whole, names, 10**18, 50, 7), SplitRules(slices, 1_000, 1, 10**15, BPS_ONE))
    intents = [each.intent for each in made.children]
    assert sum(each.amount_in for each in intents) == amount
    assert least <= sum(each.min_out for each in intents) < least + len(intents)
    assert [each.wallet for each in intents] == [names[at % wallets] for at in range(len(intents))]
    assert all(each.deadline_ns == child.due_ns + 7 for child, each in zip(made.children, intents, strict=True))
    assert len({each.id for each in intents}) == len({each.key for each in intents}) == len(intents)
    assert (made.is_buy, made.token) == (True, "frog")
