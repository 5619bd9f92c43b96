"""What the signer signs beside swaps: to the pinned cold address, up to the day's sum, while armed, and only that."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.signer_parts import SetChain
from tests.support.signing import (
    COLD,
    KEY,
    PASSPHRASE,
    SOL,
    TOKEN,
    SetClock,
    buy,
    key_folder,
    mandate,
    mandate_toml,
    sell,
)
from tests.support.swap_messages import STRANGER, budget, transfer
from tests.support.upkeep_messages import (
    ACCOUNTS,
    COLD_KEY,
    SWEPT,
    close_two,
    closing,
    closing_parts,
    empty,
    message,
    own,
    sweep,
    sweep_parts,
)

from trading.errors import InvalidInput, SigningRefused
from trading.model.chain import SignWanted
from trading.model.intent import IntentKind
from trading.signing.book import Signed
from trading.signing.core import SignerCore, SignerParts, entry_body
from trading.signing.mandate import parse_mandate
from trading.signing.messages import SwapMessages
from trading.signing.remote import LateRemoteKey
from trading.signing.requests import Sign, parsed
from trading.signing.secrets import Passphrase

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

DAY_S = 24 * 3_600
FEE = 6_000


def small(wanted: SignWanted, number: int = 1) -> SignWanted:
    """Return it as another intent, with a small fee; the message differs by its price."""
    parts = sweep_parts() if wanted.kind is IntentKind.SWEEP else closing_parts()
    return replace(
        wanted,
        intent_id=f"{wanted.intent_id}-{number}",
        message=message([*budget(1_000, number), *parts[2:]]),
        fee_lamports_max=FEE,
    )


class Stage:
    def __init__(self, path: Path) -> None:
        folder, _ = key_folder(path)
        self.clock, self.chain = SetClock(), SetChain()
        self.chain.told = [[empty(each) for each in ACCOUNTS]] * 2
        self.path = path / "mandate.toml"
        parts = SignerParts(folder, SwapMessages(), lambda _endpoints: self.chain, LateRemoteKey, self.clock)
        self.core = SignerCore(parts)

    async def arm(self, **changes: Any) -> None:
        if not self.core.is_unlocked:
            await self.core.unlock(Passphrase(PASSPHRASE))
        text = mandate_toml(mandate(**{"sweep_day_lamports_max": SOL, "armed_s_max": 7 * DAY_S, **changes}))
        self.path.write_text(text)
        await self.core.arm(Passphrase(PASSPHRASE), text.encode(), self.path)

    async def refusals(self, wanted: SignWanted) -> tuple[str, ...]:
        with pytest.raises(SigningRefused) as refused:
            await self.core.sign(wanted)
        return refused.value.reasons

    @property
    def signed(self) -> list[Signed]:
        return self.core.book().signed


@pytest.fixture
async def stage(tmp_path: Path) -> Any:
    made = Stage(tmp_path)
    await made.arm()
    yield made
    await made.core.aclose()


async def test_a_sweep_to_the_cold_address_and_empty_accounts_are_signed_and_counted(stage: Stage) -> None:
    assert await stage.core.sign(sweep()) == KEY.sign(sweep().message)
    assert await stage.core.sign(close_two()) == KEY.sign(close_two().message)
    day = stage.core.status()["day"]
    assert day == {"spent_lamports": 0, "fee_lamports": 200_000, "swept_lamports": SWEPT}
    armed = stage.core.status()["armed"]
    assert (armed["cold_address"], armed["sweep_day_lamports_max"]) == (COLD, SOL)


def with_message(wanted: SignWanted, *parts: Any) -> SignWanted:
    return replace(wanted, message=message([*budget(1_000), *parts]))


THEIRS = own(owner=str(STRANGER))
RED_TEAM = {
    "to a stranger": with_message(sweep(to_address=str(STRANGER)), transfer(STRANGER, SWEPT)),
    "to a stranger, said to be cold": with_message(sweep(), transfer(STRANGER, SWEPT)),
    "more than said": with_message(sweep(), transfer(COLD_KEY, SWEPT + 1)),
    "more than a day's": with_message(sweep(amount_in=SOL + 1, min_out=SOL + 1), transfer(COLD_KEY, SOL + 1)),
    "as a swap": sweep(kind=IntentKind.SWAP),
    "as a buy": replace(buy(), message=sweep().message),
    "as a sale": replace(sell(), message=sweep().message),
    "with a swap's mints": sweep(out_mint=TOKEN),
    "of another wallet": sweep(wallet=str(STRANGER)),
    "a fee above the mandate's": sweep(fee_lamports_max=200_001),
    "a stranger's account": close_two([*budget(1_000), closing(THEIRS)], accounts=(THEIRS,)),
    "to the cold address": close_two([*budget(1_000), closing(ACCOUNTS[0], COLD_KEY)], accounts=ACCOUNTS[:1]),
    "a closing with an amount": close_two(amount_in=1),
    "a closing that sends": close_two([*closing_parts(), transfer(COLD_KEY, 1)]),
    "a sweep that closes": sweep([*sweep_parts(), closing(ACCOUNTS[0])], accounts=ACCOUNTS[:1]),
    "a closing said to be a sweep": close_two(kind=IntentKind.SWEEP, to_address=COLD, amount_in=1),
}


@pytest.mark.parametrize("name", list(RED_TEAM))
async def test_whatever_else_is_asked_for_nothing_is_signed(name: str, stage: Stage) -> None:
    assert await stage.refusals(RED_TEAM[name])
    assert stage.signed == []


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (empty(ACCOUNTS[0], amount=b"\1" + bytes(7)), "not_empty"),
        (empty(ACCOUNTS[0], str(STRANGER)), "not_ours"),
        (None, "not_there"),
    ],
)
async def test_one_endpoint_that_says_otherwise_keeps_an_account_open(seen: Any, reason: str, stage: Stage) -> None:
    stage.chain.told = [stage.chain.told[0], [seen, empty(ACCOUNTS[1])]]
    assert await stage.refusals(close_two()) == (reason,)
    assert stage.signed == []


async def test_a_day_has_one_sum_of_sweeps_over_any_24_hours_apart_from_that_of_buys(stage: Stage) -> None:
    await stage.core.sign(small(sweep(), 1))
    stage.clock.advance(DAY_S - 1)
    await stage.core.sign(small(sweep(), 2))
    assert await stage.refusals(small(sweep(), 3)) == ("sweep_day",)
    stage.clock.advance(2)
    await stage.core.sign(small(sweep(), 3))
    assert stage.core.book().spent_since(0)[0] == 0
    assert stage.core.book().swept_since(0) == 3 * SWEPT


async def test_a_mandate_without_a_sum_for_sweeps_allows_none_but_closes_accounts(stage: Stage) -> None:
    await stage.arm(sweep_day_lamports_max=0)
    assert await stage.refusals(sweep()) == ("sweep_day",)
    assert await stage.core.sign(close_two())


async def test_neither_is_signed_when_it_is_not_armed_any_more(stage: Stage) -> None:
    stage.core.disarm("a test")
    for wanted in (sweep(), close_two()):
        assert await stage.refusals(wanted) == ("disarmed",)
    await stage.arm()
    stage.clock.advance(7 * DAY_S)
    for wanted in (sweep(), close_two()):
        assert await stage.refusals(wanted) == ("arming_ended",)


async def test_fees_of_a_day_bind_upkeep_too(stage: Stage) -> None:
    await stage.arm(fee_lamports_max=100_000, fee_day_lamports_max=150_000)
    await stage.core.sign(close_two())
    assert await stage.refusals(sweep()) == ("fee_day",)


async def test_one_intent_keeps_its_wish_and_has_one_message_alive(stage: Stage) -> None:
    first = small(sweep())
    assert await stage.core.sign(first) == await stage.core.sign(first)
    assert len(stage.signed) == 1
    second = replace(first, message=small(sweep(), 2).message, attempt=2)
    assert await stage.refusals(second) == ("attempt_alive",)
    stage.chain.pass_blocks(200)
    assert await stage.refusals(replace(second, amount_in=SWEPT - 1)) == ("intent_changed", "amount_in")
    assert await stage.core.sign(second)
    closed = small(close_two())
    await stage.core.sign(closed)
    stage.chain.pass_blocks(200)
    other = replace(closed, accounts=(ACCOUNTS[1],), message=message([*budget(1_000), closing(ACCOUNTS[1])]))
    stage.chain.told = [[empty(ACCOUNTS[1])]]
    assert await stage.refusals(other) == ("intent_changed",)


async def test_what_was_signed_is_counted_after_a_restart_also_what_older_versions_wrote(stage: Stage) -> None:
    await stage.core.sign(swept := small(sweep()))
    await stage.core.lock()
    await stage.core.unlock(Passphrase(PASSPHRASE))
    assert stage.core.book().swept_since(0) == SWEPT
    entry = stage.signed[0]
    assert (entry.kind, entry.side, entry.what) == (IntentKind.SWEEP, None, swept.to_address)
    old = {key: value for key, value in entry_body(entry).items() if key not in {"kind", "what"}} | {"side": "buy"}
    book = stage.core.book()
    book._signed(entry.ts_ns, old)
    assert book.signed[-1].kind is IntentKind.SWAP


def test_a_request_carries_every_field_and_an_older_one_is_a_swap() -> None:
    for wanted in (sweep(), close_two(), buy(), sell()):
        assert parsed(Sign, Sign.body_of(wanted)).value() == wanted
    body = Sign.body_of(buy())
    for name in ("kind", "to_address", "accounts"):
        del body[name]
    assert parsed(Sign, body).value() == buy()
    with pytest.raises(InvalidInput):
        parsed(Sign, Sign.body_of(sweep()) | {"kind": "donation"})


def test_the_mandates_file_says_how_much_may_be_swept() -> None:
    text = mandate_toml(mandate(sweep_day_lamports_max=5 * SOL))
    assert parse_mandate(text.encode()).sweep_day_lamports_max == 5 * SOL
    without = "\n".join(line for line in text.splitlines() if not line.startswith("sweep_day"))
    assert parse_mandate(without.encode()).sweep_day_lamports_max == 0
