"""The decision to sign: each bound of the mandate, from both sides."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.signing import (
    COLD,
    NOW_NS,
    NS_PER_S,
    OTHER_TOKEN,
    SOL,
    SOL_MINT,
    TOKEN,
    buy,
    mandate,
    mandate_toml,
    sell,
)

from trading.model.chain import SignWanted
from trading.model.intent import IntentKind, OwnAccount
from trading.model.mandate import Mandate, Side
from trading.signing.audit import AuditLine
from trading.signing.book import Book, Signed
from trading.signing.core import entry_body
from trading.signing.mandate import seal
from trading.signing.policy import HeightsSeen, Verdict, judge

KEY = bytes(32)
HEIGHTS = HeightsSeen(finalized=1_000, confirmed=1_032)
HOUR_NS = 3_600 * NS_PER_S


class Desk:
    """A book that only grows through lines, as the signer's does."""

    def __init__(self, wanted: Mandate | None = None) -> None:
        self.book = Book(KEY)
        self.now_ns = NOW_NS
        self.heights = HEIGHTS
        self.file_problem = ""
        self.arm(wanted or mandate())

    def line(self, kind: str, body: dict[str, Any]) -> None:
        self.book.take(AuditLine(0, self.now_ns, kind, body, "", True))

    def arm(self, wanted: Mandate) -> None:
        number, ends_ns = self.book.armings + 1, self.now_ns + wanted.armed_s_max * NS_PER_S
        body = {
            "number": number,
            "text": mandate_toml(wanted),
            "source": "/mandate.toml",
            "armed_ns": self.now_ns,
            "ends_ns": ends_ns,
            "seal": seal(KEY, wanted, number, self.now_ns, ends_ns),
        }
        self.line("armed", body)

    def judge(self, wanted: SignWanted) -> Verdict:
        return judge(wanted, self.book, self.now_ns, self.file_problem, self.heights)

    def sign(self, wanted: SignWanted) -> Signed:
        verdict = self.judge(wanted)
        assert verdict.refusals == ()
        assert verdict.entry is not None
        self.line("signed", entry_body(verdict.entry))
        return verdict.entry

    def refusals(self, wanted: SignWanted) -> tuple[str, ...]:
        return self.judge(wanted).refusals


def test_a_buy_and_a_sale_within_the_mandate_are_signed() -> None:
    desk = Desk()
    assert desk.sign(buy()).spent_lamports == SOL // 10
    assert desk.sign(sell()).spent_lamports == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"wallet": COLD}, ("wallet",)),
        ({"out_mint": OTHER_TOKEN}, ("mint",)),
        ({"in_mint": TOKEN, "out_mint": OTHER_TOKEN}, ("pair",)),
        ({"in_mint": SOL_MINT, "out_mint": SOL_MINT}, ("pair",)),
        ({"amount_in": SOL + 1}, ("order_size", "approval_missing")),
        ({"amount_in": 0}, ("amount",)),
        ({"min_out": 0}, ("amount",)),
        ({"last_valid_block_height": 0}, ("amount",)),
        ({"fee_lamports_max": 200_001}, ("fee",)),
        ({"fee_lamports_max": -1}, ("fee",)),
    ],
)
def test_a_figure_outside_the_mandate_is_refused_by_name(changes: dict[str, Any], told: tuple[str, ...]) -> None:
    assert Desk().refusals(buy(**changes)) == told


def test_the_largest_order_that_is_allowed_is_signed() -> None:
    Desk().sign(buy(amount_in=SOL, fee_lamports_max=200_000))


def test_a_mandate_of_sales_alone_buys_nothing_and_one_of_buys_alone_lets_out() -> None:
    assert Desk(mandate(sides=(Side.SELL,))).refusals(buy()) == ("side",)
    assert Desk(mandate(sides=(Side.BUY,))).refusals(sell()) == ()


def test_venues_must_be_named_and_of_the_mandate() -> None:
    desk = Desk(mandate(venues=("Orca", "Raydium")))
    assert desk.refusals(buy(venues=("Orca",))) == ()
    assert desk.refusals(buy(venues=("Orca", "Other"))) == ("venue",)
    assert desk.refusals(buy()) == ("venue",)


def test_the_days_sum_is_counted_over_any_24_hours() -> None:
    desk = Desk(mandate(armed_s_max=72 * 3_600))
    desk.sign(buy(1, amount_in=SOL))
    desk.now_ns += 12 * HOUR_NS
    desk.sign(buy(2, amount_in=SOL))
    assert desk.refusals(buy(3, amount_in=1)) == ("day_size",)
    desk.now_ns += 12 * HOUR_NS
    assert desk.refusals(buy(3, amount_in=SOL)) == ()
    assert desk.refusals(buy(3, amount_in=SOL // 2)) == ()
    desk.sign(buy(3, amount_in=SOL))
    assert desk.refusals(buy(4, amount_in=1)) == ("day_size",)


def test_fees_have_a_sum_of_their_own_that_sales_count_in() -> None:
    desk = Desk(mandate(fee_day_lamports_max=250_000))
    desk.sign(buy(1))
    desk.sign(sell(2))
    assert desk.refusals(sell(3)) == ("fee_day",)
    assert desk.refusals(sell(3, fee_lamports_max=50_000)) == ()


def test_an_arming_starts_no_new_day() -> None:
    desk = Desk()
    desk.sign(buy(1, amount_in=SOL))
    desk.sign(buy(2, amount_in=SOL))
    desk.arm(mandate())
    assert desk.refusals(buy(3)) == ("day_size",)


def test_the_first_buys_after_each_arming_are_small() -> None:
    desk = Desk(mandate(ramp_trades=2, ramp_lamports_max=1_000))
    assert desk.refusals(buy(1)) == ("ramp",)
    desk.sign(buy(1, amount_in=1_000))
    desk.sign(sell(1))
    assert desk.refusals(buy(2)) == ("ramp",)
    desk.sign(buy(2, amount_in=1_000))
    desk.sign(buy(3))
    desk.arm(mandate(ramp_trades=2, ramp_lamports_max=1_000))
    assert desk.refusals(buy(4)) == ("ramp",)


def test_repeated_attempts_of_one_buy_are_one_step_of_the_ramp() -> None:
    desk = Desk(mandate(ramp_trades=2, ramp_lamports_max=1_000))
    desk.sign(buy(1, amount_in=1_000))
    desk.heights = HeightsSeen(2_000, 2_032)
    desk.sign(buy(1, amount_in=1_000, message=b"swap again", last_valid_block_height=2_100))
    assert desk.refusals(buy(2)) == ("ramp",)


def test_an_arming_ends_by_itself_and_sales_go_on() -> None:
    desk = Desk()
    desk.now_ns += 24 * HOUR_NS - 1
    assert desk.refusals(buy()) == ()
    desk.now_ns += 1
    assert desk.refusals(buy()) == ("arming_ended",)
    assert desk.refusals(sell()) == ()


def test_a_disarmed_desk_buys_nothing_and_sells_what_it_has() -> None:
    desk = Desk()
    desk.line("disarmed", {"why": "operator"})
    assert desk.refusals(buy()) == ("disarmed",)
    assert desk.refusals(sell()) == ()
    assert desk.refusals(sell(in_mint=OTHER_TOKEN)) == ("mint",)


def test_a_sale_that_is_only_called_an_exit_is_a_buy_still() -> None:
    desk = Desk()
    desk.line("disarmed", {"why": "operator"})
    assert desk.refusals(buy(is_exit=True)) == ("disarmed",)


def test_a_changed_file_means_disarmed() -> None:
    desk = Desk()
    desk.file_problem = "it says something else"
    assert desk.refusals(buy()) == ("mandate_changed",)


def test_a_signer_that_was_never_armed_signs_nothing_at_all() -> None:
    for wanted in (buy(), sell()):
        assert judge(wanted, Book(KEY), NOW_NS, "", HEIGHTS).refusals == ("not_armed",)


def test_a_seal_that_does_not_hold_arms_nothing() -> None:
    desk = Desk()
    desk.line(
        "armed",
        {
            "number": 9,
            "text": mandate_toml(mandate(order_lamports_max=2 * SOL)),
            "source": "/mandate.toml",
            "armed_ns": NOW_NS,
            "ends_ns": NOW_NS + HOUR_NS,
            "seal": "00" * 32,
        },
    )
    assert desk.refusals(buy()) == ("disarmed",)


def test_a_clock_that_was_set_back_signs_nothing() -> None:
    desk = Desk()
    desk.sign(buy(1))
    desk.now_ns -= 6 * NS_PER_S
    assert desk.refusals(buy(2)) == ("clock_set_back",)
    assert desk.refusals(sell(2)) == ("clock_set_back",)


def test_a_second_message_of_an_intent_waits_until_the_first_is_dead() -> None:
    desk = Desk()
    first = desk.sign(buy())
    second = buy(message=b"swap otherwise", attempt=2)
    assert desk.refusals(second) == ("attempt_alive",)
    desk.heights = HeightsSeen(first.alive_until, first.alive_until + 32)
    assert desk.refusals(second) == ("attempt_alive",)
    desk.heights = HeightsSeen(first.alive_until + 1, first.alive_until + 33)
    assert desk.refusals(second) == ()


def test_what_an_asker_says_about_the_last_block_makes_nothing_die_sooner() -> None:
    desk = Desk()
    first = desk.sign(buy(last_valid_block_height=1))
    assert first.alive_until == HEIGHTS.confirmed + 151
    assert desk.sign(sell(last_valid_block_height=5_000)).alive_until == 5_000


def test_the_same_message_is_signed_again_and_counted_once() -> None:
    desk = Desk()
    desk.sign(buy(amount_in=SOL))
    again = desk.judge(buy(amount_in=SOL))
    assert again == Verdict(())


def test_an_older_attempt_is_not_signed_again_after_a_newer_one() -> None:
    desk = Desk()
    desk.sign(buy())
    desk.heights = HeightsSeen(3_000, 3_032)
    desk.sign(buy(message=b"swap otherwise"))
    assert desk.refusals(buy()) == ("attempt_superseded",)


def test_attempts_are_bounded_and_every_message_counts_in_full() -> None:
    desk = Desk(mandate(attempts_max=2))
    for number in (1, 2):
        desk.sign(buy(message=b"swap %d" % number, amount_in=SOL // 2))
        desk.heights = HeightsSeen(desk.heights.finalized + 2_000, desk.heights.confirmed + 2_000)
    assert desk.refusals(buy(message=b"swap 3", amount_in=SOL // 2)) == ("attempts",)
    assert desk.book.spent_since(0)[0] == SOL


@pytest.mark.parametrize("changes", [{"amount_in": 1}, {"min_out": 999}, {"wallet": COLD}, {"out_mint": OTHER_TOKEN}])
def test_an_intent_keeps_its_wish(changes: dict[str, Any]) -> None:
    desk = Desk()
    desk.sign(buy())
    desk.heights = HeightsSeen(3_000, 3_032)
    assert "intent_changed" in desk.refusals(buy(message=b"swap otherwise", **changes))


def asked(**changes: Any) -> dict[str, Any]:
    order = {
        "intent_id": "intent-1",
        "wallet": buy().wallet,
        "in_mint": SOL_MINT,
        "out_mint": TOKEN,
        "amount_in": SOL // 10,
        "min_out": 1_000,
        "fee_lamports_max": 100_000,
        "expires_ns": NOW_NS + HOUR_NS,
    }
    return {"id": "a", "order": {**order, **changes}}


def approved(**changes: Any) -> Desk:
    desk = Desk(mandate(approval_above_lamports=SOL // 100))
    desk.line("approval_asked", asked(**changes))
    desk.line("approval_approved", {"id": "a", "passkey": "k", "sign_count": 1})
    return desk


def test_a_large_buy_needs_an_approval_of_exactly_this_order() -> None:
    assert Desk(mandate(approval_above_lamports=SOL // 100)).refusals(buy()) == ("approval_missing",)
    desk = approved()
    assert desk.refusals(buy()) == ()
    assert desk.refusals(buy(min_out=1_001)) == ()
    assert desk.refusals(sell(amount_in=10 * SOL)) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"intent_id": "intent-2"},
        {"wallet": COLD},
        {"out_mint": OTHER_TOKEN},
        {"amount_in": SOL // 10 - 1},
        {"amount_in": SOL // 10 + 1},
        {"min_out": 1_001},
        {"fee_lamports_max": 99_999},
        {"expires_ns": NOW_NS},
    ],
)
def test_an_approval_of_another_order_is_none(changes: dict[str, Any]) -> None:
    assert approved(**changes).refusals(buy()) == ("approval_missing",)


def test_a_question_and_a_no_are_no_approval() -> None:
    desk = Desk(mandate(approval_above_lamports=SOL // 100))
    desk.line("approval_asked", asked())
    assert desk.refusals(buy()) == ("approval_missing",)
    desk.line("approval_refused", {"id": "a"})
    assert desk.refusals(buy()) == ("approval_missing",)


def round_trip(**changes: Any) -> SignWanted:
    account = OwnAccount(str(COLD), TOKEN, str(COLD))
    usual = buy(SOL // 100)
    wins = usual.amount_in + usual.fee_lamports_max + 1
    fixed = {"out_mint": SOL_MINT, "min_out": wins, "kind": IntentKind.ROUND_TRIP, "accounts": (account,)}
    return replace(usual, **(fixed | changes))


@pytest.mark.requirement("T15")
def test_a_round_trip_is_held_to_all_that_a_buy_is_and_has_to_win() -> None:
    desk, good = Desk(), round_trip()
    verdict = desk.judge(good)
    assert verdict.refusals == ()
    assert verdict.entry is not None
    assert (verdict.entry.spent_lamports, verdict.entry.side) == (good.amount_in, Side.BUY)
    assert desk.judge(round_trip(min_out=good.min_out - 1)).refusals == ("round_trip_loses",)
    assert desk.judge(round_trip(accounts=())).refusals == ("pair",)
    assert desk.judge(round_trip(in_mint=TOKEN)).refusals == ("pair",)
    other = OwnAccount(str(COLD), OTHER_TOKEN, str(COLD))
    assert "mint" in desk.judge(round_trip(accounts=(other,))).refusals
    large = mandate().order_lamports_max + 1
    assert "order_size" in desk.judge(round_trip(amount_in=large, min_out=2 * large)).refusals
    desk.line("disarmed", {"why": "a test"})
    assert "disarmed" in desk.judge(good).refusals


def test_a_round_trip_counts_in_the_days_sum() -> None:
    desk, good = Desk(), round_trip()
    entry = desk.judge(good).entry
    assert entry is not None
    desk.line("signed", entry_body(entry))
    assert desk.book.spent_since(NOW_NS - HOUR_NS)[0] == good.amount_in
