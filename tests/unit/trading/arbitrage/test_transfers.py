"""A transfer between venues is counted once wherever it is: late, lost, taken back by a re-org, or told twice."""

import random
from collections import Counter

import pytest

from trading.arbitrage.transfers import (
    STEPS,
    Happening,
    Transfer,
    TransferState,
    folded,
    holdings,
    moved,
    wanted,
)

pytestmark = pytest.mark.requirement("T15")
T = Transfer("x1", "base", "solana", 1_000)
H = Happening


def test_a_transfer_that_goes_well_is_at_one_place_at_each_moment() -> None:
    sent = moved(T, H.HANDED_IN)
    assert (sent.reserved, sent.on_its_way, holdings({"base": 5_000}, [sent])["base"]) == (1_000, 0, 5_000)
    left = moved(sent, H.LEFT)
    assert (left.reserved, left.on_its_way, holdings({"base": 5_000}, [left])["base"]) == (0, 1_000, 4_000)
    there = moved(left, H.CAME, 990)
    assert (there.on_its_way, holdings({"base": 5_000}, [there])) == (0, {"base": 4_000, "solana": 990})


def test_one_that_is_late_is_never_sent_again_and_may_still_come() -> None:
    late = folded(T, [(H.HANDED_IN, 0), (H.LEFT, 0), (H.TIME_OVER, 0)])
    assert late.state is TransferState.LATE
    assert moved(late, H.HANDED_IN) == late
    assert moved(late, H.CAME, 999).state is TransferState.ARRIVED


def test_only_a_person_says_that_one_is_lost_and_it_may_come_after_all() -> None:
    lost = folded(T, [(H.HANDED_IN, 0), (H.LEFT, 0), (H.TIME_OVER, 0), (H.GIVEN_UP, 0)])
    assert (lost.state, lost.on_its_way, holdings({"base": 1_000}, [lost])) == (TransferState.LOST, 0, {"base": 0})
    assert moved(lost, H.CAME, 990).received == 990
    assert moved(moved(T, H.HANDED_IN), H.GIVEN_UP).state is TransferState.SENT


def test_a_reorg_puts_it_back_to_where_it_stood() -> None:
    left = folded(T, [(H.HANDED_IN, 0), (H.LEFT, 0)])
    assert moved(left, H.REORGED_LEFT).reserved == 1_000
    back = moved(moved(left, H.CAME, 990), H.REORGED_CAME)
    assert (back.state, back.received, back.on_its_way) == (TransferState.LATE, 0, 1_000)


@pytest.mark.parametrize("received", [0, 1_001])
def test_an_arrival_that_cannot_be_is_refused(received: int) -> None:
    with pytest.raises(ValueError, match="came of 1000"):
        moved(moved(T, H.HANDED_IN), H.CAME, received)
    with pytest.raises(ValueError, match="a transfer of"):
        Transfer("x", "a", "a", 1)


def test_the_split_is_brought_back_by_the_largest_gap_and_what_is_under_way_counts() -> None:
    targets = {"a": 5_000, "b": 3_000, "c": 2_000}
    held = {"a": 900, "b": 50, "c": 50}
    assert wanted(held, targets, [], least=10) == ("a", "b", 250)
    going = moved(Transfer("x", "a", "b", 250), H.HANDED_IN)
    assert wanted(held, targets, [going], least=10) == ("a", "c", 150)
    left = moved(going, H.LEFT)
    assert wanted(held | {"a": 650}, targets, [left], least=10) == ("a", "c", 150)
    assert wanted({"a": 500, "b": 300, "c": 200}, targets, [], least=1) is None
    assert wanted(held, targets, [], least=10_000) is None
    with pytest.raises(ValueError, match="adds up"):
        wanted(held, {"a": 1}, [], least=1)


class Chain:
    """What becomes of one transfer."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.fate = self.chance.choice(("comes", "late", "never_left", "reorged", "came_reorged", "lost"))

    def history(self) -> list[tuple[Happening, int]]:
        came = (H.CAME, self.chance.randrange(900, 1_001))
        return {
            "comes": [(H.LEFT, 0), came],
            "late": [(H.TIME_OVER, 0), (H.LEFT, 0), came],
            "never_left": [(H.TIME_OVER, 0), (H.NEVER_LEFT, 0)],
            "reorged": [(H.LEFT, 0), (H.REORGED_LEFT, 0), (H.LEFT, 0), came],
            "came_reorged": [(H.LEFT, 0), came, (H.REORGED_CAME, 0), came],
            "lost": [(H.LEFT, 0), (H.TIME_OVER, 0), (H.GIVEN_UP, 0)],
        }[self.fate]


def test_in_a_thousand_seeds_all_ends_with_the_money_counted_where_it_is() -> None:
    fates: Counter[str] = Counter()
    for seed in range(1_000):
        chain = Chain(seed)
        fates[chain.fate] += 1
        transfer, written, received = T, [(H.HANDED_IN, 0)], 0
        for event in chain.history():
            received = event[1] if event[0] is H.CAME else 0
            written.append(event)
        for at, event in enumerate(written):
            transfer = moved(transfer, *event)
            if chain.chance.random() < 0.3 and event[0] is not H.REORGED_LEFT:  # told twice
                assert moved(transfer, *event) == transfer
            if chain.chance.random() < 0.3:  # killed after it was written down
                assert folded(T, written[: at + 1]) == transfer
            held = holdings({"base": 5_000, "solana": 0}, [transfer])
            lost = transfer.amount if transfer.state is TransferState.LOST else 0
            fee = transfer.amount - transfer.received if transfer.received else 0
            assert sum(held.values()) + transfer.on_its_way + lost + fee == 5_000, f"seed {seed}"
        assert transfer.state.is_over, f"seed {seed}, {chain.fate}"
        assert (transfer.on_its_way, transfer.reserved, transfer.received) == (0, 0, received)
        assert holdings({"base": 5_000}, [transfer])["base"] == (5_000 if chain.fate == "never_left" else 4_000)
    assert len(fates) == 6
    assert min(fates.values()) > 100


def test_no_step_leads_back_to_where_it_could_be_sent_again() -> None:
    assert TransferState.PLANNED not in STEPS.values()
    assert [state for (state, happening) in STEPS if happening is H.HANDED_IN] == [TransferState.PLANNED]
