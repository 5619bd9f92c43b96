"""What the smoke script's real swaps refuse, and when they stop; on a rehearsal chain with a signer of its own."""

import argparse
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from scripts import live_smoke, live_swaps
from scripts.live_ledger import Held, reconciled
from scripts.live_swaps import Wish, carried_out, wish_of
from solders.pubkey import Pubkey
from tests.support.swap_stage import SwapSigner, swap_signer

from trading.config import Sections
from trading.errors import InvalidInput, NotArmed, WrongChain
from trading.model.intent import SOL_MINT, Intent, IntentRecord, IntentState, Settlement

pytestmark = pytest.mark.requirement("T10")

SOL = 10**9
TYPED = "rehearsal 2"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def signer(tmp_path: Path) -> AsyncIterator[SwapSigner]:
    (tmp_path / "state").mkdir()
    async with swap_signer(tmp_path) as made:
        yield made


def wish(signer: SwapSigner, **changes: Any) -> Wish:
    given = {
        "mint": signer.stage.mints["FROG"], "count": 2, "lamports": SOL // 100, "spend_max": SOL // 20,
        "fee_max": 50_000, "slippage_bps": 100, "pause_s": 0,
    }  # fmt: skip
    return Wish(**given | changes)


async def swaps(signer: SwapSigner, wanted: Wish, typed: str = TYPED) -> int:
    return await carried_out(signer.place / "state", signer.sections, wanted, lambda _question: typed)


def history(signer: SwapSigner) -> list[str]:
    return list(signer.stage.rehearsal.cluster.history(signer.wallet))


@pytest.mark.anyio
async def test_two_swaps_are_booked_and_the_wallet_is_where_the_journal_says(
    signer: SwapSigner, capsys: pytest.CaptureFixture[str]
) -> None:
    await signer.arm()
    assert await swaps(signer, wish(signer)) == 0
    said = capsys.readouterr().out
    assert "equal to the lamport and the base unit" in said
    assert [each in said for each in history(signer)] == [True, True]
    [report] = (signer.place / "state").glob("report-*.json")
    told = json.loads(report.read_text(encoding="utf-8"))
    assert (told["is_equal"], told["settled"], told["after"]["units"]) == (True, 2, 0)
    assert not (signer.place / "state" / "plan.json").exists()


@pytest.mark.anyio
@pytest.mark.parametrize("typed", ["", "yes", "rehearsal 20", "live 2"])
async def test_without_the_very_words_nothing_is_swapped(signer: SwapSigner, typed: str) -> None:
    await signer.arm()
    assert await swaps(signer, wish(signer), typed) == 2
    assert history(signer) == []
    assert not (signer.place / "state" / "plan.json").exists()


@pytest.mark.anyio
async def test_what_is_not_armed_or_not_in_the_mandate_is_not_begun(signer: SwapSigner) -> None:
    with pytest.raises(NotArmed, match="not_armed"):
        await swaps(signer, wish(signer))
    await signer.arm(order_lamports_max=SOL // 200, day_lamports_max=SOL // 200, ramp_lamports_max=0)
    with pytest.raises(InvalidInput, match="an order may be of 5000000 lamports; 5000000 lamports of the day"):
        await swaps(signer, wish(signer))
    await signer.arm(approval_above_lamports=SOL // 1_000, mints=(str(Pubkey.new_unique()),))
    with pytest.raises(InvalidInput, match=r"does not name the token .*; such an order waits for an approval"):
        await swaps(signer, wish(signer))
    assert history(signer) == []


@pytest.mark.anyio
async def test_a_chain_that_the_mandate_is_not_for_is_refused(signer: SwapSigner) -> None:
    await signer.arm()
    signer.stage.rehearsal.cluster.genesis_hash = other = str(Pubkey.new_unique())
    with pytest.raises(WrongChain):  # the settings pin another one
        await carried_out(signer.place / "state", _pinned(signer, "11111111111111111111111111111112"), wish(signer))
    with pytest.raises(WrongChain, match="the wallet's key and its mandate are for the chain"):
        await carried_out(signer.place / "state", _pinned(signer, other), wish(signer), lambda _question: TYPED)
    assert history(signer) == []


def _pinned(signer: SwapSigner, genesis_hash: str) -> Sections:
    chain = signer.sections.chain.model_copy(update={"genesis_hash": genesis_hash})
    return signer.sections.model_copy(update={"chain": chain})


@pytest.mark.anyio
async def test_bounds_of_the_mandate_that_would_stop_it_half_way_are_told_before(signer: SwapSigner) -> None:
    await signer.arm(fee_lamports_max=40_000, fee_day_lamports_max=99_999, ramp_trades=1, ramp_lamports_max=SOL // 200)
    with pytest.raises(InvalidInput) as caught:
        await swaps(signer, wish(signer))
    assert caught.value.message.split("; ") == [
        "the first orders may be of 5000000 lamports",
        "an attempt may cost 40000 lamports",
        "99999 lamports of the day's fees are left, 100000 may be needed",
    ]


@pytest.mark.anyio
async def test_the_signer_has_the_last_word(signer: SwapSigner, capsys: pytest.CaptureFixture[str]) -> None:
    await signer.arm()

    def typed(_question: str) -> str:
        (signer.place / "mandate.toml").write_text("name = 'another'")
        return TYPED

    assert await carried_out(signer.place / "state", signer.sections, wish(signer), typed) == 1
    said = capsys.readouterr().out
    assert "not signed: disarmed" in said  # a changed file disarms
    assert "0 of 2 swapped; 5 swaps came to nothing" in said
    assert history(signer) == []


@pytest.mark.anyio
async def test_no_more_than_the_cap_is_ever_gone(signer: SwapSigner, capsys: pytest.CaptureFixture[str]) -> None:
    await signer.arm()
    cap = SOL // 100 + 2 * 50_000 + 2_039_280
    assert await swaps(signer, wish(signer, count=6, spend_max=cap), "rehearsal 6") == 1
    said = capsys.readouterr().out
    assert "with one more buy it could be" in said
    assert "equal to the lamport" in said
    assert len(history(signer)) == 2  # a buy and its sale; the next buy might go beyond
    assert (signer.place / "state" / "plan.json").exists()


@pytest.mark.anyio
async def test_what_somebody_else_did_with_the_wallet_is_a_difference(
    signer: SwapSigner, capsys: pytest.CaptureFixture[str]
) -> None:
    await signer.arm()
    cluster = signer.stage.rehearsal.cluster

    def typed(_question: str) -> str:
        cluster.airdrop(Pubkey.from_string(signer.wallet), 7)
        return TYPED

    assert await carried_out(signer.place / "state", signer.sections, wish(signer), typed) == 1
    assert "+7 unexplained" in capsys.readouterr().out


def _settled(number: int, *, is_buy: bool = True, error: str = "") -> IntentRecord:
    pair = {"in_mint": SOL_MINT, "out_mint": "T"} if is_buy else {"in_mint": "T", "out_mint": SOL_MINT}
    intent = Intent(
        id=f"{number}", key=f"run/{number}", wallet="W", **pair, amount_in=100, min_out=1, slippage_bps_max=1,
        fee_lamports_max=9, attempts_max=1, created_ns=0, deadline_ns=1, is_exit=not is_buy,
    )  # fmt: skip
    amounts = (0, 0) if error else (100, 50) if is_buy else (50, 90)
    settlement = Settlement(intent.id, f"sig{number}", 1, None, *amounts, 5, 0, 0, error)
    return IntentRecord(intent, IntentState.REVERTED if error else IntentState.SETTLED, (), settlement)


def test_each_thing_that_does_not_fit_is_named() -> None:
    records = [_settled(0), _settled(1, is_buy=False), _settled(2, error='"6001"')]
    history = {"sig0": "", "sig1": "", "sig2": '"6001"'}
    before = Held(1_000, 20, 0)
    assert reconciled(before, Held(975, 20, 0), records, history).differences == ()
    off = reconciled(before, Held(976, 20, 1), records, {"sig0": '"6001"', "sig2": '"6001"', "other": ""}).differences
    assert off == (
        "1020 lamports before, -25 by the journal, 996 now: +1 unexplained",
        "0 base units before, +0 by the journal, 1 now: +1 unexplained",
        "sig1 is booked, and not in the wallet's history",
        'sig0 is booked as settled; the chain says "6001"',
        "other is in the wallet's history, and not booked",
    )


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--swaps", "3"), "swaps"),
        (("--swaps", "202"), "swaps"),
        (("--swaps", "2", "--spend-max", "1.1"), "spend_max"),
        (("--swaps", "2", "--sol", "0.05"), "spend_max"),
        (("--swaps", "2", "--fee-max", "4999"), "fee_max"),
        (("--swaps", "2", "--slippage-bps", "301"), "slippage_bps"),
        (("--swaps", "2", "--pause", "-1"), "pause"),
        (("--swaps", "2", "--token", "NOBODY"), "token"),
    ],
)
def test_a_wish_beyond_its_bounds_is_named(words: tuple[str, ...], field: str) -> None:
    parser = argparse.ArgumentParser()
    live_swaps.add_arguments(parser)
    with pytest.raises(InvalidInput) as caught:
        wish_of(parser.parse_args(words), Sections())
    assert caught.value.field == field


def test_swaps_are_refused_without_a_terminal_and_in_ci(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())  # as from a pipe
    words = ["--live", "--swaps", "2", "--state", str(tmp_path / "state")]
    assert live_smoke.main(words, {}) == 2
    assert "not a terminal" in capsys.readouterr().err
    assert live_smoke.main(words, {"CI": "1"}) == 2
    assert "not in CI" in capsys.readouterr().err
    assert live_smoke.main(words[1:], {}) == 2
    assert "--live" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
