"""Accounts really closed and lamports really swept, on the rehearsal chain, to the lamport."""

from dataclasses import replace
from pathlib import Path

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from tests.support.live_stage import LiveStage, at_work, decided, journal_at, live_stage
from tests.support.signing import COLD
from tests.support.swap_messages import SYSTEM

from trading.execution.transactions import token_account as address_of
from trading.execution.upkeep import EitherPreparer, UpkeepParts, UpkeepPreparer, own_accounts
from trading.model.intent import SOL_MINT, Intent, IntentKind, IntentState, OwnAccount
from trading.rehearsal.cluster import Level
from trading.rehearsal.faults import Fault, Kind
from trading.rehearsal.tokens import ATA_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, mint_account, token_account
from trading.runtime.clock import WallClock

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

SOL = 10**9
RENT = 2_039_280
PLAIN = str(TOKEN_PROGRAM)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def able(stage: LiveStage) -> None:
    """Let the stage's executor keep wallets up too."""
    upkeep = UpkeepPreparer(UpkeepParts(stage.chain, stage.signer, WallClock().now_ns))
    stage.preparer = EitherPreparer(stage.preparer, upkeep)  # type: ignore[assignment]


def sweeping(wallet: str, lamports: int, name: str = "sweep", **changes: object) -> Intent:
    now_ns = WallClock().now_ns()
    intent = Intent(
        id=f"int_{name}",
        key=f"upkeep/{name}",
        wallet=wallet,
        in_mint=SOL_MINT,
        out_mint=SOL_MINT,
        amount_in=lamports,
        min_out=lamports,
        slippage_bps_max=0,
        fee_lamports_max=50_000,
        attempts_max=3,
        created_ns=now_ns,
        deadline_ns=now_ns + 60 * SOL,
        is_exit=False,
        kind=IntentKind.SWEEP,
        to_address=COLD,
    )
    return replace(intent, **changes)  # type: ignore[arg-type]


def closing(wallet: str, *accounts: OwnAccount, name: str = "close") -> Intent:
    figures = {"amount_in": 0, "min_out": RENT * len(accounts), "to_address": "", "accounts": accounts}
    return sweeping(wallet, 1, name, kind=IntentKind.CLOSE_ACCOUNTS, **figures)


def own(wallet: str, mint: str, program: str = PLAIN) -> OwnAccount:
    return OwnAccount(address_of(wallet, mint, program), mint, program)


def cold(stage: LiveStage) -> int:
    found = stage.market.cluster.account(Pubkey.from_string(COLD))
    return 0 if found is None else found.lamports


def opened_2022(stage: LiveStage, key: Keypair) -> OwnAccount:
    """Open an account under Token-2022 as a wallet does, with the extension that it gets there."""
    cluster, mint = stage.market.cluster, Pubkey.from_bytes(bytes([42]) * 32)
    cluster.set_account(mint, mint_account(None, 0, 6, program=TOKEN_2022_PROGRAM))
    account = own(str(key.pubkey()), str(mint), str(TOKEN_2022_PROGRAM))
    metas = [AccountMeta(key.pubkey(), True, True), AccountMeta(Pubkey.from_string(account.address), False, True)]
    metas += [AccountMeta(each, False, False) for each in (key.pubkey(), mint, SYSTEM, TOKEN_2022_PROGRAM)]
    blockhash = Hash.from_string(cluster.newest(Level.CONFIRMED).blockhash)
    message = MessageV0.try_compile(key.pubkey(), [Instruction(ATA_PROGRAM, b"\1", metas)], [], blockhash)
    signature = cluster.submit(bytes(VersionedTransaction(message, [key])))
    cluster.tick(40)
    assert cluster.executed[signature].error is None
    return account


async def test_empty_accounts_are_closed_together_and_profit_is_swept_to_the_lamport(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        able(stage)
        wallet = stage.wallet()
        extended = opened_2022(stage, stage.signer.keys[wallet])
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            await decided(executor, journal, [stage.buying(wallet, SOL, "buy")])
            held = closing(wallet, own(wallet, stage.market.frog), name="held")
            [refused] = await decided(executor, journal, [held])
            assert refused.state is IntentState.FAILED
            assert "not_empty" in refused.problem
            await decided(executor, journal, [stage.selling(wallet, stage.units(wallet), "sell")])
            found = await own_accounts(stage.chain, wallet, [stage.market.frog, extended.mint])
            there = [account for account, seen in found.items() if seen is not None]
            assert there == [own(wallet, stage.market.frog), extended]
            returned = sum(seen.lamports for seen in found.values() if seen is not None)
            assert returned > 2 * RENT
            before = stage.lamports(wallet)
            fault(stage, Fault(Kind.LOST, ("sendTransaction",), calls=2))
            [closed] = await decided(executor, journal, [closing(wallet, *there)])
            assert closed.state is IntentState.SETTLED, closed.problem
            assert closed.settlement is not None
            assert closed.settlement.rent_lamports == -returned
            assert stage.lamports(wallet) == before + returned - closed.settlement.fee_lamports
            assert set((await own_accounts(stage.chain, wallet, [stage.market.frog])).values()) == {None}
            before, was_cold = stage.lamports(wallet), cold(stage)
            fault(stage, Fault(Kind.LOST, ("sendTransaction",), calls=2))
            [swept] = await decided(executor, journal, [sweeping(wallet, 3 * SOL)])
        assert swept.state is IntentState.SETTLED, swept.problem
        assert swept.settlement is not None
        assert cold(stage) - was_cold == swept.settlement.out_units == 3 * SOL
        assert stage.lamports(wallet) == before - 3 * SOL - swept.settlement.fee_lamports
        assert swept.settlement.fee_lamports < 6_000
        assert len(stage.market.cluster.history(wallet)) == 5
        assert journal.halted() == {}
        assert [each.intent.id for each in journal.of_keys("upkeep/", 2)] == ["int_sweep", "int_close"]


def fault(stage: LiveStage, *faults: Fault) -> None:
    for endpoint in stage.market.rehearsal.endpoints.values():
        for each in faults:
            endpoint.faults.add(replace(each))


async def test_what_the_chain_does_not_bear_out_is_not_signed(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        able(stage)
        wallet, cluster = stage.wallet(), stage.market.cluster
        owner, frog = Pubkey.from_string(wallet), stage.market.frog
        mine, theirs = own(wallet, frog), own(stage.wallet(), frog)
        cluster.set_account(Pubkey.from_string(theirs.address), token_account(Pubkey.from_string(frog), owner, 0))
        intents = {
            "more than there is": sweeping(wallet, 20 * SOL, "a"),
            "more than may leave": sweeping(wallet, 10 * SOL, "b", leaves_lamports=10 * SOL),
            "too little to be an account": sweeping(wallet, 1_000, "c"),
            "nothing there": closing(wallet, mine, name="d"),
            "another's address": closing(wallet, theirs, name="e"),
        }
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            found = dict(zip(intents, await decided(executor, journal, list(intents.values())), strict=True))
        assert {known.state for known in found.values()} == {IntentState.FAILED}
        assert stage.signer.signed == []
        assert "with what stays" in found["more than may leave"].problem
        assert "simulation failed" in found["too little to be an account"].problem
        assert "not_there" in found["nothing there"].problem
        assert "owner" in found["another's address"].problem
        assert cold(stage) == 0
