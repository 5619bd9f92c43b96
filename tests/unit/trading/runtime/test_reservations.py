"""Who may trade a token now: one agent at a time, the one who waits next, and nobody for ever."""

import pytest

from trading.runtime.reservations import TOKENS_MAX, Reservations

EXPIRY_S = 60.0
MINT = "sim:AAA"


class Watch:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def desk(watch: Watch) -> Reservations:
    return Reservations(EXPIRY_S, watch)


def wants(desk: Reservations, agent: str, mint: str = MINT) -> str:
    """Return "" where the agent gets the token, else what it is told."""
    held = desk.of_another([mint], agent)
    if held is None:
        desk.hold(mint, agent, "buy")
        return ""
    return held.told("AAA", desk.now_s).message


def test_one_that_nobody_waits_for_holds_its_token_longer_with_each_preview(desk: Reservations, watch: Watch) -> None:
    for _ in range(5):
        assert wants(desk, "alice") == ""
        watch.now_s += EXPIRY_S - 1
    assert "alice holds AAA for 1 s more" in wants(desk, "bob")


def test_an_agent_that_previews_without_end_holds_nobody_up_for_longer_than_one_preview_lives(
    desk: Reservations, watch: Watch
) -> None:
    assert wants(desk, "mallory") == ""
    assert "mallory holds AAA for 60 s more" in wants(desk, "bob")
    for _ in range(60):
        watch.now_s += 1
        wants(desk, "mallory")
    assert "it is the turn of bob" in wants(desk, "mallory")
    assert "it is the turn of bob" in wants(desk, "carol")
    assert wants(desk, "bob") == ""
    assert "bob holds AAA" in wants(desk, "mallory")


def test_one_order_prolongs_the_hold_while_another_waits_and_a_second_one_does_not(
    desk: Reservations, watch: Watch
) -> None:
    wants(desk, "mallory")
    wants(desk, "bob")
    watch.now_s += EXPIRY_S - 1
    for number in range(3):
        desk.ordered(MINT, "mallory", f"ord_{number}", "trj_1")
    told = wants(desk, "bob")
    assert "for 60 s more: its order ord_2 to buy, trajectory trj_1" in told
    watch.now_s += EXPIRY_S
    desk.ordered(MINT, "mallory", "ord_4", "trj_1")
    assert wants(desk, "bob") == ""


def test_a_turn_that_is_not_taken_passes(desk: Reservations, watch: Watch) -> None:
    wants(desk, "alice")
    wants(desk, "bob")
    watch.now_s += EXPIRY_S
    assert "turn of bob" in wants(desk, "alice")
    watch.now_s += EXPIRY_S
    assert wants(desk, "alice") == ""


def test_another_token_is_free_and_what_is_kept_is_bounded(desk: Reservations, watch: Watch) -> None:
    for number in range(TOKENS_MAX + 10):
        desk.hold(f"sim:{number}", "alice", "buy")
    assert desk.of_another(["sim:1"], "bob") is not None
    assert wants(desk, "bob", "sim:another") == ""
    assert len(desk._held) <= TOKENS_MAX
    watch.now_s += 2 * EXPIRY_S
    assert wants(desk, "bob", "sim:5") == ""
