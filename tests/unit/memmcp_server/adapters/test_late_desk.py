import inspect

import pytest

from memmcp_server.adapters.late_desk import LateDesk
from memmcp_server.errors import TradingUnavailable
from memmcp_server.ports import TradingDesk

pytestmark = pytest.mark.anyio


class Recording:
    """A desk that answers with what it was asked."""

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        async def answer(*arguments: object, **options: object) -> object:
            return (name, arguments, options)

        async def several():  # type: ignore[no-untyped-def]
            yield name

        return several if name == "changes" else answer


CALLS = {
    "snapshot": ((), {}),
    "metrics": ((), {}),
    "trades": ((), {"strategy": None, "cursor": "c", "limit": 3, "wanted": {"side": "buy"}}),
    "candles": ((), {"mint": "m", "since_ns": 1, "until_ns": 2, "interval_s": 300}),
    "equity": ((), {"since_ns": 1, "until_ns": 2, "resolution_s": 3}),
    "projection": ((), {}),
    "curve_marks": ((), {"since_ns": 1, "until_ns": 2}),
    "costs": ((), {"days": 7}),
    "nodes": ((), {}),
    "arbitrage": ((), {"part": "trips", "cursor": "c", "limit": 8}),
    "answer_arbitrage": (({"a": 7},), {"actor": "x"}),
    "transactions": ((), {"cursor": "c", "limit": 4}),
    "profile_log": ((), {"cursor": None, "limit": 5}),
    "sidecar_log": ((), {"cursor": "d", "limit": 6}),
    "strategies": ((), {}),
    "candidates": ((), {"limit": 9}),
    "strategy_digest": ((), {"strategy": "s", "window": "day", "since_ns": 10, "until_ns": 11}),
    "why": ((), {"order_id": "o", "trajectory_id": "t", "mint": "m", "since_ns": 4, "until_ns": 5}),
    "night": ((), {"since_ns": 6}),
    "answer_review": (({"a": 5},), {"actor": "x"}),
    "place_trade": (({"a": 1},), {"agent": "x", "key": "k"}),
    "close_position": (({"a": 2},), {"agent": "x", "key": "k"}),
    "rebalance": (({"a": 3},), {"agent": "x", "key": "k"}),
    "answered": ((), {"agent": "x", "key": "k"}),
    "control": (({"a": 4},), {"actor": "x", "key": "k"}),
    "assess": (({"a": 6},), {"agent": "x"}),
}


def test_every_method_of_the_port_is_there() -> None:
    methods = {name for name, _ in inspect.getmembers(TradingDesk, inspect.isfunction) if not name.startswith("_")}
    assert methods == {*CALLS, "changes"}


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_a_call_is_refused_before_and_after_the_desk_and_passed_on_between(name: str) -> None:
    arguments, options = CALLS[name]
    late = LateDesk()
    with pytest.raises(TradingUnavailable, match="starting"):
        await getattr(late, name)(*arguments, **options)
    late.provide(Recording())  # type: ignore[arg-type]
    assert await getattr(late, name)(*arguments, **options) == (name, arguments, options)
    late.withdraw("the feed is gone", "wait")
    with pytest.raises(TradingUnavailable, match="the feed is gone") as caught:
        await getattr(late, name)(*arguments, **options)
    assert caught.value.hint == "wait"


async def test_changes_follow_the_same_rule() -> None:
    late = LateDesk()
    with pytest.raises(TradingUnavailable):
        await anext(late.changes())
    late.provide(Recording())  # type: ignore[arg-type]
    assert [name async for name in late.changes()] == ["changes"]


async def test_an_earlier_reason_stands() -> None:
    late = LateDesk()
    late.withdraw("first", "a")
    late.withdraw_if_held("second", "b")
    with pytest.raises(TradingUnavailable, match="first"):
        await late.snapshot()
    late.provide(Recording())  # type: ignore[arg-type]
    late.withdraw_if_held("third", "c")
    with pytest.raises(TradingUnavailable, match="third"):
        await late.snapshot()
