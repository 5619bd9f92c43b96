from typing import Any

import pytest
from pydantic import ValidationError

from trading.errors import InvalidInput
from trading.model.profile import AGGRESSIVE, CAUTIOUS, FOUNDATION, PROFILES, Profile, profile_named
from trading.model.tier import TIERS, moved_tier, next_tier, tier_named, tier_of
from trading.model.units import LAMPORTS_PER_SOL as SOL
from trading.strategies import registry


@pytest.mark.requirement("T2")
def test_every_built_in_profile_can_be_made_from_its_own_document() -> None:
    for profile in PROFILES:
        assert Profile.model_validate(profile.model_dump()) == profile
        assert profile_named(profile.name) is profile
        assert [each.name for each in registry.create_all(profile.strategies)]


def test_cautious_risks_less_than_foundation_and_aggressive_more() -> None:
    for name in ("order_bps_max", "total_exposure_bps_max", "drawdown_reducing_bps", "drawdown_halted_bps"):
        low, middle, high = (getattr(profile.limits, name) for profile in (CAUTIOUS, FOUNDATION, AGGRESSIVE))
        assert low < middle < high, name


def test_an_unknown_profile_is_refused_with_the_known_names() -> None:
    with pytest.raises(InvalidInput, match="foundation, cautious, aggressive") as caught:
        profile_named("yolo")
    assert caught.value.field == "profile"


@pytest.mark.parametrize(
    ("section", "changes", "named"),
    [
        ("limits", {"drawdown_reducing_bps": 3_000}, "drawdown_reducing_bps"),
        ("limits", {"drawdown_reducing_bps": 0}, "drawdown_reducing_bps"),
        ("limits", {"order_bps_max": 5_000}, "order_bps_max"),
        ("limits", {"token_exposure_bps_max": 9_000}, "token_exposure_bps_max"),
        ("limits", {"reentry_s": 10}, "reentry_s"),
        ("limits", {"positions_max": 0}, "positions_max"),
        ("limits", {"surprise": 1}, "surprise"),
        ("fees", {"priority_micro_lamports_per_cu": 50_000_000}, "priority fee"),
        ("sizing", {"probe_bps": 10_001}, "probe_bps"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_and_named(section: str, changes: dict[str, int], named: str) -> None:
    document: dict[str, Any] = FOUNDATION.model_dump()
    document[section].update(changes)
    with pytest.raises(ValidationError, match=named):
        Profile.model_validate(document)


@pytest.mark.parametrize(
    "strategies",
    [
        [{"name": "a", "weight_bps": 1}, {"name": "a", "weight_bps": 1}],
        [{"name": "a", "weight_bps": 6_000}, {"name": "b", "weight_bps": 6_000}],
        [],
    ],
)
def test_strategies_are_named_once_and_weigh_at_most_everything(strategies: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError, match="strategies"):
        Profile.model_validate({**FOUNDATION.model_dump(), "strategies": strategies})


def test_the_priority_fee_is_charged_on_the_limit_rounded_up() -> None:
    document = FOUNDATION.model_dump()
    document["fees"].update(priority_micro_lamports_per_cu=3, compute_units_max=333_334)
    assert Profile.model_validate(document).priority_fee_lamports == 2
    assert FOUNDATION.priority_fee_lamports == 20_000


@pytest.mark.parametrize(
    ("sol", "name"),
    [
        (0, "foundation"),
        (2, "foundation"),
        (20, "acceleration"),
        (1_999, "acceleration"),
        (2_000, "institutional"),
        (50_000, "institutional"),
    ],
)
def test_equity_sets_the_tier(sol: int, name: str) -> None:
    assert tier_of(sol * SOL).name == name
    assert tier_named(name).name == name


@pytest.mark.requirement("T3")
def test_a_tier_is_left_downwards_only_well_below_its_threshold() -> None:
    foundation, acceleration, institutional = TIERS
    assert moved_tier(foundation, 20 * SOL - 1) is foundation
    assert moved_tier(foundation, 20 * SOL) is acceleration
    assert moved_tier(acceleration, 18 * SOL) is acceleration
    assert moved_tier(acceleration, 18 * SOL - 1) is foundation
    assert moved_tier(foundation, 5_000 * SOL) is institutional
    assert moved_tier(foundation, -1) is foundation


def test_each_tier_knows_the_next_one() -> None:
    assert [next_tier(tier) for tier in TIERS] == [TIERS[1], TIERS[2], None]


def test_larger_tiers_demand_deeper_pools_and_smaller_fees() -> None:
    assert sorted(TIERS, key=lambda tier: tier.pool_lamports_min) == list(TIERS)
    assert sorted(TIERS, key=lambda tier: -tier.fee_position_bps_max) == list(TIERS)


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'gold' is unknown"):
        tier_named("gold")
