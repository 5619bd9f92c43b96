"""Intents carried out on the rehearsal chain by the real client, router and checks, to the lamport."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from solders.pubkey import Pubkey
from tests.support.live_stage import LiveStage, at_work, decided, journal_at, live_stage

from trading.execution.executor import Outlook
from trading.model.chain import SignWanted
from trading.model.intent import Attempt, IntentRecord, IntentState
from trading.rehearsal.faults import FOREVER, Fault, Kind
from trading.rehearsal.jupiter_faults import Fault as RouterFault
from trading.rehearsal.jupiter_parts import MALICE
from trading.rehearsal.tokens import NATIVE_MINT, associated, token_account
from trading.runtime.clock import WallClock

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

SOL = 10**9


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def spent(known: IntentRecord) -> int:
    """Return what a settled buy took of the wallet's lamports."""
    settled = known.settlement
    assert settled is not None
    return settled.in_units + settled.fee_lamports + settled.tip_lamports + settled.rent_lamports


def fault(stage: LiveStage, *faults: Fault) -> None:
    for endpoint in stage.market.rehearsal.endpoints.values():
        for each in faults:
            endpoint.faults.add(replace(each))


async def test_a_buy_and_a_sale_settle_to_the_lamport(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        before = stage.lamports(wallet)
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            [bought] = await decided(executor, journal, [stage.buying(wallet, SOL, "buy")])
            assert bought.state is IntentState.SETTLED, bought.problem
            assert bought.settlement is not None
            assert bought.settlement.rent_lamports == 2_039_280
            assert stage.lamports(wallet) == before - spent(bought)
            assert stage.units(wallet) == bought.settlement.out_units
            held = stage.lamports(wallet)
            [sold] = await decided(executor, journal, [stage.selling(wallet, stage.units(wallet), "sell")])
        assert sold.state is IntentState.SETTLED, sold.problem
        assert sold.settlement is not None
        assert stage.lamports(wallet) == held + sold.settlement.out_units - sold.settlement.fee_lamports
        assert stage.units(wallet) == 0
        kinds = [event.kind for event in journal.events()]
        assert kinds == ["opened", "signed", "landed", "settled"] * 2


@pytest.mark.parametrize(
    "faults",
    [
        (Fault(Kind.DROP, calls=2),),
        (Fault(Kind.DELAY, calls=1, slots=60),),
        (Fault(Kind.LOST, ("sendTransaction",), calls=2),),
        (Fault(Kind.TOO_MANY, ("sendTransaction",), calls=2, retry_after_s=0.05),),
        (Fault(Kind.ERROR, ("getSignatureStatuses",), calls=3, code=-32005),),
        (Fault(Kind.BROKEN, ("getTransaction",), calls=3),),
        (Fault(Kind.GARBAGE, ("getSignatureStatuses",), calls=2),),
    ],
    ids=["dropped", "late", "answer lost", "429", "behind", "html", "garbage"],
)
async def test_whatever_endpoints_do_there_is_one_swap(faults: tuple[Fault, ...], tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        before = stage.lamports(wallet)
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            fault(stage, *faults)
            [known] = await decided(executor, journal, [stage.buying(wallet, SOL, "one")])
        assert known.state is IntentState.SETTLED, known.problem
        assert stage.lamports(wallet) == before - spent(known)
        assert len(stage.market.cluster.history(wallet)) == 1


async def test_an_attempt_that_no_leader_ever_saw_is_proven_dead_before_the_next(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            fault(stage, Fault(Kind.DROP, calls=FOREVER))
            with anyio.fail_after(30):
                await executor.take(stage.buying(wallet, SOL, "one"))
                while not any(event.kind == "expired" for event in journal.events()):
                    await stage.chain.wait("", 0.02)
                for endpoint in stage.market.rehearsal.endpoints.values():
                    endpoint.faults.clear()
                [known] = await decided(executor, journal, [stage.buying(wallet, SOL, "one")])
        assert known.state is IntentState.SETTLED, known.problem
        assert [each.state.value for each in known.attempts] == ["expired", "settled"]
        assert len({each.signature for each in known.attempts}) == 2
        assert len(stage.market.cluster.history(wallet)) == 1


async def test_many_intents_of_many_wallets_at_once_each_swap_once(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallets = [stage.wallet() for _ in range(10)]
        before = {wallet: stage.lamports(wallet) for wallet in wallets}
        intents = [
            stage.buying(wallet, SOL // 50 + number, f"{at}_{number}", slippage_bps=900)
            for at, wallet in enumerate(wallets)
            for number in range(5)
        ]
        executor = stage.executor(journal)
        async with at_work(executor, wallets):
            with anyio.fail_after(100):
                known = await decided(executor, journal, intents)
        assert [each.problem for each in known if each.state is not IntentState.SETTLED] == []
        for wallet in wallets:
            own = [each for each in known if each.intent.wallet == wallet]
            assert stage.lamports(wallet) == before[wallet] - sum(map(spent, own))
            assert stage.units(wallet) == sum(each.settlement.out_units for each in own if each.settlement)
            assert len(stage.market.cluster.history(wallet)) == 5


@pytest.mark.requirement("T16")
async def test_a_purchase_and_a_sale_of_one_token_follow_each_other_in_whatever_wallets(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        holder, buyer = stage.wallet(), stage.wallet()
        executor = stage.executor(journal)
        async with at_work(executor, [holder, buyer]):
            with anyio.fail_after(60):
                await decided(executor, journal, [stage.buying(holder, SOL // 10, "held")])
                buy = stage.buying(buyer, SOL // 10, "buy", slippage_bps=900)
                sell = stage.selling(holder, stage.units(holder), "sell", slippage_bps=900)
                known = await decided(executor, journal, [buy, sell])
        assert [each.state for each in known] == [IntentState.SETTLED] * 2
        ended = {each.intent_id: each.ts_ns for each in journal.events() if each.kind == "settled"}
        assert known[1].attempts[0].signed_ns > ended[buy.id], (
            "nothing of the sale was signed before the purchase ended"
        )


async def test_a_route_that_is_not_what_was_wished_is_not_signed(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            for malice in MALICE:
                stage.market.server.faults.put("build", RouterFault(malice))
                [known] = await decided(executor, journal, [stage.buying(wallet, SOL, malice)])
                if malice == "oversized_fee":  # a router's price is advice: ours is what was allowed
                    assert known.settlement is not None
                    assert known.settlement.fee_lamports <= known.intent.fee_lamports_max
                    continue
                assert known.state is IntentState.FAILED, malice
                assert known.attempts == (), malice
        assert len(stage.signer.signed) == len(stage.market.cluster.history(wallet)) == 1


async def test_a_price_that_no_second_source_supports_is_not_bought(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet(200 * SOL)
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            # A tenth of the pool: what it gives lies further from the pool's own price than an entry may.
            [known] = await decided(executor, journal, [stage.buying(wallet, 100 * SOL, "large", slippage_bps=2_000)])
        assert known.state is IntentState.FAILED
        assert "price_deviates" in known.problem
        assert stage.signer.signed == []


async def test_a_signature_of_something_else_is_not_kept(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        honest = stage.signer.sign

        async def mixed_up(wanted: SignWanted) -> bytes:
            return await honest(replace(wanted, message=wanted.message + b"\0"))

        stage.signer.sign = mixed_up  # type: ignore[method-assign]
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            [known] = await decided(executor, journal, [stage.buying(wallet, SOL, "one")])
        assert known.state is IntentState.FAILED
        assert "no signature of this message" in known.problem
        assert known.attempts == ()


async def test_the_reserve_for_exits_is_not_spent_by_an_entry(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet(SOL)
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            [known] = await decided(executor, journal, [stage.buying(wallet, SOL - 10_000_000, "all")])
        assert known.state is IntentState.FAILED
        assert "reserve included" in known.problem


@pytest.mark.parametrize("gift", ["lamports", "wrapped"])
async def test_what_strangers_send_to_a_wallets_accounts_stops_neither_entry_nor_exit(
    gift: str, tmp_path: Path
) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet, cluster = stage.wallet(), stage.market.cluster
        owner, frog = Pubkey.from_string(wallet), Pubkey.from_string(stage.market.frog)
        wrapped = associated(owner, NATIVE_MINT)

        def give() -> None:
            if gift == "wrapped":
                cluster.set_account(wrapped, token_account(NATIVE_MINT, owner, 1_000_000))
            else:
                cluster.airdrop(wrapped, 890_880)

        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            give()
            if gift == "lamports":
                cluster.airdrop(associated(owner, frog), 890_880)
            before = stage.lamports(wallet)
            [bought] = await decided(executor, journal, [stage.buying(wallet, SOL, "buy")])
            assert bought.state is IntentState.SETTLED, bought.problem
            assert bought.settlement is not None
            assert bought.settlement.in_units == SOL
            taken_in = 1_000_000 if gift == "wrapped" else 0
            assert stage.lamports(wallet) == before - spent(bought) + taken_in
            give()
            [sold] = await decided(executor, journal, [stage.selling(wallet, stage.units(wallet), "sell")])
        assert sold.state is IntentState.SETTLED, sold.problem


@pytest.mark.parametrize("why", ["halted", "deadline"])
async def test_what_changed_while_an_attempt_was_prepared_keeps_it_from_being_sent(why: str, tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        late_ns = 0
        honest = stage.preparer.prepare

        async def slow(known: IntentRecord) -> Attempt:
            nonlocal late_ns
            attempt = await honest(known)
            if why == "halted":
                journal.halt(wallet, "a stranger signed", {})
            else:
                late_ns = 3_600 * 10**9
            return attempt

        stage.preparer.prepare = slow  # type: ignore[method-assign]
        executor = stage.executor(journal, Outlook(lambda: WallClock().now_ns() + late_ns))
        known = journal.open(stage.buying(wallet, SOL, "slow"))
        with anyio.fail_after(20):
            known = await executor.advance(known.intent.id)
        assert known.state is (IntentState.OPEN if why == "halted" else IntentState.FAILED)
        assert known.attempts == ()
        assert list(stage.market.cluster.history(wallet)) == []


async def test_a_cancel_between_the_last_look_and_the_write_ends_the_intent_alone(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        executor = stage.executor(journal)
        write = journal.signed

        def after_cancel(attempt: Attempt) -> None:
            journal.ask_to_cancel(attempt.intent_id)
            write(attempt)

        journal.signed = after_cancel  # type: ignore[method-assign]
        known = journal.open(stage.buying(wallet, SOL, "cancelled"))
        with anyio.fail_after(20):
            known = await executor.advance(known.intent.id)
        assert known.state is IntentState.CANCELLED
        assert known.attempts == ()


@pytest.mark.parametrize("why", ["halted", "cancelled"])
async def test_an_attempt_begun_on_an_old_word_is_not_signed(why: str, tmp_path: Path) -> None:
    """What was handed in is begun at once; that its record says something else by now is seen beside the questions."""
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        executor = stage.executor(journal)
        known = journal.open(stage.buying(wallet, SOL, "old"))
        if why == "halted":
            journal.halt(wallet, "a stranger signed", {})
        else:
            journal.ask_to_cancel(known.intent.id)
        with anyio.fail_after(20):
            ended = await executor.advance(known.intent.id, known)
        assert ended.state is (IntentState.OPEN if why == "halted" else IntentState.CANCELLED)
        assert ended.attempts == ()
        assert stage.signer.signed == []
