"""Every bent swap at the door of an armed signer with the real reading: nothing of it is signed, the good one is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.doubles.signer_parts import SetChain
from tests.support.bent_swaps import (
    BENT,
    MARKET,
    TIP,
    bent,
    hidden,
    nobodys,
    of_the_next_version,
    too_large,
    wide,
)
from tests.support.signing import KEY, PASSPHRASE, SOL, SetClock, key_folder, mandate_toml
from tests.support.swap_messages import STRANGER

from trading.errors import SigningRefused
from trading.model.chain import SignWanted
from trading.signing.core import SignerCore, SignerLimits, SignerParts
from trading.signing.messages import SwapMessages
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]
LIMITS = SignerLimits(signs_max=10_000, refusals_noted_max=10_000)


def offers(chain: SetChain) -> dict[str, bytes]:
    """Return what a router that cheats may hand in, in one form or the other."""
    made = {name: bent(name, ("versioned", "legacy")[number % 2], chain) for number, name in enumerate(BENT)}
    made["another pays"] = MARKET.message(payer=STRANGER)
    made["no packet holds it"] = too_large()
    made["the next version"] = of_the_next_version(MARKET.parts())
    made["nobody's"] = nobodys()
    made["nothing"] = b""
    made["a table that says another payee"] = hidden(TIP, chain)
    return made


def wish(message: bytes, name: str) -> SignWanted:
    return replace(MARKET.wanted(message), intent_id=f"red {name}", last_valid_block_height=1_100)


async def refusals(core: SignerCore, wanted: SignWanted) -> set[str]:
    """Return why it was not signed, nothing for what was."""
    try:
        await core.sign(wanted)
    except SigningRefused as refused:
        return set(refused.reasons)
    return set()


async def test_of_all_bent_swaps_an_armed_signer_signs_none(tmp_path: Path) -> None:
    chain, clock = SetChain(), SetClock()
    folder, _ = key_folder(tmp_path)
    core = SignerCore(SignerParts(folder, SwapMessages(), lambda _all: chain, LateRemoteKey, clock, limits=LIMITS))
    path = tmp_path / "mandate.toml"
    allowed = wide(order_lamports_max=SOL, day_lamports_max=10 * SOL, fee_day_lamports_max=SOL)
    path.write_text(mandate_toml(allowed))
    try:
        await core.unlock(Passphrase(PASSPHRASE))
        await core.arm(Passphrase(PASSPHRASE), path.read_bytes(), path)
        told = {name: await refusals(core, wish(message, name)) for name, message in offers(chain).items()}
        good = MARKET.message()
        assert await core.sign(wish(good, "none")) == KEY.sign(good)
    finally:
        await core.aclose()
    assert [name for name, reasons in told.items() if not reasons] == []
    assert {name: told[name] for name in BENT} == {name: reasons for name, (_, reasons) in BENT.items()}
    noted = [json.loads(line) for line in (folder.folder / "audit.jsonl").read_text().splitlines()]
    kinds = [each["kind"] for each in noted]
    assert (kinds.count("signed"), kinds.count("refused")) == (1, len(told))
