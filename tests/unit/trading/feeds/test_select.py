"""A feed argument means what it says, and a wrong one says what is allowed."""

from pathlib import Path

import pytest
from tests.unit.trading.feeds.bar_writers import bar_rows, write_csv

from trading.errors import InvalidInput
from trading.feeds.select import SEED_DEFAULT, FeedSpec, open_feed, parse_feed


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("auto", FeedSpec("auto")),
        ("market", FeedSpec("market")),
        (" synthetic ", FeedSpec("synthetic", seed=SEED_DEFAULT)),
        ("synthetic:42", FeedSpec("synthetic", seed=42)),
        ("replay:a.csv", FeedSpec("replay", (Path("a.csv"),))),
        ("replay:a.csv, b.csv,", FeedSpec("replay", (Path("a.csv"), Path("b.csv")))),
    ],
)
def test_a_feed_argument_is_read(text: str, spec: FeedSpec) -> None:
    assert parse_feed(text) == spec


@pytest.mark.parametrize(
    "text",
    ["", "moon", "replay", "replay:", "replay: , ", "synthetic:", "synthetic:-1", "synthetic:x", "auto:1", "market:"],
)
def test_a_wrong_feed_argument_says_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"allowed: auto, market, synthetic\[:SEED\] or replay:PATH") as caught:
        parse_feed(text)
    assert caught.value.field == "feed"


def test_auto_without_the_network_takes_recorded_data_and_else_a_generated_market(tmp_path: Path) -> None:
    recorded = write_csv(tmp_path / "FROGSOL_5m.csv", bar_rows(2))
    assert open_feed(parse_feed("auto"), recorded=[recorded]).description.kind == "replay"
    assert open_feed(parse_feed("auto")).description.kind == "synthetic"
    assert open_feed(parse_feed("synthetic:1"), recorded=[recorded]).description.kind == "synthetic"
    with pytest.raises(InvalidInput, match="feed market needs the network"):
        open_feed(parse_feed("market"))
