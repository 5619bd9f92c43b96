"""Rug checks on crafted mints: each catches its own, says how far off it is, and lets a clean token pass."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.scripted_facts import clean_facts

from trading.model.rug_rules import MintPower, RugRules
from trading.model.token_facts import Facts, LiquidityHold, SellSimulation, facts_body, facts_of
from trading.risk.rug_checks import CHECKS, RugReason, findings, refusal

OWNER = "sim:owner"
CRAFTED: dict[RugReason, dict[str, Any]] = {
    RugReason.UNSELLABLE: {"sale": SellSimulation(10**6, 10**8, None, "account is frozen")},
    RugReason.SELL_LOSS: {"sale": SellSimulation(10**6, 10**8, 89_999_999)},
    RugReason.MINT_AUTHORITY: {"mint_authority": OWNER},
    RugReason.FREEZE_AUTHORITY: {"freeze_authority": OWNER},
    RugReason.PERMANENT_DELEGATE: {"permanent_delegate": OWNER},
    RugReason.TRANSFER_HOOK: {"transfer_hook": "sim:hook"},
    RugReason.TRANSFER_FEE: {"transfer_fee_bps": 1},
    RugReason.LIQUIDITY_FREE: {"liquidity_hold": LiquidityHold.FREE},
    RugReason.LIQUIDITY_THIN: {"liquidity_lamports": 20 * 10**9 - 1},
    RugReason.CONCENTRATED: {"top_ten_bps": 4_001},
    RugReason.FEW_HOLDERS: {"holders": 19},
}
UNKNOWN = ("age_s", "holders", "top_ten_bps", "mint_authority", "freeze_authority", "transfer_fee_bps", "transfer_hook",
           "permanent_delegate", "liquidity_lamports", "liquidity_hold", "sale")  # fmt: skip


@pytest.mark.requirement("T4")
@pytest.mark.parametrize("reason", CRAFTED, ids=str)
def test_each_crafted_rug_is_caught_by_its_own_check_and_no_other(reason: RugReason) -> None:
    found = findings(clean_facts(**CRAFTED[reason]), RugRules())
    assert [each.reason for each in found] == [reason]
    for are_needed in (True, False):
        denied = refusal(clean_facts(**CRAFTED[reason]), RugRules(), are_needed=are_needed)
        assert denied is not None
        assert denied.reason == reason
        assert denied.message == found[0].message


@pytest.mark.requirement("T2")
def test_a_profile_may_take_what_somebody_can_still_do_and_nothing_else_by_it() -> None:
    taken = {
        MintPower.MINT: RugReason.MINT_AUTHORITY,
        MintPower.FREEZE: RugReason.FREEZE_AUTHORITY,
        MintPower.MOVE: RugReason.PERMANENT_DELEGATE,
        MintPower.HOOK: RugReason.TRANSFER_HOOK,
    }
    for power, reason in taken.items():
        others = tuple(each for each in MintPower if each is not power)
        facts = clean_facts(**CRAFTED[reason])
        assert [each.reason for each in findings(facts, RugRules(powers_allowed=others))] == [reason]
        assert findings(facts, RugRules(powers_allowed=(power,))) == []
    everything = RugRules(powers_allowed=tuple(MintPower))
    for reason in set(CRAFTED) - set(taken.values()):
        assert [each.reason for each in findings(clean_facts(**CRAFTED[reason]), everything)] == [reason]


def test_a_clean_token_passes_and_so_does_one_at_each_bound() -> None:
    at_bounds = clean_facts(
        sale=SellSimulation(10**6, 10**8, 90_000_000),
        liquidity_lamports=20 * 10**9,
        top_ten_bps=4_000,
        holders=20,
        age_s=0,
        liquidity_hold=LiquidityHold.LOCKED,
    )
    for facts in (clean_facts(), at_bounds):
        assert findings(facts, RugRules()) == []
        assert refusal(facts, RugRules(), are_needed=True) is None


@pytest.mark.parametrize("field", UNKNOWN)
def test_what_is_not_known_has_not_been_passed_where_facts_are_needed(field: str) -> None:
    facts = clean_facts(**{field: None})
    denied = refusal(facts, RugRules(), are_needed=True)
    assert denied is not None
    assert denied.reason == RugReason.FACTS_UNKNOWN
    assert denied.message.startswith("not known: ")
    assert refusal(facts, RugRules(), are_needed=False) is None


def test_without_any_facts_only_those_who_need_them_are_refused() -> None:
    denied = refusal(None, RugRules(), are_needed=True)
    assert denied is not None
    assert denied.reason == "rug_facts_unknown"
    assert refusal(None, RugRules(), are_needed=False) is None


def test_a_refusal_names_all_that_is_wrong_the_worst_first_with_its_distances() -> None:
    facts = clean_facts(holders=3, top_ten_bps=9_000, sale=None, mint_authority=OWNER)
    denied = refusal(facts, RugRules(), are_needed=True)
    assert denied is not None
    assert denied.reason == RugReason.MINT_AUTHORITY  # what is known to be wrong before what is not known
    for text in ("can mint more of it", "not known: whether it can be sold", "9000 bps", "3 hold it"):
        assert text in denied.message
    assert [(each.name, each.used, each.limit, each.is_broken) for each in denied.broken] == [
        (RugReason.CONCENTRATED, 9_000, 4_000, True),
        (RugReason.FEW_HOLDERS, 3, 20, True),
    ]
    thin = refusal(clean_facts(liquidity_lamports=1), RugRules(), are_needed=False)
    assert thin is not None
    assert (thin.limit, thin.used) == (20 * 10**9, 1)


def test_bounds_can_be_wider_and_a_token_too_young_waits() -> None:
    wide = RugRules(transfer_fee_bps_max=100, top_ten_bps_max=10_000, age_s_min=7_200)
    facts = clean_facts(transfer_fee_bps=100, top_ten_bps=9_999)
    assert [each.reason for each in findings(facts, wide)] == [RugReason.TOO_YOUNG]


def test_a_sale_of_nothing_proves_nothing() -> None:
    assert [each.reason for each in findings(clean_facts(sale=SellSimulation(0, 0, 0)), RugRules())] == [
        RugReason.SELL_LOSS
    ]


def test_every_check_says_why_it_is_there() -> None:
    assert all(check.__doc__ for check in CHECKS)
    assert {each.value for each in RugReason if not each.value.startswith("rug_")} == set()


sums = st.none() | st.integers(0, 10**18)
names = st.none() | st.sampled_from(["", OWNER])
facts_strategy = st.builds(
    Facts,
    mint=st.text(min_size=2, max_size=8),
    age_s=sums,
    holders=sums,
    top_ten_bps=st.none() | st.integers(0, 10_000),
    mint_authority=names,
    freeze_authority=names,
    transfer_fee_bps=st.none() | st.integers(0, 10_000),
    transfer_hook=names,
    permanent_delegate=names,
    liquidity_lamports=sums,
    liquidity_hold=st.none() | st.sampled_from(LiquidityHold),
    sale=st.none()
    | st.builds(SellSimulation, st.integers(0, 10**18), st.integers(0, 10**18), sums, st.text(max_size=5)),
)


@given(facts_strategy)
def test_facts_come_back_from_their_row_and_only_what_is_clean_passes(facts: Facts) -> None:
    assert facts_of(facts_body(facts)) == facts
    needed, known = refusal(facts, RugRules(), are_needed=True), refusal(facts, RugRules(), are_needed=False)
    assert (needed is None) <= (known is None)  # who needs facts is never laxer
    if needed is None:
        assert not any(getattr(facts, name) is None for name in UNKNOWN)
        assert facts.sale is not None
        assert facts.sale.lamports_out is not None
        powers = (facts.mint_authority, facts.freeze_authority, facts.permanent_delegate, facts.transfer_hook)
        assert powers == ("", "", "", "")


@pytest.mark.parametrize(("field", "value"), [("top_ten_bps", 10_001), ("holders", -1), ("transfer_fee_bps", 20_000)])
def test_facts_that_cannot_be_are_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value}; allowed: 0 to"):
        clean_facts(**{field: value})
