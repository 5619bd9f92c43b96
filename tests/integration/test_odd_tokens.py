"""Tokens that are taxed or can be frozen, on real program code: what is refused, and what is booked where allowed."""

from pathlib import Path

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from tests.support.live_stage import LiveStage, at_work, decided, journal_at, live_stage

from trading.model.chain import AccountSeen
from trading.model.intent import IntentState
from trading.model.rug_rules import RugRules
from trading.rehearsal.cluster import Level
from trading.rehearsal.tokens import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from trading.runtime.mint_policy import mint_problems

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

SOL = 10**9
TAX_BPS = 50
FREEZER = Keypair.from_seed(bytes([77]) * 32)
FREEZE_ACCOUNT = 10


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def strict(account: AccountSeen) -> list[str]:
    return mint_problems(account, RugRules())


def freeze(stage: LiveStage, wallet: str) -> None:
    """Let the token's issuer freeze what the wallet holds, by the token program."""
    cluster = stage.market.cluster
    cluster.airdrop(FREEZER.pubkey(), SOL)
    place = stage.market.place(stage.signer.keys[wallet], stage.market.frog)
    accounts = [
        AccountMeta(place, False, True),
        AccountMeta(Pubkey.from_string(stage.market.frog), False, False),
        AccountMeta(FREEZER.pubkey(), True, False),
    ]
    frozen = Instruction(TOKEN_PROGRAM, bytes([FREEZE_ACCOUNT]), accounts)
    blockhash = Hash.from_string(cluster.newest(Level.CONFIRMED).blockhash)
    message = MessageV0.try_compile(FREEZER.pubkey(), [frozen], [], blockhash)
    signature = cluster.submit(bytes(VersionedTransaction(message, [FREEZER])))
    cluster.tick()
    assert cluster.executed[signature].error is None


@pytest.mark.parametrize(
    ("frogs", "why"),
    [
        ({"program": TOKEN_2022_PROGRAM, "transfer_fee_bps": TAX_BPS}, "it takes a fee of every transfer"),
        ({"freezer": FREEZER.pubkey()}, "somebody can freeze it"),
    ],
    ids=["taxed", "can be frozen"],
)
async def test_a_token_that_its_issuer_can_spoil_is_not_bought(
    frogs: dict[str, object], why: str, tmp_path: Path
) -> None:
    async with live_stage(mint_problems=strict, **frogs) as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            [known] = await decided(executor, journal, [stage.buying(wallet, SOL, "one")])
        assert known.state is IntentState.FAILED
        assert why in known.problem
        assert stage.signer.signed == []
        assert list(stage.market.cluster.history(wallet)) == []


async def test_of_a_taxed_token_that_is_allowed_what_arrived_is_booked(tmp_path: Path) -> None:
    frogs = {"program": TOKEN_2022_PROGRAM, "transfer_fee_bps": TAX_BPS}
    async with live_stage(**frogs) as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            # The router does not know of the tax: what it quotes does not arrive.
            [tight] = await decided(executor, journal, [stage.buying(wallet, SOL, "tight", slippage_bps=TAX_BPS // 2)])
            assert tight.state is IntentState.FAILED, tight.problem
            assert stage.signer.signed == []
            before = stage.lamports(wallet)
            [bought] = await decided(executor, journal, [stage.buying(wallet, SOL, "buy")])
            assert bought.state is IntentState.SETTLED, bought.problem
            assert bought.settlement is not None
            quoted = bought.attempts[-1].quoted_out
            assert bought.settlement.out_units == quoted - -(-quoted * TAX_BPS // 10_000) == stage.units(wallet)
            cost = bought.settlement.fee_lamports + bought.settlement.rent_lamports
            assert stage.lamports(wallet) == before - SOL - cost
            held = stage.lamports(wallet)
            [sold] = await decided(executor, journal, [stage.selling(wallet, stage.units(wallet), "sell")])
        assert sold.state is IntentState.SETTLED, sold.problem
        assert sold.settlement is not None
        assert sold.settlement.out_units < sold.attempts[-1].quoted_out
        assert stage.lamports(wallet) == held + sold.settlement.out_units - sold.settlement.fee_lamports


async def test_a_sale_of_what_was_frozen_meanwhile_is_not_signed(tmp_path: Path) -> None:
    async with live_stage(freezer=FREEZER.pubkey()) as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet = stage.wallet()
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            [bought] = await decided(executor, journal, [stage.buying(wallet, SOL, "buy")])
            assert bought.state is IntentState.SETTLED, bought.problem
            freeze(stage, wallet)
            held = stage.units(wallet)
            [sold] = await decided(executor, journal, [stage.selling(wallet, held, "sell")])
        assert sold.state is IntentState.FAILED
        assert sold.attempts == ()
        assert '"Custom":17' in sold.problem.replace(" ", "")  # the token program's word for a frozen account
        assert stage.units(wallet) == held
        assert journal.reserved(wallet) == {}
