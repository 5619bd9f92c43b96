"""What nodes share, on a real PostgreSQL: each child once, never both sides, within the limits, no stale holder."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa
from tests.support.node_stage import WIDE, NodeStage, node_stage, wish
from tests.support.postgres import PostgresServer

from trading.adapters.node_store.journal import LeasedIntents
from trading.adapters.node_store.opening import StoreRules, open_door
from trading.errors import IllegalTransition, InvalidInput, JournalUnavailable, KeyTaken, LeaseLost
from trading.model.chain import AbsenceProof, Commitment, HeightSeen, StatusSeen
from trading.model.intent import Attempt, Balances, Intent, IntentState, Settlement
from trading.model.node import Lease, NodeState, SharedState

pytestmark = pytest.mark.requirement("T16")
RULES = StoreRules(stuck_s=1.5, answer_s=8.0, connections=24)


@pytest.fixture(scope="module")
def opened(postgres: PostgresServer) -> Iterator[NodeStage]:
    with node_stage(postgres, RULES) as stage:
        yield stage


@pytest.fixture
def stage(opened: NodeStage) -> NodeStage:
    opened.empty()
    return opened


def journal_of(stage: NodeStage, lease: Lease) -> LeasedIntents:
    return LeasedIntents(stage.door, lease, time.time_ns)


def attempt_of(intent: Intent, number: int = 1) -> Attempt:
    signature = f"sig_{intent.id}_{number}"
    balances = Balances(10**9, 0, 0)
    return Attempt(intent.id, number, signature, b"raw", "hash", 100, 1, 5_000, balances, time.time_ns())


def settlement_of(intent: Intent, units: int, error: str = "") -> Settlement:
    taken, given = (0, 0) if error else (intent.amount_in, units)
    return Settlement(intent.id, f"sig_{intent.id}_1", 7, None, taken, given, 5_000, 0, 0, error)


def settle(stage: NodeStage, lease: Lease, intent: Intent, units: int, error: str = "") -> None:
    journal = journal_of(stage, lease)
    journal.signed(attempt_of(intent))
    journal.settled(settlement_of(intent, units, error))


def test_twenty_who_claim_at_once_get_each_child_once_within_the_limits_and_never_both_sides(
    stage: NodeStage,
) -> None:
    wallets = [f"w{number}" for number in range(20)]
    holders = {wallet: stage.all_leases(f"node_{wallet}", wallet) for wallet in wallets}
    stage.planned("buys", *wallets, lamports=100)
    stage.planned("sells", *wallets, lamports=50, buys=False)
    stage.planned("others", *wallets[:10], lamports=100, token="toad")
    stage.orders.share(replace(WIDE, exposure_lamports_max=1_050, token_lamports_max=600, entries_open_max=9), "test")
    breaches: list[str] = []

    def watch() -> None:
        with stage.door.writing() as connection:
            rows = connection.execute(sa.text("SELECT token, is_buy FROM reservations")).all()
        if {("frog", True), ("frog", False)} <= set(rows):
            breaches.append("both sides of frog")
        used = stage.orders.exposure()
        if used.lamports > 1_050 or used.entries_open > 9 or max(used.by_token.values(), default=0) > 600:
            breaches.append(f"{used}")

    def work(wallet: str) -> list[str]:
        holder, held = holders[wallet]
        done = []
        for _ in range(3):
            for intent in stage.orders.claim(holder, [wallet], 1):
                watch()
                done.append(intent.id)
                error = "" if intent.is_exit else "it failed on chain"
                settle(stage, held[wallet], intent, 1, error)
        return done

    with ThreadPoolExecutor(20) as threads:
        claimed = [each for found in threads.map(work, wallets) for each in found]
    assert not breaches
    assert max(Counter(claimed).values()) == 1
    while len(claimed) < 50:  # what had to wait for somebody else is claimed after all
        found = [each for wallet in wallets for each in work(wallet)]
        assert found, "nobody is at work, and yet something waits"
        claimed += found
    assert sorted(claimed) == sorted(
        each.id for name in ("buys", "sells", "others") for each in stage.orders.children(name)
    )
    assert stage.orders.counts() == {"reverted": 30, "settled": 20}
    assert stage.orders.exposure().entries_open == 0


def test_fills_move_the_exposure_from_reserved_to_held_and_sales_take_their_share_out(stage: NodeStage) -> None:
    holder, held = stage.all_leases("a", "w")
    stage.orders.share(replace(WIDE, exposure_lamports_max=1_500), "test")
    stage.planned("one", "w", "w", lamports=1_000)
    [first] = stage.orders.claim(holder, ["w"], 5)
    assert stage.orders.exposure().lamports == 1_000
    settle(stage, held["w"], first, units=3)
    assert (stage.orders.exposure().lamports, stage.orders.exposure().entries_open) == (1_000, 0)
    assert stage.orders.claim(holder, ["w"], 5) == [], "what is held counts as what is reserved does"
    stage.planned("out", "w", lamports=1, buys=False)
    [sale] = stage.orders.claim(holder, ["w"], 5)
    settle(stage, held["w"], sale, units=500)
    assert stage.orders.exposure().by_token == {"frog": 667}, "two of three units, rounded up"
    stage.orders.share(replace(WIDE, state=SharedState.REDUCING), "test")
    assert stage.orders.claim(holder, ["w"], 5) == []
    stage.orders.share(WIDE, "test")
    assert len(stage.orders.claim(holder, ["w"], 5)) == 1


def test_a_purchase_waits_for_every_sale_that_is_due_and_for_its_own_wallet(stage: NodeStage) -> None:
    holder, held = stage.all_leases("a", "w", "v")
    stage.planned("buy", "v", "v")
    stage.planned("sell", "w", buys=False)
    assert stage.orders.claim(holder, ["v"], 5) == [], "the sale is not claimed yet"
    [sale] = stage.orders.claim(holder, ["v", "w"], 5)
    assert sale.is_exit
    settle(stage, held["w"], sale, units=5)
    [first] = stage.orders.claim(holder, ["v", "w"], 5)
    stage.planned("sell_again", "w", buys=False)
    assert stage.orders.claim(holder, ["v", "w"], 5) == [], "a sale waits for the purchase that is open, too"
    journal_of(stage, held["v"]).ended(first.id, IntentState.FAILED, "no route")
    assert [each.is_exit for each in stage.orders.claim(holder, ["v", "w"], 5)] == [True]


def test_a_purchase_that_waits_for_a_person_keeps_no_sale_of_its_token_waiting(stage: NodeStage) -> None:
    holder, held = stage.all_leases("a", "w", "v")
    stage.planned("buy", "w")
    [bought] = stage.orders.claim(holder, ["v", "w"], 5)
    stage.planned("sell", "v", buys=False)
    assert stage.orders.claim(holder, ["v", "w"], 5) == []
    journal = journal_of(stage, held["w"])
    journal.signed(attempt_of(bought))
    assert stage.orders.claim(holder, ["v", "w"], 5) == [], "it may land yet"
    journal.needs_review(bought.id, "it moved more than it may", {})
    [sale] = stage.orders.claim(holder, ["v", "w"], 5)
    assert sale.is_exit
    assert stage.orders.exposure().entries_open == 1, "what it has reserved counts all the same"


def test_who_sets_some_of_the_limits_leaves_the_others_as_they_are(stage: NodeStage) -> None:
    stage.orders.share(WIDE, "test")
    stage.orders.change({"state": SharedState.REDUCING}, "one")
    stage.orders.change({"exposure_lamports_max": 5}, "other")
    wanted = replace(WIDE, state=SharedState.REDUCING, exposure_lamports_max=5)
    assert stage.orders.shared_limits() == wanted
    for wrong in (-1, 1 << 63):
        with pytest.raises(InvalidInput, match="entries_open_max"):
            stage.orders.change({"entries_open_max": wrong}, "other")
    assert stage.orders.shared_limits() == wanted


def test_who_lost_the_lease_writes_nothing_any_more(stage: NodeStage) -> None:
    holder, held = stage.all_leases("a", "w", "v")
    stage.planned("one", "w")
    [intent] = stage.orders.claim(holder, ["w"], 1)
    stale = journal_of(stage, held["w"])
    stage.lapse("w")
    with pytest.raises(LeaseLost, match="run out"):
        stale.signed(attempt_of(intent))
    [taken] = stage.leases.beat(stage.leases.register("b", "1"), wish("w")).leases
    assert taken.token == held["w"].token + 1
    ours = journal_of(stage, taken)
    ours.signed(attempt_of(intent))
    status = StatusSeen(f"sig_{intent.id}_1", 5, Commitment.CONFIRMED, "", "x")
    proof = AbsenceProof(f"sig_{intent.id}_1", 100, (HeightSeen("a", 101, 101),))
    writes = [
        lambda: stale.signed(attempt_of(intent, 2)),
        lambda: stale.landed(intent.id, status),
        lambda: stale.expired(intent.id, proof),
        lambda: stale.settled(settlement_of(intent, 1)),
        lambda: stale.ended(intent.id, IntentState.FAILED, "no"),
        lambda: stale.halt("w", "no", {}),
        lambda: stale.swept("w", "x"),
    ]
    for write in writes:
        with pytest.raises(LeaseLost):
            write()
    assert ours.record(intent.id).state is IntentState.SIGNED
    assert ours.halted() == {}
    assert stage.orders.claim(holder, ["w"], 1) == []
    beat = stage.leases.beat(holder, wish("w", "v"))
    assert [each.wallet for each in beat.leases] == ["v"], "what was lost does not come back by itself"


def test_a_fact_of_the_chain_may_be_written_after_the_lease_ran_out_while_nobody_took_it(stage: NodeStage) -> None:
    holder, held = stage.all_leases("a", "w")
    stage.planned("one", "w")
    [intent] = stage.orders.claim(holder, ["w"], 1)
    journal = journal_of(stage, held["w"])
    journal.signed(attempt_of(intent))
    stage.lapse("w")
    journal.settled(settlement_of(intent, 4))
    assert journal.record(intent.id).state is IntentState.SETTLED
    with pytest.raises(IllegalTransition):
        journal.settled(settlement_of(intent, 4))
    [again] = stage.leases.beat(holder, wish("w")).leases
    assert again.token == held["w"].token + 1, "a lease that ran out comes back with a new token"


def test_a_second_process_of_the_same_name_shuts_the_first_out_at_once(stage: NodeStage) -> None:
    first, held = stage.all_leases("a", "w")
    second = stage.leases.register("a", "2")
    with pytest.raises(LeaseLost, match="another process"):
        stage.leases.beat(first, wish("w"))
    [lease] = stage.leases.beat(second, wish("w")).leases
    assert lease.token == held["w"].token + 1
    with pytest.raises(LeaseLost):
        journal_of(stage, held["w"]).swept("w", "x")
    stage.leases.leave(second)
    other = stage.leases.register("b", "1")
    assert [each.wallet for each in stage.leases.beat(other, wish("w")).leases] == ["w"], "free at once"


def test_a_process_that_registers_again_is_not_shut_out_by_itself(stage: NodeStage) -> None:
    """The first question may have been given up as unanswered, and is carried out after the second one all the same."""
    holder = stage.leases.register("again", "1", "process one")
    assert stage.leases.register("again", "1", "process one") == holder
    assert stage.leases.beat(holder, wish("w")).state is SharedState.ACTIVE
    other = stage.leases.register("again", "1", "process two")
    assert other.epoch == holder.epoch + 1
    with pytest.raises(LeaseLost):
        stage.leases.beat(holder, wish("w"))


def test_nodes_share_their_wallets_evenly_and_one_that_drains_takes_none(stage: NodeStage) -> None:
    wallets = [f"w{number}" for number in range(8)]
    one, _ = stage.all_leases("a", *wallets)
    two = stage.leases.register("b", "1")
    assert stage.leases.beat(two, wish(*wallets, most=3)).leases == ()
    assert stage.leases.beat(one, wish(*wallets)).surplus == 4
    stage.leases.release(one, wallets[:4])
    assert stage.leases.beat(two, wish(*wallets, state=NodeState.DRAINING)).leases == ()
    for expected in (2, 3, 3):
        assert len(stage.leases.beat(two, wish(*wallets, most=3)).leases) == expected
    assert stage.leases.beat(one, wish(*wallets[4:])).surplus == 0


def test_what_nobody_began_in_time_and_what_was_cancelled_is_accounted_for(stage: NodeStage) -> None:
    holder, held = stage.all_leases("a", "w", "v")
    stage.planned("late", "w", wait_s=-1)
    stage.planned("two", "w", "v")
    [begun] = stage.orders.claim(holder, ["w"], 5)
    stage.orders.cancel("two", "the operator changed his mind")
    assert [each.state for each in stage.orders.children("two")] == ["open", "cancelled"]
    with pytest.raises(IllegalTransition, match="cancelled"):
        journal_of(stage, held["w"]).signed(attempt_of(begun))
    journal_of(stage, held["w"]).ended(begun.id, IntentState.CANCELLED, "asked for")
    assert stage.orders.counts() == {"failed": 1, "cancelled": 2}
    kinds = Counter(each.kind for each in stage.orders.events())
    assert kinds["planned"] == 3
    assert (kinds["claimed"], kinds["failed"], kinds["cancelled"]) == (1, 1, 2)


def test_what_was_begun_by_a_node_that_is_gone_for_good_is_watched_to_its_end_by_another(stage: NodeStage) -> None:
    holder, held = stage.all_leases("gone", "w")
    stage.planned("one", "w", wait_s=0.3)
    [begun] = stage.orders.claim(holder, ["w"], 1)
    journal_of(stage, held["w"]).signed(attempt_of(begun))
    other = stage.leases.register("other", "1")
    stage.lapse("w")
    assert stage.leases.beat(other, wish("v")).leases[0].wallet == "v", "its time is not over: a node may still sign it"
    with stage.door.writing() as connection:
        connection.execute(sa.text("UPDATE children SET until_ns = 0"))
    watched = {each.wallet: each for each in stage.leases.beat(other, wish("v")).leases}
    assert set(watched) == {"v", "w"}
    journal_of(stage, watched["w"]).settled(settlement_of(begun, 3))
    stage.leases.release(other, ["w"])
    assert [each.wallet for each in stage.leases.beat(other, wish("v")).leases] == ["v"], "nothing is left to watch"


def test_a_plan_is_written_once_under_its_key_and_refused_where_it_is_none(stage: NodeStage) -> None:
    made = stage.planned("one", "w")
    assert not stage.orders.plan(made)
    with pytest.raises(KeyTaken):
        stage.orders.plan(replace(stage.parent("other", "w"), key="one"))
    with pytest.raises(InvalidInput, match="children"):
        stage.orders.plan(replace(made, key="none", children=()))
    child = replace(made.children[0], intent=replace(made.children[0].intent, in_mint="toad"))
    with pytest.raises(InvalidInput, match="SOL"):
        stage.orders.plan(replace(made, key="none", children=(child,)))
    holder, held = stage.all_leases("a", "w")
    with pytest.raises(InvalidInput, match="claimed"):
        journal_of(stage, held["w"]).open(made.children[0].intent)
    [intent] = stage.orders.claim(holder, ["w"], 1)
    assert journal_of(stage, held["w"]).open(intent).state is IntentState.OPEN
    assert [each.intent for each in journal_of(stage, held["w"]).unfinished()] == [intent]


def test_a_halted_wallet_begins_nothing_until_a_person_releases_it(stage: NodeStage) -> None:
    holder, held = stage.all_leases("a", "w")
    stage.planned("one", "w")
    journal_of(stage, held["w"]).halt("w", "a swap that nobody wrote down", {})
    assert stage.orders.claim(holder, ["w"], 1) == []
    assert dict(stage.orders.halted()) == {"w": "a swap that nobody wrote down"}
    stage.orders.release("w", "operator", "looked")
    assert len(stage.orders.claim(holder, ["w"], 1)) == 1


def test_one_that_stops_in_the_middle_of_a_claim_holds_nobody_up(stage: NodeStage) -> None:
    holder, _ = stage.all_leases("a", "w")
    stage.planned("one", "w")
    stuck = stage.door.engine.connect()
    stuck.begin()
    stuck.execute(sa.text("SELECT * FROM limits FOR UPDATE"))
    began_s = time.monotonic()
    assert len(stage.orders.claim(holder, ["w"], 1)) == 1
    assert time.monotonic() - began_s < RULES.answer_s / 2
    stuck.invalidate()
    stuck.close()


def test_what_is_signed_is_durable_before_it_leaves_however_the_database_is_set(postgres: PostgresServer) -> None:
    name = postgres.new_database()
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    door = open_door(f"{postgres.url(name)}&options=-c%20work_mem%3D7MB", RULES)
    try:
        for _ in range(2):
            with door.writing() as connection:
                said = [
                    connection.execute(sa.text(f"SHOW {each}")).scalar_one()
                    for each in ("synchronous_commit", "work_mem")
                ]
            assert said == ["on", "7MB"]
            door.engine.dispose()
    finally:
        door.close()


def test_an_address_that_is_none_is_refused_without_its_password_and_no_server_is_no_answer() -> None:
    with pytest.raises(InvalidInput, match=r"nodes\.url") as refused:
        open_door("mysql://me:secret@host/name", StoreRules())
    assert "secret" not in str(refused.value)
    with pytest.raises(JournalUnavailable) as silent:
        open_door("postgresql://me:secret@127.0.0.1:9/name", StoreRules(answer_s=2))
    assert "secret" not in str(silent.value)
