"""Profiles as text, what differs between two, and which of two is safer."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.errors import DataError
from trading.model.bucket_rules import BucketRules
from trading.model.profile import AGGRESSIVE, BACKTEST_PROFILES, CAUTIOUS, FOUNDATION, PROFILES, Profile
from trading.model.profile_content import changes, content_of, document_of, profile_of, riskier, sha256_of
from trading.model.protection import Protection, ProtectionKind


def altered(section: str, **values: Any) -> Profile:
    document = FOUNDATION.model_dump()
    document[section] = {**document[section], **values}
    return Profile.model_validate(document)


@pytest.mark.requirement("T2")
def test_every_profile_comes_back_from_its_content_and_has_a_hash_of_its_own() -> None:
    for profile in BACKTEST_PROFILES:
        assert profile_of(content_of(profile)) == profile
    assert len({sha256_of(content_of(profile)) for profile in BACKTEST_PROFILES}) == len(BACKTEST_PROFILES)


def test_parameters_keep_their_kind_in_the_content() -> None:
    document = FOUNDATION.model_dump()
    document["strategies"] = [
        {"name": "mean_reversion", "weight_bps": 10_000, "parameters": {"a": 2, "b": 2.0, "c": 0.1}}
    ]
    again = profile_of(content_of(Profile.model_validate(document)))
    assert [(value, type(value)) for value in again.strategies[0].parameters.values()] == [
        (2, int),
        (2.0, float),
        (0.1, float),
    ]


def test_rules_added_later_are_no_part_of_a_text_in_which_they_say_nothing() -> None:
    for profile in BACKTEST_PROFILES:
        assert "rugs" not in json.loads(content_of(profile))
        assert "bucket_exposure_bps_max" not in json.loads(content_of(profile))["limits"]
    strict = altered("rugs", holders_min=100)
    assert json.loads(content_of(strict))["rugs"]["holders_min"] == 100
    narrow = altered("limits", bucket_exposure_bps_max=3_000)
    assert json.loads(content_of(narrow))["limits"]["bucket_exposure_bps_max"] == 3_000
    for profile in (strict, narrow):
        assert profile_of(content_of(profile)) == profile


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 1}'])
def test_a_content_that_cannot_be_read_is_an_error_of_the_data(content: str) -> None:
    with pytest.raises(DataError, match="the content of a profile cannot be read"):
        profile_of(content)


def test_what_changed_is_told_field_by_field() -> None:
    other = altered("limits", order_bps_max=1_000)
    assert [(each.field, each.before, each.after) for each in changes(FOUNDATION, other)] == [
        ("limits.order_bps_max", "2000", "1000")
    ]
    assert changes(FOUNDATION, FOUNDATION) == ()


def test_a_strategy_that_comes_or_goes_is_a_change_with_one_empty_side() -> None:
    document = FOUNDATION.model_dump()
    document["strategies"] = [{"name": "trend_following", "weight_bps": 10_000, "parameters": {"fast": 5}}]
    other = Profile.model_validate(document)
    told = {each.field: (each.before, each.after) for each in changes(FOUNDATION, other)}
    assert told["strategies.mean_reversion.weight_bps"] == ("5000", "")
    assert told["strategies.trend_following.weight_bps"] == ("", "10000")
    assert {each.field for each in riskier(FOUNDATION, other)} == {
        "strategies.trend_following.weight_bps",
        "strategies.trend_following.parameters.fast",
    }
    assert {each.field for each in riskier(other, FOUNDATION)} == {
        "strategies.mean_reversion.weight_bps",
        "strategies.momentum_breakout.weight_bps",
    }


@pytest.mark.requirement("T2")
def test_the_shipped_profiles_are_safer_in_their_order_and_not_the_other_way() -> None:
    order = (CAUTIOUS, FOUNDATION, AGGRESSIVE)
    for number, safer in enumerate(order):
        for other in order[number + 1 :]:
            assert riskier(other, safer) == ()
            assert riskier(safer, other) != ()
        assert riskier(safer, safer) == ()


@pytest.mark.parametrize(
    ("section", "name", "safer", "wilder"),
    [
        ("limits", "order_bps_max", 1_999, 2_001),
        ("limits", "drawdown_halted_bps", 2_499, 2_501),
        ("limits", "cooldown_s", 3_601, 3_599),
        ("limits", "reducing_s", 86_401, 86_399),
        ("limits", "edge_over_cost_bps_min", 26, 24),
        ("limits", "exit_reserve_lamports", 2_000_001, 1_999_999),
        ("sizing", "probe_bps", 999, 1_001),
        ("sizing", "order_lamports_min", 20_000_001, 19_999_999),
        ("exits", "stop_loss_bps", 499, 501),
        ("exits", "trailing_stop_bps", 399, 0),
        ("exits", "take_profit_bps", 1_499, 0),
        ("exits", "holding_s_max", 86_399, 86_401),
        ("rugs", "holders_min", 21, 19),
        ("rugs", "top_ten_bps_max", 3_999, 4_001),
    ],
)
def test_each_field_has_the_side_on_which_it_is_safer(section: str, name: str, safer: int, wilder: int) -> None:
    assert riskier(FOUNDATION, altered(section, **{name: safer})) == ()
    assert [each.field for each in riskier(FOUNDATION, altered(section, **{name: wilder}))] == [f"{section}.{name}"]


def test_every_field_that_sizes_or_limits_has_a_side() -> None:
    """Without one a field could not be tightened by an agent, and nobody would notice."""
    for section in ("limits", "sizing", "exits", "rugs"):
        for name, value in FOUNDATION.model_dump()[section].items():
            if name == "protections" or isinstance(value, tuple):
                continue  # below
            risky = 0
            for step in (-1, 1):
                other = FOUNDATION.model_copy(
                    update={section: getattr(FOUNDATION, section).model_copy(update={name: value + step})}
                )
                risky += bool(riskier(FOUNDATION, other))
            assert risky == 1 or (value == 0 and risky == 2), f"{section}.{name}"


@pytest.mark.requirement("T14")
def test_to_hear_less_of_advice_that_only_shrinks_and_delays_is_riskier() -> None:
    heard = altered("advice", weight_bps_max=5_000)
    assert "advice" not in document_of(FOUNDATION)
    assert document_of(heard)["advice"]["weight_bps_max"] == 5_000
    assert riskier(FOUNDATION, heard) == ()
    assert [each.field for each in riskier(heard, FOUNDATION)] == ["advice.weight_bps_max"]


@pytest.mark.requirement("T2")
def rotating(**bounds: Any) -> Profile:
    return altered("buckets", rotation="fixed_share", **bounds)


@pytest.mark.requirement("T12")
def test_shares_that_rotate_are_riskier_than_shares_that_stay_and_less_room_is_safer() -> None:
    assert {each.field for each in riskier(FOUNDATION, rotating())} == {"buckets.rotation"}
    assert riskier(rotating(), FOUNDATION) == riskier(rotating(), rotating()) == ()
    room = {
        "rotation_floor_bps": -1,
        "rotation_cap_bps": 1,
        "rotation_step_bps": 1,
        "rotation_warmup_days": -1,
        "rotation_horizon_days": 1,
        "rotation_cost_bps": -1,
        "rotation_hold_days": -1,
    }
    assert {"rotation", "band_bps", *room} == set(BucketRules.model_fields)
    for name, more in room.items():
        present = getattr(BucketRules(), name)
        assert [each.field for each in riskier(rotating(), rotating(**{name: present + more}))] == [f"buckets.{name}"]
        assert riskier(rotating(), rotating(**{name: present - more})) == ()
        assert riskier(FOUNDATION, altered("buckets", **{name: present + more})) == ()


@pytest.mark.requirement("T12")
def test_a_profile_whose_shares_stay_has_the_text_of_before_there_was_rotation() -> None:
    assert json.loads(content_of(FOUNDATION))["buckets"] == {"band_bps": 10_000}
    for profile in (rotating(), altered("buckets", rotation_cap_bps=6_000)):
        assert profile_of(content_of(profile)) == profile
    assert len(json.loads(content_of(rotating()))["buckets"]) == len(BucketRules.model_fields)
    with pytest.raises(ValueError, match="rotation_floor_bps must be at most rotation_cap_bps"):
        rotating(rotation_floor_bps=8_000)


@pytest.mark.requirement("T13")
def test_recall_switched_either_way_is_riskier_and_less_room_for_it_is_safer() -> None:
    recalling = altered("recall", is_on=True)
    assert [each.field for each in riskier(FOUNDATION, recalling)] == ["recall.is_on"]
    assert [each.field for each in riskier(recalling, FOUNDATION)] == ["recall.is_on"]
    for safer in ({"raise_bps_max": 0}, {"scores_min": 200}, {"neighbours_min": 100}):
        other = altered("recall", is_on=True, **safer)
        assert riskier(recalling, other) == ()
        assert riskier(other, recalling) != ()
    other = altered("recall", is_on=True, neighbours=10)
    assert riskier(recalling, other) != ()
    assert riskier(other, recalling) != ()


@pytest.mark.requirement("T13")
def test_a_profile_that_recalls_nothing_has_the_text_of_before_there_was_recall() -> None:
    assert "recall" not in document_of(FOUNDATION)
    recalling = altered("recall", is_on=True)
    assert document_of(recalling)["recall"]["is_on"] is True
    assert profile_of(content_of(recalling)) == recalling


def test_fewer_powers_and_more_bans_are_safer() -> None:
    few, many = altered("rugs", powers_allowed=["freeze"]), altered("rugs", powers_allowed=["mint", "freeze"])
    assert [each.field for each in riskier(few, many)] == ["rugs.powers_allowed"]
    assert riskier(many, few) == riskier(few, FOUNDATION) == ()
    one, two = altered("rugs", banned=["A"]), altered("rugs", banned=["B", "A"])
    assert [each.field for each in riskier(two, one)] == ["rugs.banned"]
    assert riskier(one, two) == riskier(FOUNDATION, one) == ()
    assert [(each.before, each.after) for each in changes(one, two)] == [("A", "B, A")]


def test_a_list_that_says_nothing_is_no_part_of_the_text() -> None:
    assert set(json.loads(content_of(altered("rugs", holders_min=7)))["rugs"]).isdisjoint({"banned", "powers_allowed"})
    banned = altered("rugs", banned=["A"])
    assert profile_of(content_of(banned)) == banned


RULE = FOUNDATION.limits.protections[0]


@pytest.mark.requirement("T2")
@pytest.mark.parametrize(
    ("change", "is_riskier"),
    [
        ({}, False),
        ({"stop_s": RULE.stop_s + 1}, False),
        ({"stop_s": RULE.stop_s - 1}, True),
        ({"lookback_s": RULE.lookback_s + 1}, False),
        ({"lookback_s": RULE.lookback_s - 1}, True),
        ({"trades_min": RULE.trades_min - 1}, False),
        ({"trades_min": RULE.trades_min + 1}, True),
        ({"bps": RULE.bps + 1}, False),
        ({"bps": RULE.bps - 1}, True),
        ({"is_per_token": not RULE.is_per_token}, True),
    ],
)
def test_a_protection_is_compared_with_the_one_of_its_kind_and_scope(change: dict[str, int], is_riskier: bool) -> None:
    other = guarded(RULE.model_copy(update=change))
    found = riskier(guarded(RULE), other)
    assert bool(found) is is_riskier
    assert riskier(other, guarded(other.limits.protections[0], RULE)) == ()
    assert [each.field for each in riskier(guarded(RULE), guarded())] == ["limits.protections.stoploss_guard.all"]


@pytest.mark.requirement("T2")
def test_a_drop_that_trips_later_is_riskier_and_another_window_of_profits_is_neither() -> None:
    kinds = {rule.kind: rule for rule in FOUNDATION.limits.protections}
    drop, profit = kinds[ProtectionKind.MAX_DRAWDOWN], kinds[ProtectionKind.LOW_PROFIT_PAIRS]
    assert riskier(guarded(drop), guarded(drop.model_copy(update={"bps": drop.bps + 1})))
    assert not riskier(guarded(drop), guarded(drop.model_copy(update={"bps": drop.bps - 1})))
    for step in (-1, 1):
        assert riskier(guarded(profit), guarded(profit.model_copy(update={"lookback_s": profit.lookback_s + step})))


def guarded(*rules: Protection) -> Profile:
    return FOUNDATION.model_copy(update={"limits": FOUNDATION.limits.model_copy(update={"protections": rules})})


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PROFILES), st.sampled_from(PROFILES), st.sampled_from(PROFILES))
def test_safer_is_an_order(one: Profile, two: Profile, three: Profile) -> None:
    if not riskier(one, two) and not riskier(two, three):
        assert riskier(one, three) == ()
    if not riskier(one, two) and not riskier(two, one):
        assert [each.field for each in changes(one, two) if not each.field.startswith("fees.")] == []
