"""Chance against the machine: dropped, mined and reorganised blocks, restarts, cancellations and clocks in any order.
Whatever happens, each intent gives its amount once or not at all, and the books say which."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.evm import Evm, evm_running
from tests.support.evm_stage import ENDS, EvmStage, staged

from trading.adapters.evm.journal import SqlEvmJournal
from trading.errors import ChainUnavailable
from trading.model.evm import TOLD, EvmState, PoolKind

pytestmark = pytest.mark.anyio
SEEDS = (0, 1, 2, 3, 4, 238)
ACTS, LEGS, AMOUNT = 36, 3, 10**17


@pytest.fixture(scope="module")
def chain() -> Iterator[Evm]:
    with evm_running() as evm:
        yield evm


def _told(stage: EvmStage) -> set[str]:
    """Return the intents whose outcome was told, those of allowances among them."""
    told = {"confirmed", "reverted", "cancelled"}
    return {intent_id for _, intent_id, kind, _ in stage.journal.events() if kind in told}


async def _act(stage: EvmStage, chance: random.Random, kept: list[tuple[str, set[str]]]) -> EvmStage:
    """Do something that happens to a desk, or to a chain."""
    evm, legs = stage.evm, [f"evm-leg-{number}" for number in range(LEGS)]
    known = [stage.journal.record(each) for each in legs]
    match chance.choice(["step", "step", "step", "mine", "mine", "drop", "late", "restart", "cancel", "keep", "back"]):
        case "step":
            # As its lane does: the first that is not over, and whatever is watched.
            under_way = [each for each in known if each.state not in ENDS][:1]
            for each in [*under_way, *(each for each in known if each.is_watched)]:
                try:
                    await stage.executor.step(each.intent.id)
                except ChainUnavailable:
                    continue
        case "mine":
            evm.mine(chance.randrange(1, 3))
        case "drop":
            for each in (attempt for record in known for attempt in record.attempts[-1:]):
                evm.rpc("anvil_dropTransaction", each.tx_hash)
        case "late":
            stage.clock.ahead_s += 11
        case "restart":
            return stage.rebuilt()
        case "cancel" if chance.random() < 0.3:
            await stage.executor.cancel(chance.choice(legs))
        case "keep":
            kept[:] = [(evm.rpc("evm_snapshot"), _told(stage))]
        case "back" if kept and kept[0][1] == _told(stage):
            # A reorganisation takes back what was not told yet; that of what was told is for a person.
            evm.rpc("evm_revert", kept.pop()[0])
            evm.rpc("evm_setAutomine", False)
    return stage


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_each_swap_happens_once_or_not_at_all(chain: Evm, tmp_path: Path, seed: int) -> None:
    chance, kept = random.Random(seed), list[tuple[str, set[str]]]()
    with chain.undone():
        chain.rpc("evm_setAutomine", False)
        async with staged(chain, tmp_path) as stage:
            stage.allow(2 * AMOUNT)  # one of three finds none, and makes its own
            before = stage.holdings()
            for number in range(LEGS):
                kind = chance.choice(list(PoolKind))
                wish = stage.intent(f"leg-{number}", kind, amount_in=AMOUNT, min_out=1)
                stage.journal.open(replace(wish, id=f"evm-leg-{number}"))
            for _ in range(ACTS):
                stage = await _act(stage, chance, kept)
            done = [await stage.until(f"evm-leg-{number}") for number in range(LEGS)]
            assert EvmState.NEEDS_REVIEW not in {each.state for each in done}, [each.problem for each in done]
            told = [each.settlement for each in done if each.state in TOLD]
            after = stage.holdings()
            assert before[0] - after[0] == AMOUNT * len(told)
            assert after[1] - before[1] == sum(each.amount_out for each in told if each is not None)
            nonces = [each.nonce for each in done if each.nonce is not None]
            assert len(set(nonces)) == len(nonces)


async def test_a_desk_that_forgets_what_it_signed_swaps_twice_and_is_seen(chain: Evm, tmp_path: Path) -> None:
    """The control: what the chance above holds the machine to is broken by a machine without its journal."""
    with chain.undone():
        chain.rpc("evm_setAutomine", False)
        async with staged(chain, tmp_path) as stage:
            stage.allow(2 * AMOUNT)
            before = stage.holdings()
            await stage.carried(stage.intent(amount_in=AMOUNT))
            forgetful = stage.rebuilt(journal=SqlEvmJournal.at(tmp_path / "other.db", stage.clock.now_ns))
            await forgetful.carried(stage.intent(amount_in=AMOUNT))
            assert before[0] - stage.holdings()[0] == 2 * AMOUNT
