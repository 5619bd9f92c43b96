"""A router that cheats, from its HTTP answer to the signer's door: nothing that it twisted is ever signed.

Every part is the real one: client, chain, second price, simulation, reading. The signer signs whatever reaches it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.support.live_stage import RULES, KeySigner, LiveStage, live_stage

from trading.errors import RouteRefused, SigningRefused
from trading.execution.preparing import PreparingParts, SwapPreparer
from trading.execution.transactions import token_account
from trading.execution.verifier import TOKEN_PROGRAMS
from trading.model.chain import AccountSeen, PricePoint
from trading.model.intent import Attempt, Intent, IntentRecord, IntentState
from trading.ports import Chain
from trading.rehearsal.jupiter_faults import Fault
from trading.rehearsal.jupiter_parts import MALICE

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]
HARMLESS = {"oversized_fee"}
"""The router's compute price is advice: what is signed has our own, within our own bound."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Team:
    """The desk's side: ``wallet`` holds SOL and frogs."""

    stage: LiveStage
    wallet: str

    def intent(self, *, is_buy: bool) -> Intent:
        return (
            self.stage.buying(self.wallet, 10**9, "red") if is_buy else self.stage.selling(self.wallet, 10**12, "red")
        )

    async def prepare(self, intent: Intent) -> Attempt:
        return await self.stage.preparer.prepare(IntentRecord(intent, IntentState.OPEN))

    def land(self, attempt: Attempt) -> object:
        """Return the chain's error, None for success."""
        assert self.stage.market.cluster.submit(attempt.raw) == attempt.signature
        self.stage.market.cluster.tick(2)
        return self.stage.market.cluster.executed[attempt.signature].error


@pytest.fixture(scope="module")
async def team() -> AsyncIterator[Team]:
    async with live_stage() as stage:
        made = Team(stage, stage.wallet(50 * 10**9))
        first = await made.prepare(stage.buying(made.wallet, 3 * 10**9, "first"))
        assert made.land(first) is None
        yield made


@pytest.fixture
def signer(team: Team) -> KeySigner:
    """The signer that has signed nothing yet, and a router that is honest again."""
    team.stage.market.server.faults.clear()
    team.stage.signer.signed.clear()
    return team.stage.signer


@pytest.mark.parametrize("is_buy", [True, False], ids=["buy", "sell"])
async def test_an_honest_offer_is_signed_and_lands(team: Team, signer: KeySigner, is_buy: bool) -> None:
    attempt = await team.prepare(team.intent(is_buy=is_buy))
    assert len(signer.signed) == 1
    assert team.land(attempt) is None


@pytest.mark.parametrize("is_buy", [True, False], ids=["buy", "sell"])
@pytest.mark.parametrize("kind", sorted(set(MALICE) - HARMLESS))
async def test_a_twisted_offer_is_never_signed(team: Team, signer: KeySigner, kind: str, is_buy: bool) -> None:
    faults = team.stage.market.server.faults
    faults.put("build", Fault(kind), count=5)
    with pytest.raises((RouteRefused, SigningRefused)):
        await team.prepare(team.intent(is_buy=is_buy))
    assert signer.signed == []
    assert faults.left()["build"][0]["count"] < 5  # the twisted offer was the one that came


@pytest.mark.parametrize("kind", sorted(HARMLESS))
async def test_a_price_that_is_only_advised_is_signed_within_our_own_bound(
    team: Team, signer: KeySigner, kind: str
) -> None:
    team.stage.market.server.faults.put("build", Fault(kind))
    intent = team.intent(is_buy=True)
    attempt = await team.prepare(intent)
    assert attempt.fee_lamports <= intent.fee_lamports_max
    before = team.stage.lamports(team.wallet)
    assert team.land(attempt) is None
    assert before - team.stage.lamports(team.wallet) == intent.amount_in + attempt.fee_lamports


async def test_an_offer_far_from_the_second_price_is_not_signed(team: Team, signer: KeySigner) -> None:
    class Dearer:
        name = "dearer"

        async def price(self, mint: str) -> PricePoint | None:
            now_ns = parts.now_ns()
            have, want = team.stage.market.pool.reserves(team.stage.market.cluster, team.stage.market.pool.mints[0])
            return PricePoint(mint, self.name, 2 * have, want, now_ns)

    parts = team.stage.preparer._parts
    bent = PreparingParts(parts.chain, parts.router, Dearer(), parts.signer, parts.mint_problems, parts.now_ns)
    with pytest.raises(RouteRefused) as refused:
        await SwapPreparer(bent, RULES).prepare(IntentRecord(team.intent(is_buy=True), IntentState.OPEN))
    assert refused.value.reason == "price_deviates"
    assert signer.signed == []


@dataclass
class Counted:
    """The chain, with what was asked of it. ``owners``: the program that a mint's account is said to have."""

    chain: Chain
    asked: list[tuple[str, ...]] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]:
        self.asked.append(tuple(addresses))
        found = await self.chain.accounts(addresses)
        return {
            key: replace(seen, owner=self.owners[key]) if seen is not None and key in self.owners else seen
            for key, seen in found.items()
        }

    def __getattr__(self, name: str) -> object:
        return getattr(self.chain, name)


async def test_mint_and_own_accounts_are_one_question_once_the_program_is_known(team: Team, signer: KeySigner) -> None:
    parts = team.stage.preparer._parts
    counted = Counted(parts.chain)
    preparer = SwapPreparer(replace(parts, chain=counted), RULES)  # type: ignore[arg-type]
    intent = team.intent(is_buy=True)
    await preparer.prepare(IntentRecord(intent, IntentState.OPEN))
    first, counted.asked[:] = [each for each in counted.asked if intent.wallet in each or intent.out_mint in each], []
    await preparer.prepare(IntentRecord(intent, IntentState.OPEN))
    again = [each for each in counted.asked if intent.wallet in each or intent.out_mint in each]
    assert [intent.out_mint in each for each in first] == [True, False]
    assert [each[:2] for each in again] == [(intent.out_mint, intent.wallet)]


async def test_a_mint_under_another_program_has_its_accounts_looked_up_anew(team: Team, signer: KeySigner) -> None:
    """A Token-2022 mint can be closed and made again: the address of a wallet's account follows from the program."""
    parts = team.stage.preparer._parts
    counted = Counted(parts.chain)
    preparer = SwapPreparer(replace(parts, chain=counted), RULES)  # type: ignore[arg-type]
    intent = team.intent(is_buy=True)
    await preparer.prepare(IntentRecord(intent, IntentState.OPEN))
    counted.owners[intent.out_mint] = TOKEN_PROGRAMS[1]
    counted.asked.clear()
    signer.signed.clear()
    with pytest.raises((RouteRefused, SigningRefused)):
        await preparer.prepare(IntentRecord(intent, IntentState.OPEN))
    wallet_asked = [each for each in counted.asked if intent.wallet in each]
    assert len(wallet_asked) == 2
    assert wallet_asked[1][2] == token_account(intent.wallet, intent.out_mint, TOKEN_PROGRAMS[1])
    assert wallet_asked[0][3] != wallet_asked[1][2]
    assert signer.signed == []
