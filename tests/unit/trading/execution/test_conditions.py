"""Conditions of the chain: presets, files, and the probability that a transaction lands."""

import json
from pathlib import Path

import pytest

from trading.errors import InvalidInput
from trading.execution.conditions import (
    CALM,
    CONGESTED,
    FILE_BYTES_MAX,
    IDEAL,
    PPM_ONE,
    PRESETS,
    Conditions,
    conditions_of,
    parse_conditions,
)


def test_the_presets_go_by_their_names() -> None:
    assert [conditions_of(name) for name in ("ideal", "calm", "congested")] == list(PRESETS)
    assert conditions_of(CALM) is CALM
    assert Conditions() == IDEAL


def test_a_file_is_taken_as_it_is_or_out_of_a_calibration(tmp_path: Path) -> None:
    mine = CONGESTED.model_copy(update={"name": "mine", "failure_ppm": 5})
    plain, calibrated = tmp_path / "plain.json", tmp_path / "calibrated.json"
    plain.write_text(mine.model_dump_json(), encoding="utf-8")
    calibrated.write_text(json.dumps({"estimates": {}, "conditions": mine.model_dump()}), encoding="utf-8")
    assert conditions_of(str(plain)) == conditions_of(str(calibrated)) == mine


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON document"),
        ("[1]", "conditions: Input should be a valid dictionary"),
        ('{"failure_ppm": -1, "slot_ms": "fast"}', "slot_ms: .*, not fast; failure_ppm: .*, not -1"),
        ('{"speed": 1}', "speed"),
        ('{"latency_slots": 100, "jitter_slots": 50}', "latency_slots \\+ jitter_slots: less than 150"),
        ('{"depth_lamports_min": 9, "depth_lamports_max": 8}', "depth_lamports_min: at most"),
        ('{"conditions": {"failure_ppm": 1.5}}', "failure_ppm: "),
    ],
)
def test_a_file_that_does_not_fit_is_refused_field_by_field(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        parse_conditions(text, "file.json")
    assert caught.value.field == "conditions"


def test_an_unknown_name_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="ideal, calm, congested"):
        conditions_of("stormy")
    with pytest.raises(InvalidInput, match="ideal, calm, congested"):
        conditions_of("a\0b")
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * (FILE_BYTES_MAX + 1))
    with pytest.raises(InvalidInput, match="more than"):
        conditions_of(str(huge))


def test_the_landing_probability_is_logistic_in_the_logarithm_of_the_price() -> None:
    conditions = Conditions(level_micro_lamports=100_000, steepness_milli=1_500, compute_units=200_000)
    assert conditions.landing_ppm(20_000) == 500_000  # the median level
    assert conditions.landing_ppm(40_000) == int(PPM_ONE * 2**1.5 / (1 + 2**1.5))
    assert conditions.landing_ppm(0) == 0
    chances = [conditions.landing_ppm(fee) for fee in range(0, 200_000, 1_000)]
    assert chances == sorted(chances)
    assert IDEAL.landing_ppm(0) == PPM_ONE


def test_where_the_depth_comes_from_is_said() -> None:
    assert IDEAL.liquidity_text().startswith("declared")
    volume = Conditions(liquidity="volume", depth_volume_bps=25_000, depth_bars=12)
    assert volume.liquidity_text().startswith("volume: 2.5 x the mean SOL volume of the last 12 bars")
