"""A trip ends flat whatever one leg does: fills in part, fails, answers late, or not at all."""

import random
from dataclasses import dataclass, field, replace

import pytest

from trading.arbitrage.trip_story import Moved, moves, story
from trading.arbitrage.trips import (
    Ask,
    Attempt,
    Began,
    Dead,
    Event,
    LegPlan,
    Looked,
    Phase,
    Send,
    Settled,
    Trip,
    TripPlan,
    fold,
    in_order,
    step,
)

pytestmark = pytest.mark.requirement("T15")
S = 1_000_000_000
PLAN = TripPlan(
    id="t1",
    first=LegPlan("pool", 1_000, 2_000),
    second=LegPlan("exchange", 2_000, 990),
    unwinds=(LegPlan("exchange", 2_000, 800), LegPlan("pool", 2_000, 800)),
    began_ns=0,
    hedge_by_ns=10 * S,
    flat_by_ns=60 * S,
    attempt_ns=2 * S,
)


def after(*events: Event, plan: TripPlan = PLAN) -> tuple[Trip, list[Attempt]]:
    """Return the trip and every attempt that it asked to send."""
    trip, sent = Trip(plan), []
    for event in events:
        trip, actions = step(trip, event)
        sent += [action.attempt for action in actions if isinstance(action, Send)]
    return trip, sent


def test_both_legs_filled_are_a_trip_that_is_done() -> None:
    filled = (Began(0), Settled("t1:first:0", 1_000, 2_010, 5, S), Settled("t1:second:1", 2_010, 1_020, 3, 2 * S))
    trip, sent = after(*filled)
    assert trip.phase is Phase.DONE
    assert trip.result == 1_020 - 1_000 - 8
    assert [attempt.amount_in for attempt in sent] == [1_000, 2_010]
    assert sent[1].amount_out_min == 995  # 990 for 2,000, rounded up


def test_a_first_leg_that_fails_costs_its_attempt_and_nothing_else() -> None:
    trip, sent = after(Began(0), Dead("t1:first:0", 5, S))
    assert (trip.phase, trip.result, len(sent)) == (Phase.FLAT, -5, 1)


def test_a_second_leg_is_tried_again_with_what_is_left_and_then_unwound_at_each_venue() -> None:
    trip, sent = after(
        Began(0),
        Settled("t1:first:0", 1_000, 2_000, 0, S),
        Settled("t1:second:1", 500, 250, 0, 2 * S),
        Dead("t1:second:2", 1, 11 * S),
        Dead("t1:unwinding:3", 1, 13 * S),
    )
    assert trip.is_hedge_pending
    assert [(each.phase, each.venue, each.amount_in) for each in sent] == [
        (Phase.FIRST, "pool", 1_000),
        (Phase.SECOND, "exchange", 2_000),
        (Phase.SECOND, "exchange", 1_500),
        (Phase.UNWINDING, "exchange", 1_500),
        (Phase.UNWINDING, "pool", 1_500),
    ]
    trip, _ = step(trip, Settled("t1:unwinding:4", 1_500, 700, 0, 15 * S))
    assert (trip.phase, trip.middle, trip.result) == (Phase.FLAT, 0, 950 - 1_000 - 2)


def test_an_attempt_without_an_answer_is_asked_about_and_never_repeated() -> None:
    trip, sent = after(Began(0), Looked(S))
    assert len(sent) == 1
    for at_ns in (2 * S, 20 * S, 100 * S):
        trip, actions = step(trip, Looked(at_ns))
        assert actions == (Ask(sent[0]),)
    trip, [action] = step(trip, Settled("t1:first:0", 1_000, 2_000, 0, 30 * S))
    assert isinstance(action, Send)
    assert action.attempt.phase is Phase.UNWINDING  # it is too late for the second leg


def test_what_was_heard_before_and_what_is_of_another_trip_changes_nothing() -> None:
    trip, _ = after(Began(0), Settled("t1:first:0", 1_000, 2_000, 0, S))
    for event in (Began(S), Settled("t1:first:0", 1_000, 2_000, 0, S), Dead("t2:second:1", 9, S)):
        assert step(trip, event) == (trip, ())


def test_a_fill_that_breaks_its_own_floor_is_a_fact_that_is_counted_and_hedged() -> None:
    trip, sent = after(Began(0), Settled("t1:first:0", 1_000, 1_999, 0, S))
    assert (trip.phase, trip.broken, trip.middle) == (Phase.SECOND, 1, 1_999)
    assert sent[-1].amount_in == 1_999


def test_a_fill_of_more_than_was_asked_for_waits_for_a_person() -> None:
    trip, _ = after(Began(0), Settled("t1:first:0", 1_001, 2_003, 0, S))
    assert trip.phase is Phase.STUCK
    assert trip.open is not None


def test_a_leg_back_that_is_refused_at_once_is_tried_again_after_pauses_that_double() -> None:
    plan = replace(PLAN, retry_ns=S)
    trip, sent = after(Began(0), Settled("t1:first:0", 1_000, 2_000, 0, 0), Dead("t1:second:1", 0, 0), plan=plan)
    assert len(sent) == 2
    for at_ns, tries in ((S - 1, 0), (S, 1)):
        trip, actions = step(trip, Looked(at_ns))
        assert len(actions) == tries
    trip, actions = step(trip, Dead("t1:second:2", 0, S))
    assert not actions
    assert [len(step(trip, Looked(at_ns))[1]) for at_ns in (3 * S - 1, 3 * S)] == [0, 1]


def test_what_is_less_than_the_second_venue_takes_is_unwound_where_it_is_taken() -> None:
    second = replace(PLAN.second, least_in=600)
    plan = replace(PLAN, second=second, unwinds=(replace(PLAN.unwinds[0], least_in=600), PLAN.unwinds[1]))
    trip, sent = after(
        Began(0), Settled("t1:first:0", 1_000, 2_000, 0, S), Settled("t1:second:1", 1_500, 750, 0, S), plan=plan
    )
    assert (sent[-1].phase, sent[-1].venue, sent[-1].amount_in) == (Phase.UNWINDING, "pool", 500)
    nowhere = replace(plan, unwinds=(replace(PLAN.unwinds[0], least_in=600),))
    trip, _ = after(
        Began(0), Settled("t1:first:0", 1_000, 2_000, 0, S), Settled("t1:second:1", 1_500, 750, 0, S), plan=nowhere
    )
    assert (trip.phase, trip.middle) == (Phase.STUCK, 500)


def test_what_cannot_be_sold_by_the_deadline_waits_for_a_person() -> None:
    trip, _ = after(Began(0), Settled("t1:first:0", 1_000, 2_000, 0, S), Dead("t1:second:1", 0, 61 * S))
    assert (trip.phase, trip.middle) == (Phase.STUCK, 2_000)


def test_the_leg_that_fails_more_often_comes_first() -> None:
    assert in_order([(PLAN.second, 10), (PLAN.first, 900)]) == (PLAN.first, PLAN.second)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unwinds": ()}, "unwinds is empty"),
        ({"hedge_by_ns": 61 * S}, "must rise"),
        ({"first": LegPlan("pool", 0, 1)}, "amount_in 0"),
    ],
)
def test_a_plan_without_a_way_back_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(PLAN, **change)  # type: ignore[arg-type]


@dataclass
class Venues:
    """Two venues that fill in part, fail, answer late or lose the answer; they know each key, and take it once."""

    chance: random.Random
    outcomes: dict[str, Event] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)
    fails: float = 0.3
    is_second_down: bool = False

    def send(self, attempt: Attempt, now_ns: int) -> Event | None:
        """Take the attempt; return its outcome, None where the answer is lost."""
        assert attempt.key not in self.received, "sent twice"
        self.received.append(attempt.key)
        outcome = self._outcome(attempt, now_ns)
        self.outcomes[attempt.key] = outcome
        return None if self.chance.random() < 0.3 else outcome

    def ask(self, attempt: Attempt, now_ns: int) -> Event | None:
        """Say what became of the attempt, most times; one that never came is dead."""
        if self.chance.random() < 0.3:
            return None
        return self.outcomes.setdefault(attempt.key, Dead(attempt.key, 0, now_ns))

    def _outcome(self, attempt: Attempt, now_ns: int) -> Event:
        is_down = self.is_second_down and attempt.phase is Phase.SECOND
        if is_down or self.chance.random() < self.fails:
            return Dead(attempt.key, self.chance.randrange(3), now_ns)
        share = 1 if attempt.phase is Phase.FIRST or self.chance.random() < 0.6 else self.chance.randrange(1, 4)
        taken = max(1, attempt.amount_in // share)
        price = attempt.amount_out_min * taken / attempt.amount_in
        return Settled(attempt.key, taken, round(price * self.chance.uniform(1.0, 1.02)) + 1, 1, now_ns)


@pytest.mark.parametrize("block", range(4))
def test_a_thousand_trips_with_every_kind_of_failure_end_flat_in_time_and_survive_a_kill_at_any_point(
    block: int,
) -> None:
    ended: dict[Phase, int] = dict.fromkeys(Phase, 0)
    for seed in range(block * 250, (block + 1) * 250):
        chance = random.Random(seed)
        venues = Venues(chance, is_second_down=seed % 4 == 0)
        trip, events, now_ns = Trip(PLAN), [], 0
        pending: list[Event] = [Began(0)]
        while not trip.phase.is_over:
            event = pending.pop(0) if pending else Looked(now_ns)
            events.append(event)
            before = trip
            trip, actions = step(trip, event)
            if chance.random() < 0.2:  # killed after the event was written down, before anything was done
                again, actions = fold(PLAN, events)
                assert again == trip
            assert before.open is None or trip.open in (None, before.open) or event.key == before.open.key  # type: ignore[union-attr]
            for action in actions:
                answered = (venues.send if isinstance(action, Send) else venues.ask)(action.attempt, now_ns)
                pending += [] if answered is None else [replace(answered, at_ns=now_ns + S // 10)]
            now_ns += S // 4
            assert now_ns < 90 * S, f"seed {seed} did not end"
        ended[trip.phase] += 1
        assert trip.phase in (Phase.DONE, Phase.FLAT), f"seed {seed}: {trip}"
        assert trip.middle <= PLAN.dust
        assert now_ns <= PLAN.flat_by_ns + PLAN.attempt_ns
        settled = [each for each in venues.outcomes.values() if isinstance(each, Settled)]
        assert trip.paid == sum(each.amount_in for each in settled if ":first:" in each.key)
        assert trip.back == sum(each.amount_out for each in settled if ":first:" not in each.key)
    assert ended[Phase.DONE] > 50
    assert ended[Phase.FLAT] > 50


WHOLE = replace(PLAN, first=LegPlan("whole", 1_000, 1_011), is_whole=True)


@pytest.mark.parametrize(
    ("ends", "phase", "result"),
    [
        (Settled("t1:first:0", 1_000, 1_020, 5, S), Phase.DONE, 15),
        (Settled("t1:first:0", 1_000, 990, 5, S), Phase.DONE, -15),
        (Dead("t1:first:0", 5, S), Phase.FLAT, -5),
    ],
)
def test_a_whole_trip_has_one_attempt_and_nothing_between(ends: Event, phase: Phase, result: int) -> None:
    trip, sent = after(Began(0), ends, plan=WHOLE)
    assert (trip.phase, trip.result, trip.middle, trip.is_hedge_pending) == (phase, result, 0, False)
    (attempt,) = sent
    assert (attempt.venue, attempt.amount_out_min, attempt.is_whole) == ("whole", 1_011, True)
    assert trip.broken == (result == -15)
    told, scenes = story(WHOLE, [Began(0), ends])
    assert told == trip
    assert moves(scenes) == (Moved("whole", result, 0),)


def test_a_whole_trip_that_was_killed_is_asked_about() -> None:
    trip, actions = fold(WHOLE, [Began(0)])
    assert trip.open is not None
    assert actions == (Ask(trip.open),)
