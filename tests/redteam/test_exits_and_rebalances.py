"""Previews of exits and of rebalances stretched, replayed, stolen and outrun: what was shown is done, once, or nothing.

The market stands still until a case moves it; every case counts what the desk traded.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.redteam.test_orders_by_agents import BUY, CYRILLIC_A, MINT, Team, a_team

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]

CLOSE: dict[str, Any] = {"mint": MINT, "percent": 50, "reason": "a case sells"}
SELL_ALL: dict[str, Any] = {"scope": "tokens", "weights_bps": {MINT: 0}, "reason": "a case moves"}
BUY_SOME: dict[str, Any] = {"scope": "tokens", "weights_bps": {MINT: 1_000}, "reason": "a case moves"}
BUCKETS: dict[str, Any] = {"scope": "buckets", "policy": "equal", "reason": "a case moves"}


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Team]:
    """A desk that holds a position which mallory bought."""
    async with a_team(tmp_path) as opened:
        preview_id = await opened.preview()
        await opened.told("mallory", "place_trade", **BUY, preview_id=preview_id)
        assert await opened.traded() == 1
        yield opened


async def shown(team: Team, tool: str, wish: dict[str, Any], agent: str = "mallory") -> str:
    told = await team.told(agent, tool, **wish)
    assert told["status"] == "preview", told["message"]
    return str(told["preview_id"])


async def state_of(team: Team) -> tuple[int, Any, Any]:
    """Return how many trades there were, the positions and the strategies' capital."""
    trades = await team.traded()
    snapshot = await team.here.desk.snapshot()
    strategies = (await team.here.desk.strategies())["strategies"]
    held = [(each["mint"], each["amount_base_units"]) for each in snapshot["positions"]]
    return trades, held, [(each["name"], each["capital"]["lamports"]) for each in strategies]


CHANGED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "close: more of it": ("close_position", CLOSE, {"percent": 100}),
    "close: less of it": ("close_position", CLOSE, {"percent": 1}),
    "close: another reason": ("close_position", CLOSE, {"reason": "another reason"}),
    "close: another mint": ("close_position", CLOSE, {"mint": "sim:BBB"}),
    "close: its symbol": ("close_position", CLOSE, {"mint": "AAA"}),
    "tokens: another weight": ("rebalance", SELL_ALL, {"weights_bps": {MINT: 9_000}}),
    "tokens: a policy for the weights": ("rebalance", SELL_ALL, {"weights_bps": None, "policy": "cash"}),
    "tokens: another reason": ("rebalance", SELL_ALL, {"reason": "another reason"}),
    "buckets: another policy": ("rebalance", BUCKETS, {"policy": "cash"}),
    "buckets: weights for the policy": ("rebalance", BUCKETS, {"policy": None, "weights_bps": {"manual": 10_000}}),
    "buckets: tokens instead": ("rebalance", BUCKETS, {"scope": "tokens"}),
}


@pytest.mark.parametrize("case", CHANGED)
async def test_an_argument_that_changed_after_the_preview_voids_what_was_shown(team: Team, case: str) -> None:
    tool, wish, change = CHANGED[case]
    before = await state_of(team)
    preview_id = await shown(team, tool, wish)
    changed = {name: value for name, value in (wish | change).items() if value is not None}
    told = await team.told("mallory", tool, **changed, preview_id=preview_id)
    assert told["status"] == "stale"
    assert await state_of(team) == before


@pytest.mark.parametrize(("tool", "wish"), [("close_position", CLOSE), ("rebalance", SELL_ALL), ("rebalance", BUCKETS)])
async def test_what_was_shown_is_done_once_however_often_it_is_confirmed(
    team: Team, tool: str, wish: dict[str, Any]
) -> None:
    preview_id = await shown(team, tool, wish)
    statuses = []
    for number in range(4):
        key = "same" if number < 2 else f"other-{number}"
        told = await team.told("mallory", tool, **wish, preview_id=preview_id, idempotency_key=key)
        statuses.append(told["status"])
        if number == 0:
            after = await state_of(team)
    assert statuses[0] in {"working", "done"}
    assert statuses[1] != "expired"
    assert statuses[2:] == ["expired", "expired"]
    assert await state_of(team) == after


@pytest.mark.parametrize(("tool", "wish"), [("close_position", CLOSE), ("rebalance", SELL_ALL), ("rebalance", BUCKETS)])
async def test_what_was_shown_to_another_agent_is_of_no_use(team: Team, tool: str, wish: dict[str, Any]) -> None:
    before = await state_of(team)
    preview_id = await shown(team, tool, wish, "mallory")
    told = await team.told("eve", tool, **wish, preview_id=preview_id)
    assert told["status"] == "stale"
    assert await state_of(team) == before


@pytest.mark.parametrize(("tool", "wish"), [("close_position", CLOSE), ("rebalance", SELL_ALL), ("rebalance", BUCKETS)])
async def test_what_was_shown_long_ago_is_expired(team: Team, tool: str, wish: dict[str, Any]) -> None:
    before = await state_of(team)
    preview_id = await shown(team, tool, wish)
    previews = team.here.desk._previews
    earlier = previews._monotonic_s
    previews._monotonic_s = lambda: earlier() + 31
    told = await team.told("mallory", tool, **wish, preview_id=preview_id)
    assert told["status"] == "expired"
    assert await state_of(team) == before


@pytest.mark.parametrize(
    ("tool", "wish", "price"),
    [("close_position", CLOSE, "0.00096"), ("rebalance", SELL_ALL, "0.00096"), ("rebalance", BUY_SOME, "0.00105")],
    ids=["an exit", "a sale of a rebalance", "a purchase of a rebalance"],
)
async def test_a_price_beyond_what_was_shown_moves_nothing(
    team: Team, tool: str, wish: dict[str, Any], price: str
) -> None:
    preview_id = await shown(team, tool, wish)
    await team.here.move(price)
    before = await state_of(team)
    assert before[1] != []
    told = await team.told("mallory", tool, **wish, preview_id=preview_id)
    assert told["status"] in {"stale", "denied"}
    assert "moved" in (told["message"] + str(told.get("legs", "")))
    assert await state_of(team) == before


NONSENSE: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing of it": ("close_position", CLOSE | {"percent": 0}),
    "more than all": ("close_position", CLOSE | {"percent": 101}),
    "less than nothing": ("close_position", CLOSE | {"percent": -50}),
    "a half percent": ("close_position", CLOSE | {"percent": 50.5}),
    "percent as text": ("close_position", CLOSE | {"percent": "fifty"}),
    "true percent": ("close_position", CLOSE | {"percent": True}),
    "an exit of an unknown mint": ("close_position", CLOSE | {"mint": "sim:NONE"}),
    "an exit of a look-alike": ("close_position", CLOSE | {"mint": f"sim:A{CYRILLIC_A}A"}),
    "an exit with an amount": ("close_position", CLOSE | {"amount_sol": "1"}),
    "an unknown scope": ("rebalance", BUCKETS | {"scope": "everything"}),
    "an unknown policy": ("rebalance", BUCKETS | {"policy": "all in"}),
    "a policy of the other scope": ("rebalance", BUCKETS | {"scope": "tokens", "policy": "profile"}),
    "weights below zero": ("rebalance", SELL_ALL | {"weights_bps": {MINT: -1}}),
    "weights beyond all": ("rebalance", SELL_ALL | {"weights_bps": {MINT: 10_001}}),
    "weights that add up to too much": ("rebalance", SELL_ALL | {"weights_bps": {MINT: 9_000, "sim:BBB": 2_000}}),
    "weights of an unknown mint": ("rebalance", SELL_ALL | {"weights_bps": {"sim:NONE": 100}}),
    "weights of a look-alike": ("rebalance", SELL_ALL | {"weights_bps": {f"sim:{CYRILLIC_A}AA": 100}}),
    "weights of an unknown bucket": ("rebalance", BUCKETS | {"policy": None, "weights_bps": {"treasury": 10_000}}),
    "a weight that is not a number": ("rebalance", SELL_ALL | {"weights_bps": {MINT: "NaN"}}),
    "a weight as a fraction": ("rebalance", SELL_ALL | {"weights_bps": {MINT: 0.5}}),
    "weights as a list": ("rebalance", SELL_ALL | {"weights_bps": [MINT, 100]}),
    "weights and a policy": ("rebalance", BUCKETS | {"weights_bps": {"manual": 10_000}}),
    "neither": ("rebalance", {"scope": "buckets", "reason": "a case moves"}),
}


@pytest.mark.parametrize("case", NONSENSE)
async def test_an_exit_or_a_rebalance_that_makes_no_sense_is_refused_by_its_field(team: Team, case: str) -> None:
    tool, wish = NONSENSE[case]
    before = await state_of(team)
    answer = await team.call("mallory", tool, **{name: value for name, value in wish.items() if value is not None})
    assert answer.is_error
    assert "Next: " in answer.content[0].text
    assert await state_of(team) == before
