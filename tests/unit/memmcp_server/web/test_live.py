"""One follower's queue: bounded, gauges newest only, an overflow told as one resync."""

import anyio
import pytest

from memmcp_server.web.live import ROWS_QUEUED_MAX, Follower, LiveEvent, _drain


def row(seq: int) -> LiveEvent:
    return LiveEvent("memory", {"seq": seq}, id=seq)


def test_rows_come_out_in_order_with_their_seq() -> None:
    follower = Follower()
    for seq in (4, 5):
        follower.offer_row(row(seq))
    assert [(event.kind, event.id) for event in follower.take_rows()] == [("memory", 4), ("memory", 5)]
    assert follower.take_rows() == []


def test_an_overflow_becomes_one_resync_over_all_that_was_lost() -> None:
    follower = Follower()
    for seq in range(1, ROWS_QUEUED_MAX + 10):
        follower.offer_row(row(seq))
    [event] = follower.take_rows()
    assert (event.kind, event.data) == ("resync", {"from": 1, "to": ROWS_QUEUED_MAX + 9})
    follower.offer_row(row(10_000))
    assert [event.id for event in follower.take_rows()] == [10_000]


def test_the_queue_never_holds_more_than_its_bound() -> None:
    follower = Follower()
    for seq in range(1, 10 * ROWS_QUEUED_MAX):
        follower.offer_row(row(seq))
        assert len(follower.rows) <= ROWS_QUEUED_MAX


def test_of_a_gauge_only_the_newest_is_kept() -> None:
    follower = Follower()
    for cycle in range(100):
        follower.offer_gauge(LiveEvent("trading", {"cycle": cycle}))
    assert follower.gauges == {"trading": LiveEvent("trading", {"cycle": 99})}


@pytest.mark.anyio
async def test_gauges_are_coalesced_to_four_a_second_while_rows_go_at_once() -> None:
    follower = Follower()
    gauges: list[int] = []
    rows: list[int] = []

    async def offer() -> None:
        for number in range(10_000):
            follower.offer_gauge(LiveEvent("trading", {"cycle": number}))
            follower.offer_row(row(number + 1))
            await anyio.lowlevel.checkpoint()

    began_s = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(offer)
        with anyio.move_on_after(0.6):
            async for event in _drain(follower):
                if event.kind == "trading":
                    gauges.append(int(str(event.data["cycle"])))
                elif event.kind == "memory":
                    rows.append(event.id or 0)
        tasks.cancel_scope.cancel()
    # A busy machine wakes us late: what counts is the rate.
    assert 2 <= len(gauges) <= 1 + 4 * (anyio.current_time() - began_s)
    assert gauges == sorted(set(gauges))
    assert rows == list(range(1, len(rows) + 1))
    assert len(rows) > 10 * len(gauges)
