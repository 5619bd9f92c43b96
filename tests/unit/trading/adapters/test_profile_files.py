"""Profiles from files: what may stand in one, and what is said to one that does not hold."""

import json
from pathlib import Path

import pytest

from trading.adapters.profile_files import FILE_BYTES_MAX, find_profile, named_profile, own_names, read_profile
from trading.errors import InvalidInput
from trading.model.profile import BASELINE, CAUTIOUS, FOUNDATION, PROFILES, Profile


def written(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def whole(profile: Profile) -> str:
    """Return a file that extends nothing."""
    document = profile.model_dump(mode="json")
    protections = document["limits"].pop("protections")
    lines = [
        line
        for section in ("limits", "sizing", "exits", "fees", "after_gap")
        for line in (f"[{section}]", *(f"{key} = {value}" for key, value in document[section].items()))
    ]
    for rule in protections:
        lines += ["[[limits.protections]]", *(f"{key} = {json.dumps(value)}" for key, value in rule.items())]
    for choice in document["strategies"]:
        lines += ["[[strategies]]", f'name = "{choice["name"]}"', f"weight_bps = {choice['weight_bps']}"]
    return "\n".join(lines)


@pytest.mark.requirement("T2")
def test_a_file_states_what_differs_from_what_it_extends(tmp_path: Path) -> None:
    found = read_profile(
        written(
            tmp_path,
            """
            extends = "cautious"
            title = "Trend only"
            [limits]
            order_bps_max = 900
            [[strategies]]
            name = "trend_following"
            weight_bps = 10000
            parameters = { fast_bars = 10 }
            """,
        )
    )
    assert (found.name, found.title, found.limits.order_bps_max) == ("mine", "Trend only", 900)
    assert found.limits.model_copy(update={"order_bps_max": 1_000}) == CAUTIOUS.limits
    assert (found.exits, found.fees) == (CAUTIOUS.exits, CAUTIOUS.fees)
    assert [(each.name, each.parameters) for each in found.strategies] == [("trend_following", {"fast_bars": 10})]


def test_a_file_that_extends_nothing_is_whole(tmp_path: Path) -> None:
    found = read_profile(written(tmp_path, whole(FOUNDATION)))
    assert found.model_copy(update={"name": "foundation", "title": FOUNDATION.title}) == FOUNDATION


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("limits = ", "is not TOML"),
        ('extends = "yolo"', "extends: given 'yolo', allowed: foundation, cautious, aggressive"),
        ("extends = 1", "extends: given 1, allowed: foundation"),
        ('extends = "cautious"\nname = "other"', "name: given 'other', allowed: 'mine', as the file is called"),
        ('extends = "cautious"\nleverage = 3', "leverage: is unknown; allowed: name, title, limits"),
        (
            'extends = "cautious"\n[limits]\norder_bps = 3',
            "limits.order_bps: is unknown; allowed: order_bps_max, token_exposure_bps_max",
        ),
        (
            'extends = "cautious"\n[limits]\npositions_max = 0',
            "limits.positions_max: given '0', allowed: Input should be greater than or equal to 1",
        ),
        ('extends = "cautious"\n[limits]\npositions_max = "many"', "limits.positions_max: given 'many', allowed: "),
        ('extends = "cautious"\n[limits]\norder_bps_max = 2000', "order_bps_max <= token_exposure_bps_max"),
        ('extends = "cautious"\nlimits = 3', "limits: given '3', allowed: "),
        (
            'extends = "cautious"\nstrategies = [{name = "trend_following", weight_bps = 9000}]',
            "strategies.weight_bps: given are 9000 bps together, allowed: exactly 10000",
        ),
        (
            'extends = "cautious"\nstrategies = [{name = "hope", weight_bps = 10000}]',
            "strategy: 'hope' is unknown; known are momentum_breakout",
        ),
        (
            'extends = "cautious"\nstrategies = [{name = "sma_cross", weight_bps = 10000, parameters.fast_bars = 0}]',
            "fast_bars: 0 is outside",
        ),
        ('extends = "cautious"\nstrategies = [{name = "trend_following", weight = 1}]', "weight_bps: is missing"),
        ("[limits]\norder_bps_max = 1", "sizing: is missing, and nothing is extended"),
    ],
)
def test_a_file_that_does_not_hold_is_told_field_given_and_allowed(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InvalidInput) as caught:
        read_profile(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert told in caught.value.message
    assert caught.value.field == "profile"


def test_every_problem_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, 'extends = "cautious"\n[limits]\npositions_max = 0\n[exits]\nstop_loss_bps = -1')
    with pytest.raises(InvalidInput, match=r"limits\.positions_max.*exits\.stop_loss_bps"):
        read_profile(path)


def test_a_shipped_profile_cannot_be_replaced_by_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'extends = "cautious"', name="foundation")
    with pytest.raises(InvalidInput, match="ships with the desk"):
        read_profile(path)
    assert named_profile("foundation", tmp_path) is FOUNDATION


def test_a_file_too_large_or_of_other_bytes_or_missing_is_refused(tmp_path: Path) -> None:
    large = written(tmp_path, "#" * (FILE_BYTES_MAX + 1), name="large")
    with pytest.raises(InvalidInput, match="is larger than"):
        read_profile(large)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="is not TOML"):
        read_profile(binary)
    with pytest.raises(InvalidInput, match="there is no file"):
        read_profile(tmp_path / "none.toml")
    odd = written(tmp_path, 'extends = "cautious"', name="My Desk")
    with pytest.raises(InvalidInput, match="name: given 'My Desk', allowed: String should match"):
        read_profile(odd)


def test_names_are_looked_up_among_the_shipped_ones_and_the_folder_and_a_path_is_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    assert own_names(folder) == []
    folder.mkdir()
    path = written(folder, 'extends = "cautious"')
    (folder / "notes.txt").write_text("nothing")
    assert own_names(folder) == ["mine"]
    assert named_profile("mine", folder) == find_profile(str(path), None)
    assert find_profile("baseline", folder, (*PROFILES, BASELINE)) is BASELINE
    for name in ("baseline", "../profiles/mine", str(path), "notes", ""):
        with pytest.raises(InvalidInput, match="known are aggressive, cautious, foundation, mine"):
            named_profile(name, folder)
