"""What the desk does about an order that needs the operator: it asks once, waits, and takes the answer."""

import time
from pathlib import Path

import pytest
from tests.support.authenticator import ORIGIN, Authenticator
from tests.support.signer_stage import SignerStage, armed_signer
from tests.support.signing import COLD, KEY, SOL, buy

from trading.errors import SignerUnavailable, SigningRefused
from trading.signing.approving import ASKED_FOR_NS, ApprovingSigner
from trading.signing.client import SignerSocket, SocketSigner

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]


def approving(stage: SignerStage, now_ns: int | None = None) -> ApprovingSigner:
    signer = SocketSigner(SignerSocket(stage.socket, None))
    return ApprovingSigner(signer, time.time_ns if now_ns is None else lambda: now_ns)


async def passkey(stage: SignerStage) -> Authenticator:
    made = Authenticator()
    code = await stage.begin_passkey()
    options = stage.core.passkeys.options(code, [], time.time_ns())
    waiting = stage.core.passkeys.register(code, made.create(options), "", time.time_ns())
    await stage.confirm_passkey(waiting.fingerprint)
    return made


async def test_an_order_that_needs_no_approval_is_signed_at_once(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:
        signer = approving(stage)
        assert await signer.sign(buy(1, amount_in=SOL // 100)) == KEY.sign(buy(1).message)
        assert stage.core.book().approvals == {}
        assert list(await signer.wallets()) == [KEY.address]


async def test_an_order_waits_for_the_operator_and_is_signed_when_he_says_yes(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:
        used, signer = await passkey(stage), approving(stage)
        for _ in range(3):
            with pytest.raises(SignerUnavailable, match="waits for the operator"):
                await signer.sign(buy())
        (asked,) = stage.core.book().approvals
        now_ns = time.time_ns()
        desk = stage.core.approvals()
        desk.approve(asked, used.get(desk.challenge(asked, now_ns)), now_ns)
        assert await signer.sign(buy()) == KEY.sign(buy().message)


async def test_a_no_and_no_answer_in_time_end_it(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:
        signer = approving(stage)
        with pytest.raises(SignerUnavailable):
            await signer.sign(buy())
        (asked,) = stage.core.book().approvals
        stage.core.approvals().refuse(asked, time.time_ns())
        with pytest.raises(SigningRefused) as refused:
            await signer.sign(buy())
        assert refused.value.reasons == ("approval_refused",)
        nearly_over = approving(stage, time.time_ns() - ASKED_FOR_NS + 300_000_000)
        with pytest.raises(SignerUnavailable):
            await nearly_over.sign(buy(2))
        while stage.state(next(reversed(stage.core.book().approvals))) == "awaiting_operator":
            time.sleep(0.01)
        with pytest.raises(SigningRefused, match="expired"):
            await nearly_over.sign(buy(2))


async def test_an_order_that_is_refused_for_more_is_not_put_before_anybody(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:
        for wanted in (buy(amount_in=2 * SOL), buy(message=b"steal"), buy(out_mint=COLD)):
            with pytest.raises(SigningRefused):
                await approving(stage).sign(wanted)
        assert stage.core.book().approvals == {}
