"""What a run is made of comes back as it was kept, or not at all."""

import json

import pytest

from trading.errors import DataError
from trading.execution.conditions import CONGESTED
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model.profile import AGGRESSIVE
from trading.runtime.assembly import ENGINE_VERSION, RunPlan
from trading.runtime.plans import kept_plan, plan_text

FEED = SyntheticFeed(SyntheticMarket(seed=3)).description
PLAN = RunPlan("paper", FEED, AGGRESSIVE, 5 * 10**9, 20 * 10**9, seed=9, conditions=CONGESTED)


def test_a_plan_comes_back_as_it_was() -> None:
    kept = kept_plan(plan_text(PLAN))
    assert kept.plan == PLAN
    assert kept.plan.feed.origin == FEED.origin
    assert (kept.scope, kept.engine) == (PLAN.scope, ENGINE_VERSION)
    assert kept.plan.scope == PLAN.scope


@pytest.mark.parametrize("change", [{"format": 2}, {"profile": {}}, {"feed": {"kind": "x"}}, {"engine": None}])
def test_a_plan_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(plan_text(PLAN)) | change).encode()
    with pytest.raises(DataError, match="what this run is made of cannot be read"):
        kept_plan(text)


def test_a_text_that_is_no_plan_is_refused() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        kept_plan(b"{")
