"""The signer without its socket: unlocking, arming, signing, and what survives a restart."""

import base64
import json
import logging
import os
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from solders.keypair import Keypair
from tests.doubles.signer_parts import SetChain, WordCheck
from tests.support.signing import (
    COLD,
    KEY,
    NS_PER_S,
    PASSPHRASE,
    SOL,
    WALLET,
    SetClock,
    buy,
    key_folder,
    mandate,
    mandate_toml,
    sell,
)

from trading.errors import InvalidInput, JournalUnavailable, NotArmed, SignerUnavailable, SigningRefused, WrongChain
from trading.model.mandate import MAINNET_GENESIS, Mandate
from trading.signing.core import SignerCore, SignerLimits, SignerParts
from trading.signing.keys import KeyFolder, WrongPassphrase
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase, SecretKey

pytestmark = pytest.mark.anyio


class Stage:
    """A folder, a clock, a chain, a mandate's file: what stays when the signer's process ends."""

    def __init__(self, path: Path) -> None:
        self.folder = KeyFolder(path / "signer", log2_n=10)
        self.path = path / "mandate.toml"
        self.clock = SetClock()
        self.chain = SetChain()
        self.limits = SignerLimits()
        key_folder(path)

    @asynccontextmanager
    async def signer(self, *, unlocked: bool = True) -> AsyncIterator[SignerCore]:
        parts = SignerParts(
            folder=self.folder,
            check=WordCheck(),
            chain=lambda _endpoints: self.chain,
            remote=LateRemoteKey,
            now_ns=self.clock,
            limits=self.limits,
        )
        core = SignerCore(parts)
        try:
            if unlocked:
                await core.unlock(Passphrase(PASSPHRASE))
            yield core
        finally:
            await core.aclose()

    async def arm(self, core: SignerCore, wanted: Mandate | None = None, passphrase: str = PASSPHRASE) -> None:
        text = mandate_toml(wanted or mandate())
        self.path.write_text(text)
        await core.arm(Passphrase(passphrase), text.encode(), self.path)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder.folder / "audit.jsonl").read_text().splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def refusals(core: SignerCore, wanted: object) -> tuple[str, ...]:
    with pytest.raises(SigningRefused) as refused:
        await core.sign(wanted)  # type: ignore[arg-type]
    return refused.value.reasons


async def test_an_armed_signer_signs_the_message_it_was_given(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        assert await core.sign(buy()) == KEY.sign(buy().message)
        assert core.wallets() == [WALLET]


async def test_a_locked_signer_signs_nothing_and_says_so(stage: Stage) -> None:
    async with stage.signer(unlocked=False) as core:
        assert core.status()["why_not"] == "locked"
        for wanted in (buy(), sell()):
            assert await refusals(core, wanted) == ("locked",)


async def test_a_signer_that_was_never_armed_signs_nothing(stage: Stage) -> None:
    async with stage.signer() as core:
        assert await refusals(core, sell()) == ("not_armed",)
        with pytest.raises(NotArmed):
            core.mandate()


async def test_what_was_signed_is_remembered_after_a_restart(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        await core.sign(buy(1, amount_in=SOL))
        await core.sign(buy(2, amount_in=SOL))
    async with stage.signer() as core:
        assert core.status()["day"] == {"spent_lamports": 2 * SOL, "fee_lamports": 200_000, "swept_lamports": 0}
        assert await refusals(core, buy(3)) == ("day_size",)
        assert await refusals(core, buy(1, amount_in=SOL, message=b"swap b")) == ("attempt_alive", "day_size")


async def test_an_arming_survives_a_restart_with_the_passphrase_and_no_longer_than_it_was_for(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
    stage.clock.advance(23 * 3_600)
    async with stage.signer() as core:
        await core.sign(buy())
        stage.clock.advance(3_600)
        assert core.status()["why_not"] == "arming_ended"
        assert await refusals(core, buy(2)) == ("arming_ended",)
        await core.sign(sell())


async def test_a_wrong_passphrase_neither_unlocks_nor_arms(stage: Stage) -> None:
    async with stage.signer(unlocked=False) as core:
        with pytest.raises(WrongPassphrase):
            await core.unlock(Passphrase("wrong wrong wrong"))
        assert not core.is_unlocked
        await core.unlock(Passphrase(PASSPHRASE))
        with pytest.raises(WrongPassphrase):
            await stage.arm(core, passphrase="wrong wrong wrong")
        assert core.status()["armed"] is None
    assert [line["kind"] for line in stage.lines()].count("passphrase_refused") == 2


async def test_many_wrong_passphrases_cost_time_even_for_the_right_one(stage: Stage) -> None:
    async with stage.signer(unlocked=False) as core:
        for _ in range(5):
            with pytest.raises(WrongPassphrase):
                await core.unlock(Passphrase("wrong wrong wrong"))
        with pytest.raises(InvalidInput, match="wait"):
            await core.unlock(Passphrase(PASSPHRASE))
        stage.clock.advance(61)
        await core.unlock(Passphrase(PASSPHRASE))


async def test_the_passphrase_is_wiped_after_it_was_tried(stage: Stage) -> None:
    typed = Passphrase(PASSPHRASE)
    async with stage.signer(unlocked=False) as core:
        await core.unlock(typed)
    assert typed.reveal() == b""


async def test_a_changed_file_disarms_for_good(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        armed = stage.path.read_text()
        stage.path.write_text(armed.replace("order_lamports_max = 1000000000", "order_lamports_max = 2000000000"))
        assert await refusals(core, buy(amount_in=2 * SOL)) == ("order_size", "disarmed", "approval_missing")
        stage.path.write_text(armed)
        assert await refusals(core, buy()) == ("disarmed",)
        await core.sign(sell())
    async with stage.signer() as core:
        assert await refusals(core, buy()) == ("disarmed",)
        await stage.arm(core)
        await core.sign(buy())


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.chmod(0) or path.write_text("")])
async def test_a_mandate_that_is_gone_disarms(stage: Stage, harm: Callable[[Path], object]) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        harm(stage.path)
        assert core.status()["why_not"] in {"mandate_changed", "disarmed"}
        assert await refusals(core, buy()) == ("disarmed",)


async def test_what_is_armed_is_what_the_file_says(stage: Stage) -> None:
    async with stage.signer() as core:
        stage.path.write_text(mandate_toml(mandate()))
        other = mandate_toml(mandate(order_lamports_max=2 * SOL)).encode()
        with pytest.raises(InvalidInput, match="does not say what is to be armed"):
            await core.arm(Passphrase(PASSPHRASE), other, stage.path)


async def test_a_mandate_for_another_chain_than_its_keys_and_endpoints_is_not_armed(stage: Stage) -> None:
    async with stage.signer() as core:
        with pytest.raises(InvalidInput, match="its key is for the chain"):
            await stage.arm(core, mandate(genesis_hash=MAINNET_GENESIS))
        with pytest.raises(InvalidInput, match="no key of this wallet"):
            await stage.arm(core, mandate(wallets=(WALLET, MAINNET_GENESIS)))
        stage.chain.genesis = MAINNET_GENESIS
        with pytest.raises(WrongChain):
            await stage.arm(core)
        assert core.status()["armed"] is None


async def test_a_key_of_another_chain_never_signs_for_this_one(stage: Stage) -> None:
    async with stage.signer() as core:
        root = stage.folder.unlock(Passphrase(PASSPHRASE))
        live = SecretKey(bytes([5]) * 32, MAINNET_GENESIS)
        stage.folder.add_seed(root, live)
        await core.unlock(Passphrase(PASSPHRASE))
        await stage.arm(core)
        assert await refusals(core, buy(wallet=live.address)) == ("key_of_another_chain",)


async def test_an_expired_mandate_is_not_armed(stage: Stage) -> None:
    async with stage.signer() as core:
        with pytest.raises(InvalidInput, match="past"):
            await stage.arm(core, mandate(expires_ns=stage.clock.now_ns // NS_PER_S * NS_PER_S))


async def test_a_clock_set_back_neither_arms_nor_signs(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        stage.clock.advance(-3_600)
        assert await refusals(core, buy()) == ("clock_set_back",)
        with pytest.raises(InvalidInput, match="clock"):
            await stage.arm(core)


async def test_a_message_that_is_not_the_swap_it_is_said_to_be_is_refused(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        assert await refusals(core, buy(message=b"transfer everything")) == ("unparseable",)
        assert core.status()["day"]["spent_lamports"] == 0


async def test_nothing_is_signed_while_the_chain_cannot_be_seen(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        stage.chain.is_gone = True
        with pytest.raises(SignerUnavailable, match="cannot see the chain"):
            await core.sign(buy())


async def test_messages_are_rated(stage: Stage) -> None:
    stage.limits = replace(stage.limits, signs_max=3)
    async with stage.signer() as core:
        await stage.arm(core)
        for _ in range(3):
            await core.sign(buy())
        assert await refusals(core, buy()) == ("rate",)
        stage.clock.advance(60)
        await core.sign(buy())


async def test_refusals_are_noted_up_to_a_bound(stage: Stage) -> None:
    stage.limits = replace(stage.limits, refusals_noted_max=4)
    async with stage.signer() as core:
        await stage.arm(core)
        for _ in range(10):
            assert await refusals(core, buy(wallet=COLD)) == ("wallet",)
    noted = [line for line in stage.lines() if line["kind"] == "refused"]
    assert len(noted) == 4


async def test_what_cannot_be_written_down_is_not_signed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage.signer() as core:
        await stage.arm(core)

        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", full)
            with pytest.raises(JournalUnavailable, match="No space left"):
                await core.sign(buy())
        assert core.status()["day"]["spent_lamports"] == 0
        await core.sign(buy())


async def test_disarming_is_open_to_anybody_also_while_locked(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        core.disarm("an agent was afraid")
        assert core.status()["why_not"] == "disarmed"
        await stage.arm(core)
    async with stage.signer(unlocked=False) as core:
        core.disarm("an agent was afraid")
        core.disarm("again")
        await core.unlock(Passphrase(PASSPHRASE))
        assert await refusals(core, buy()) == ("disarmed",)
    assert [line["kind"] for line in stage.lines()].count("disarmed") == 2


async def test_locking_forgets_the_keys(stage: Stage) -> None:
    async with stage.signer() as core:
        await stage.arm(core)
        await core.lock()
        assert await refusals(core, sell()) == ("locked",)
        await core.unlock(Passphrase(PASSPHRASE))
        await core.sign(sell())


@pytest.mark.requirement("T10")
async def test_no_record_log_error_or_status_holds_key_material(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Everything that can be printed after a run at debug level, with failures of every kind in it."""
    caplog.set_level(logging.DEBUG)
    told = []
    async with stage.signer(unlocked=False) as core:
        for passphrase in (PASSPHRASE + "!", PASSPHRASE):
            try:
                await core.unlock(Passphrase(passphrase))
            except WrongPassphrase:
                told.append(traceback.format_exc())
        await stage.arm(core)
        told += [repr(core), str(await core.sign(buy())), json.dumps(core.status())]
        for wanted in (buy(wallet=COLD), buy(2, message=b"steal"), buy(3, amount_in=9 * SOL)):
            try:
                await core.sign(wanted)
            except SigningRefused:
                told.append(traceback.format_exc())
        stage.chain.is_gone = True
        try:
            await core.sign(buy(4))
        except SignerUnavailable:
            told.append(traceback.format_exc())
        told += [repr(vars(core)), repr(os.environ)]
    files = [path.read_text() for path in stage.folder.folder.rglob("*") if path.is_file()]
    text = "\n".join([*told, *files, caplog.text])
    seed = KEY.seed_for_storage()
    pair = Keypair.from_seed(seed)
    spelled = {
        PASSPHRASE,
        seed.hex(),
        base64.b64encode(seed).decode(),
        base64.urlsafe_b64encode(seed).decode(),
        str(list(seed)),
        str(seed),
        str(pair),
        json.dumps(list(bytes(pair))),
    }
    assert KEY.address in text
    assert [each for each in spelled if each in text] == []
