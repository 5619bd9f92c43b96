import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args

import pytest
from tests.support.advice import scored
from tests.support.trading import T0, deposit, filled, make_bar, make_fill, make_order, make_signal, rejected

from trading.adapters.canonical import canonical_json
from trading.errors import DataError
from trading.model import commands, event_codec, events
from trading.model.account import Level, TradingState
from trading.model.forecast import Direction, Forecast, ForecastScore, OrderImpact, RankedToken
from trading.model.gap import GapAction, GapStep
from trading.model.market_data import FeedDescription, TokenGone, ts_of
from trading.model.order import Denied, Measure, Side
from trading.model.promotion import GateReading, PromotionTerms, Stage
from trading.model.recall import Outcome, PastSituation, Recollection, Situation
from trading.model.rotation import RotationVerdict, StrategyShare
from trading.model.wallet import WalletTerms
from trading.model.window import CalibrationBin, WindowCell

ACTIVE, HALTED = TradingState.ACTIVE, TradingState.HALTED
_STATE = {"ts_ns": 1, "before": "ACTIVE", "after": "ACTIVE", "entries_allowed": True, "reason": ""}
MEASURE = Measure("impact_bps", 3, 100, "bps", "moves the price")
FORECAST = Forecast(
    id="fct",
    strategy="s",
    mint="m",
    direction=Direction.UP,
    move_bps=300,
    expected_bps=-20,
    confidence_bps=5_000,
    strength_percent=70,
    cost_bps=90,
    volatility_day_bps=None,
    ts_ns=T0,
    due_ns=T0 + 5,
    mark_sol=Decimal("0.00000123"),
    reason="test",
    evidence={"z": "1.5", "n": 4},
)
SCORE = ForecastScore("fct", "s", "m", Direction.DOWN, T0, 300, 5_000, 70, -12, False, 312, 97_344, 250_000, "")
SITUATION = Situation("fct", "trj", "s", "m", T0, 90, 60, 1, "1,-2,256")
RECOLLECTION = Recollection(50, 3_120, -40, 25, -300, 5, 280, 9_000, -117, 4_100, 300, 280, ("fct_a", "fct_b"))
TERMS = PromotionTerms(900, 20, 500, 100, 45)
GATE = GateReading("trades", 7, 30, "trades", True, False, 7, "too few")
EVENTS: list[events.Event | commands.Command] = [
    events.RunStarted("run", "paper", "foundation", "replay", "{}", 7),
    deposit(5),
    events.CapitalWithdrawn("w", T0, "a", 5, "test"),
    events.CapitalMoved("m", T0, "a", "b", 5, "test"),
    events.AccountClosed("c", T0, "m", 5, "test"),
    events.FeePaid("f", T0, "a", 5, "test"),
    events.SignalRaised("trj", make_signal(strength=0.1 + 0.2)),
    events.SignalPassed("trj", "s", "m", T0, Denied("impact_bps", "too much", 1, 2)),
    events.SignalPassed("trj", "s", "m", T0, Denied("entries_stopped", "stopped")),
    events.ForecastMade("trj", FORECAST),
    events.ForecastScored("trj", SCORE),
    events.SituationMet(SITUATION),
    events.SituationRecalled("trj", "s", "m", T0, "fct", 90, 400, True, RECOLLECTION),
    events.SituationRecalled("trj", "s", "m", T0, "", 90, 3, False, None),
    events.RecallJudged(T0, "s", True, 20, 300, 290, "smaller"),
    commands.GiveSituations("k", "operator", "r", (PastSituation(SITUATION, Outcome(T0, -40, -100)),)),
    events.AdviceWeighed("trj", "asm", T0, "s", "m", "a-model", 2_500, 7_500, 0, ""),
    events.AdviceScored(scored(is_up=True, probability_bps=7_000)),
    events.UniverseRanked(T0, "day", 3, (RankedToken("m", -5, 2**70, None), RankedToken("n", None, 0, 600))),
    events.OrderApproved(make_order(), (MEASURE, MEASURE)),
    events.OrderApproved(make_order(), (), OrderImpact("fct", 40, 5_000, -4_000)),
    events.OrderDenied(make_order(), Denied("x", "y")),
    filled(make_fill(lamports=2**80)),
    rejected("o", 5),
    events.PositionWrittenOff("t", "s", "b", "m", T0, "gone"),
    events.PositionClosed("t", "s", "b", "m", T0, -5, -10, 300, "stop_loss"),
    events.TradingStateChanged(T0, ACTIVE, HALTED, False, "drawdown"),
    events.LevelStateChanged(T0, Level.BUCKET, "momentum_breakout", ACTIVE, HALTED, "drawdown"),
    commands.AllowEntries("k", "signer", "armed"),
    commands.BookFlow("k", "chain", "r", (commands.FlowStep("move", "a", 5, "b"), commands.FlowStep("buy", "a", 5))),
    commands.UseWallets("k", "operator", "r", (WalletTerms("main"), WalletTerms("b", 5, ("manual",), True, 7))),
    commands.HoldWallet("k", "chain", "r", "b", "chain and books differ"),
    events.WalletsNamed(T0, (WalletTerms("main"), WalletTerms("b", 5, ("manual",), True, 7))),
    events.WalletMoved("k", T0, "main", "b", "m", 5, 7),
    events.GapSeen(
        T0,
        T0 - 5,
        7,
        (
            GapStep("b", "m", GapAction.TIGHTEN, Decimal("0.97"), "why"),
            GapStep("b", "n", GapAction.EXIT, None, "why"),
        ),
        "nothing was seen for 5 s",
    ),
    events.ProfileSwitched(T0, "foundation", "cautious", "operator"),
    events.WindowReported(
        T0,
        "day",
        "momentum",
        "momentum",
        1,
        T0,
        2,
        1,
        -5,
        -3,
        None,
        60,
        "foundation",
        "foundation",
        10**9,
        ("t1", "t2"),
    ),
    events.StrategyPromoted(T0, "s", "cand_1", Stage.CANDIDATE, Stage.PAPER, TERMS, (GATE,), 5, -7, "me: why"),
    events.StrategyJudged(T0, "s", "cand_1", Stage.PAPER, -9, (GATE, GATE)),
    events.StrategyDemoted(T0, "s", "cand_1", Stage.LIVE, (), "me: why"),
    events.WindowReported(
        *(T0, "day", "momentum", "momentum", 1, T0, 2, 1, -5, -3, None, 60, "foundation", "foundation", 10**9, ()),
        (WindowCell(7, "calm/up", "foundation", 1, 1, 5, 3, None, None, ("t1",)),),
        (CalibrationBin("up", 5, 3, 5_100, 249_000),),
    ),
    events.SharesRotated(
        *(T0, "fixed_share", RotationVerdict.MOVED, 120, 50),
        (
            StrategyShare("momentum", None, 0, 5 * 10**8, 0, -7, 5_000, 5_500, 5_300, ""),
            StrategyShare("reversion", -120, 31, 5 * 10**8, -4, 9, 5_000, 4_500, 4_700, "bucket halted: why"),
        ),
        "why",
    ),
    events.TierChanged(T0, "foundation", "acceleration", 20 * 10**9),
    events.CycleMarked(T0, 1, 2, 3, 4, 5, ACTIVE),
    commands.StopEntries("k", "me", "why"),
    commands.AllowEntries("k", "me", "why"),
    commands.ReduceOnly("k", "me", "why"),
    commands.FlattenAndHalt("k", "me", "why"),
    commands.Resume("k", "me", "why"),
    commands.ClosePosition("k", "me", "why", "m", 50),
    commands.Deposit("k", "me", "why", 5),
    commands.Withdraw("k", "me", "why", 5),
    commands.PlaceOrder("k", "me", "why", Side.SELL, "m", "manual", "manual", 5, 1),
    commands.PlaceOrder("k", "me", "why", Side.BUY, "m", "manual", "manual", 5, 1, ("m1", "m2")),
    commands.SetTarget("k", "me", "why", 5),
    commands.SwitchProfile("k", "me", "why", "cautious"),
    commands.MoveCapital("k", "me", "why", "a", "b", 5),
    commands.PromoteStrategy("k", "me", "why", "cand_1", "s", Stage.LIVE, '{"n":"5"}', TERMS, (GATE,)),
    commands.DemoteStrategy("k", "me", "why", "s"),
]


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_float(each) for each in value.values())
    if isinstance(value, list):
        return any(_has_float(each) for each in value)
    return isinstance(value, float)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event_codec.kind_of(event))
def test_every_event_and_command_comes_back_from_its_row_as_it_was(event: events.Event) -> None:
    kind, body = event_codec.encode(event)
    assert not _has_float(body)
    assert event_codec.decode(kind, json.loads(json.dumps(body))) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event_codec.kind_of(event))
def test_a_body_is_written_as_it_stands_because_its_keys_are_in_order(event: events.Event) -> None:
    _, body = event_codec.encode(event)
    assert canonical_json(body, is_plain=True) == canonical_json(body)


def test_evidence_is_put_in_order() -> None:
    _, body = event_codec.encode(events.SignalRaised("t", make_signal(evidence={"b": 1, "a": 0.5})))
    assert list(body["signal"]["evidence"].items()) == [("a", "0.5"), ("b", 1)]


def test_the_list_above_holds_every_kind_of_event_and_command() -> None:
    known = {*get_args(events.Event), *get_args(commands.Command)}
    assert {type(event) for event in EVENTS} == known


def test_the_names_of_commands_are_those_that_the_journal_uses() -> None:
    kinds = {event_codec.kind_of(event) for event in EVENTS if type(event) in get_args(commands.Command)}
    assert kinds == set(get_args(commands.CommandName))


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        ("no_such_kind", {}, "no_such_kind"),
        ("tier_changed", {"ts_ns": 1}, "equity_lamports"),
        ("tier_changed", {"ts_ns": "1", "before": "a", "after": "b", "equity_lamports": 1}, "'1' is not of type int"),
        (
            "trading_state_changed",
            {"ts_ns": 1, "before": "X", "after": "X", "entries_allowed": True, "reason": ""},
            "X",
        ),
        ("order_filled", {"trajectory_id": "", "strategy": "", "bucket": "", "fill": 5}, "Fill has the fields"),
        ("trading_state_changed", {**_STATE, "before": "ASLEEP"}, "ASLEEP"),
    ],
)
def test_a_damaged_row_is_an_error_that_names_what_does_not_fit(kind: str, body: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError, match=named):
        event_codec.decode(kind, body)


def test_a_row_from_before_a_field_with_a_default_existed_is_still_good() -> None:
    kind, body = event_codec.encode(commands.PlaceOrder("k", "me", "why", Side.SELL, "m", "manual", "manual", 5, 1))
    assert body.pop("cites") == []
    assert event_codec.decode(kind, body) == commands.PlaceOrder(
        "k", "me", "why", Side.SELL, "m", "manual", "manual", 5, 1
    )
    with pytest.raises(DataError, match="no_such_field"):
        event_codec.decode(kind, {**body, "no_such_field": 1})


def test_any_record_of_plain_fields_can_be_encoded() -> None:
    body = event_codec.encode_record(make_bar(close="0.00010"))
    assert (body["close"], body["pool_lamports"]) == ("0.00010", None)
    description = event_codec.encode_record(FeedDescription("replay", "d", 300, (("a", "b"),)))
    assert description["inputs"] == [["a", "b"]]


def test_what_has_no_canonical_form_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        field: bytes

    with pytest.raises(TypeError, match="bytes"):
        event_codec.encode_record(Odd(b"x"))


def test_an_event_is_known_at_its_close_or_at_its_time() -> None:
    assert ts_of(make_bar(0)) == make_bar(1).ts_open_ns
    assert ts_of(TokenGone(5, "m", "rug", "x")) == 5
    assert make_bar(close="2").close == Decimal(2)
