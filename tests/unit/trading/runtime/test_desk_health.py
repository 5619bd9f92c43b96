"""What orders came to against their quotes, and how endpoints stand, as the snapshot says it."""

from typing import Any

import anyio
import pytest
from tests.support.trading import filled, make_exit, make_fill, make_order, rejected

from trading.model.events import OrderApproved
from trading.model.order import Order
from trading.runtime import desk_health
from trading.runtime.desk_health import OUTCOMES_MAX, WINDOW_NS, DeskHealth, ExecutionQuality
from trading.runtime.stage import SlippageRules

pytestmark = pytest.mark.requirement("O4")
RULES = SlippageRules(entry_bps=100, exit_bps=1_000)
RUN = "run_1"


def ended(quality: ExecutionQuality, order: Order, **fill: Any) -> None:
    quality.take(OrderApproved(order, ()), RULES)
    made = make_fill(order.id, side=order.side, **fill)
    quality.take(filled(made), RULES)


def test_a_fill_is_held_against_the_quote_that_its_bound_was_made_from() -> None:
    quality = ExecutionQuality()
    ended(quality, make_order(id="a", min_out=9_900, bucket="a"), base_units=10_000, ts_ns=1)
    ended(quality, make_order(id="b", min_out=9_900, bucket="a"), base_units=9_900, ts_ns=1)
    ended(quality, make_exit(id="c", min_out=9_000, bucket="a"), lamports=9_800, ts_ns=1)
    found = quality.document(1, RUN)
    assert found is not None
    assert (found["fills"], found["failed"], found["shortfall_bps"]) == (3, 0, round((0 + 100 + 200) / 3))


def test_an_order_by_hand_and_one_for_an_exact_amount_have_no_quote_to_be_held_against() -> None:
    quality = ExecutionQuality()
    ended(quality, make_order(id="a", min_out=9_900, bucket="manual"), base_units=1, ts_ns=1)
    ended(quality, make_order(id="b", min_out=9_900, amount_out=9_900, bucket="a"), base_units=9_900, ts_ns=1)
    found = quality.document(1, RUN)
    assert found is not None
    assert (found["fills"], found["shortfall_bps"]) == (2, 0)


def test_what_fees_were_above_plan_is_a_share_of_the_trade() -> None:
    quality = ExecutionQuality()
    order = make_order(id="a", min_out=0, priority_fee_lamports=1_000, bucket="a")
    ended(quality, order, lamports=1_000_000, network_fee_lamports=5_000, priority_fee_lamports=11_000, ts_ns=1)
    found = quality.document(1, RUN)
    assert found is not None
    assert found["fees_over_bps"] == 100


def test_failures_are_counted_by_reason_and_what_is_old_says_nothing() -> None:
    quality = ExecutionQuality()
    for number in range(OUTCOMES_MAX * 2):
        quality.take(rejected(f"o{number}", 5_000), RULES)
    found = quality.document(0, RUN)
    assert found is not None
    assert found["failed"] == sum(found["reasons"].values()) == OUTCOMES_MAX
    assert quality.document(2**62 + WINDOW_NS, RUN) is None


def test_an_endpoint_is_down_from_an_error_until_it_has_answered() -> None:
    health = DeskHealth(stage=None, journal=None)  # type: ignore[arg-type]

    def seen(ok: int, errors: int, away_s: float = 0.0) -> bool:
        told = {"ok": ok, "errors": {"timeout": errors}, "last_error": "timeout", "backing_off_s": away_s}
        return bool(health._endpoint("node-a", "chain", told)["is_down"])

    assert [seen(1, 0), seen(1, 1, 2.0), seen(1, 1), seen(1, 2), seen(2, 2), seen(2, 2)] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.anyio
async def test_a_view_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_health, "LOOK_S", 0.05)
    looks, looked_again = 0, anyio.Event()

    class Odd:
        def health(self) -> dict[str, Any]:
            nonlocal looks
            looks += 1
            if looks == 2:
                looked_again.set()
            raise KeyError("odd")

    health = DeskHealth(stage=Odd(), journal=None)  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(health.run)
        with anyio.fail_after(10):
            await looked_again.wait()
        tasks.cancel_scope.cancel()
    assert health.document() == {}
