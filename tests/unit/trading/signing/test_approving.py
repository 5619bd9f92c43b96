"""What the desk does about an order that needs the operator: it asks once, waits, and takes the answer."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.authenticator import ORIGIN, Authenticator
from tests.support.signer_stage import SignerStage, armed_signer
from tests.support.signing import COLD, KEY, SOL, buy

from trading.errors import AwaitingOperator, SigningRefused
from trading.model.intent import Answer, ApprovalAsked
from trading.signing.approving import ASKED_FOR_S, ApprovingSigner
from trading.signing.client import SignerSocket, SocketSigner

NS_PER_S = 10**9

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
            with pytest.raises(AwaitingOperator, match="waits for the operator") as waits:
                await signer.sign(buy())
        (asked,) = stage.core.book().approvals
        question = ApprovalAsked(waits.value.approval_id, waits.value.expires_ns)
        assert question == ApprovalAsked(asked, stage.core.book().approvals[asked].order.expires_ns)
        assert await signer.answer_of(question) is Answer.WAITING
        now_ns = time.time_ns()
        desk = stage.core.approvals()
        desk.approve(asked, used.get(desk.challenge(asked, now_ns)), now_ns)
        assert await signer.answer_of(question) is Answer.APPROVED
        assert await signer.sign(buy()) == KEY.sign(buy().message)


async def test_a_no_and_no_answer_in_time_end_it(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:
        signer = approving(stage)
        with pytest.raises(AwaitingOperator):
            await signer.sign(buy())
        (asked,) = stage.core.book().approvals
        stage.core.approvals().refuse(asked, time.time_ns())
        with pytest.raises(SigningRefused) as refused:
            await signer.sign(buy())
        assert refused.value.reasons == ("approval_refused",)
        nearly_over = approving(stage, time.time_ns() - int(ASKED_FOR_S * NS_PER_S) + 300_000_000)
        with pytest.raises(AwaitingOperator):
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


async def test_a_desk_that_starts_anew_does_not_ask_again_and_takes_the_answer_to_its_first_question(
    tmp_path: Path,
) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:
        with pytest.raises(AwaitingOperator) as first:
            await approving(stage).sign(buy())
        with pytest.raises(AwaitingOperator) as second:
            await approving(stage, time.time_ns() + NS_PER_S).sign(buy())
        assert second.value.approval_id == first.value.approval_id
        assert len(stage.core.book().approvals) == 1


async def test_the_operator_is_shown_why_and_a_question_that_needs_no_answer_is_withdrawn(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:
        signer, wanted = approving(stage), replace(buy(), reason="w" * 400)
        with pytest.raises(AwaitingOperator) as waits:
            await signer.sign(wanted)
        question = ApprovalAsked(waits.value.approval_id, waits.value.expires_ns)
        assert stage.core.book().approvals[question.id].order.reason == "w" * 300
        await signer.withdraw(question)
        await signer.withdraw(question)
        assert await signer.answer_of(question) is Answer.REFUSED
        assert await signer.answer_of(ApprovalAsked("0" * 64, 1)) is Answer.UNKNOWN


async def test_a_signer_that_is_locked_or_away_has_not_answered(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:
        signer = approving(stage)
        with pytest.raises(AwaitingOperator) as waits:
            await signer.sign(buy())
        question = ApprovalAsked(waits.value.approval_id, waits.value.expires_ns)
        await stage.core.lock()
        assert await signer.answer_of(question) is Answer.WAITING
        await signer.withdraw(question)
    assert await signer.answer_of(question) is Answer.WAITING


async def test_an_order_that_nobody_may_be_asked_about_is_refused_for_good(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "s", ORIGIN) as stage:

        class Disarmed(SocketSigner):
            async def approvals(self) -> list[dict[str, Any]]:
                stage.core.disarm("between the two")
                return []

        signer = ApprovingSigner(Disarmed(SignerSocket(stage.socket, None)), time.time_ns)
        with pytest.raises(SigningRefused) as refused:
            await signer.sign(buy())
        assert refused.value.reasons == ("not_armed",)
