"""Approval by passkey: registered once on the operator's word, given once, for exactly one order."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.signer_parts import SetChain, WordCheck
from tests.support.authenticator import ORIGIN, USER_PRESENT, Authenticator
from tests.support.signing import (
    COLD,
    NS_PER_S,
    OTHER_TOKEN,
    PASSPHRASE,
    SOL,
    SetClock,
    buy,
    key_folder,
    mandate,
    mandate_toml,
)

from trading.errors import InvalidInput, SigningRefused
from trading.signing.book import ApprovalOrder, ApprovalState
from trading.signing.core import SignerCore, SignerParts
from trading.signing.keys import WrongPassphrase
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]


class Desk:
    """An armed signer whose buys above a hundredth of a SOL need an approval, and the operator's passkey."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = SetClock()
        self.folder, _ = key_folder(path)
        self.authenticator = Authenticator()
        self.core = self._signer()

    def _signer(self) -> SignerCore:
        parts = SignerParts(
            self.folder, WordCheck(), lambda _endpoints: SetChain(), LateRemoteKey, self.clock, origins=(ORIGIN,)
        )
        return SignerCore(parts)

    async def start(self) -> None:
        await self.core.unlock(Passphrase(PASSPHRASE))
        text = mandate_toml(mandate(approval_above_lamports=SOL // 100))
        (self.path / "mandate.toml").write_text(text)
        await self.core.arm(Passphrase(PASSPHRASE), text.encode(), self.path / "mandate.toml")

    async def restart(self) -> None:
        await self.core.aclose()
        self.core = self._signer()
        await self.core.unlock(Passphrase(PASSPHRASE))

    async def register(self, authenticator: Authenticator | None = None) -> None:
        used = authenticator or self.authenticator
        code = await self.core.begin_passkey(Passphrase(PASSPHRASE))
        options = self.core.passkeys.options(code, [], self.clock())
        waiting = self.core.passkeys.register(code, used.create(options), "mine", self.clock())
        await self.core.confirm_passkey(Passphrase(PASSPHRASE), waiting.fingerprint)

    def order(self, number: int = 1, **changes: Any) -> ApprovalOrder:
        wanted = buy(number)
        made = ApprovalOrder(
            intent_id=wanted.intent_id,
            wallet=wanted.wallet,
            in_mint=wanted.in_mint,
            out_mint=wanted.out_mint,
            amount_in=wanted.amount_in,
            min_out=wanted.min_out,
            fee_lamports_max=wanted.fee_lamports_max,
            expires_ns=self.clock() + 600 * NS_PER_S,
        )
        return replace(made, **changes)

    def ask(self, order: ApprovalOrder) -> str:
        return self.core.approvals().ask(order, self.core.mandate(), self.clock()).id

    def challenge(self, approval_id: str) -> dict[str, Any]:
        return self.core.approvals().challenge(approval_id, self.clock())

    def approve(self, approval_id: str, credential: dict[str, Any]) -> ApprovalState:
        return self.core.approvals().approve(approval_id, credential, self.clock()).state

    def state(self, approval_id: str) -> ApprovalState:
        found = self.core.book().approval(approval_id, self.clock())
        assert found is not None
        return found.state


@pytest.fixture
async def desk(tmp_path: Path) -> Any:
    made = Desk(tmp_path)
    await made.start()
    yield made
    await made.core.aclose()


async def test_an_order_waits_is_approved_by_the_passkey_signed_and_done(desk: Desk) -> None:
    await desk.register()
    with pytest.raises(SigningRefused, match="approval_missing"):
        await desk.core.sign(buy())
    asked = desk.ask(desk.order())
    assert desk.state(asked) is ApprovalState.AWAITING_OPERATOR
    credential = desk.authenticator.get(desk.challenge(asked))
    assert desk.approve(asked, credential) is ApprovalState.APPROVED
    await desk.core.sign(buy())
    assert desk.state(asked) is ApprovalState.DONE
    with pytest.raises(SigningRefused, match="approval_missing"):
        await desk.core.sign(buy(2))


async def test_an_approval_and_its_passkey_survive_a_restart_and_a_challenge_does_not(desk: Desk) -> None:
    await desk.register()
    first, second = desk.ask(desk.order(1)), desk.ask(desk.order(2))
    desk.approve(first, desk.authenticator.get(desk.challenge(first)))
    late = desk.authenticator.get(desk.challenge(second))
    await desk.restart()
    await desk.core.sign(buy(1))
    with pytest.raises(InvalidInput, match="no challenge"):
        desk.approve(second, late)
    assert desk.approve(second, desk.authenticator.get(desk.challenge(second))) is ApprovalState.APPROVED


async def test_an_answer_is_good_once_and_for_its_own_order_alone(desk: Desk) -> None:
    await desk.register()
    first, second = desk.ask(desk.order(1)), desk.ask(desk.order(2))
    answer = desk.authenticator.get(desk.challenge(first))
    desk.challenge(second)
    with pytest.raises(InvalidInput, match="no answer of that passkey"):
        desk.approve(second, answer)
    assert desk.approve(first, answer) is ApprovalState.APPROVED
    with pytest.raises(InvalidInput, match="does not wait"):
        desk.approve(first, answer)
    assert desk.state(second) is ApprovalState.AWAITING_OPERATOR


def from_another_port(used: Authenticator) -> None:
    used.origin = "http://localhost:9999"


def from_another_site(used: Authenticator) -> None:
    used.origin, used.rp_id = "https://evil.example", "evil.example"


def unverified(used: Authenticator) -> None:
    used.flags = USER_PRESENT


def untouched(used: Authenticator) -> None:
    used.flags = 4


def cloned(used: Authenticator) -> None:
    used.count = 0  # a copy of the key counts from where it was copied


@pytest.mark.parametrize("bend", [from_another_port, from_another_site, unverified, untouched, cloned])
async def test_an_answer_that_is_not_the_operators_word_is_refused(
    desk: Desk, bend: Callable[[Authenticator], None]
) -> None:
    desk.authenticator.count = 5
    await desk.register()
    asked = desk.ask(desk.order())
    bend(desk.authenticator)
    with pytest.raises(InvalidInput, match="no answer of that passkey"):
        desk.approve(asked, desk.authenticator.get(desk.challenge(asked)))
    assert desk.state(asked) is ApprovalState.AWAITING_OPERATOR


async def test_a_passkey_of_somebody_else_approves_nothing(desk: Desk) -> None:
    await desk.register()
    asked = desk.ask(desk.order())
    with pytest.raises(InvalidInput, match="not one that the operator gave"):
        desk.approve(asked, Authenticator().get(desk.challenge(asked)))
    for broken in ({}, {"id": desk.authenticator.id}, {"id": desk.authenticator.id, "response": 5}):
        desk.challenge(asked)
        with pytest.raises(InvalidInput):
            desk.approve(asked, broken)
    assert desk.state(asked) is ApprovalState.AWAITING_OPERATOR


async def test_a_challenge_ends(desk: Desk) -> None:
    await desk.register()
    asked = desk.ask(desk.order())
    answer = desk.authenticator.get(desk.challenge(asked))
    desk.clock.advance(120)
    with pytest.raises(InvalidInput, match="no challenge"):
        desk.approve(asked, answer)


async def test_an_approval_that_is_too_late_is_none(desk: Desk) -> None:
    await desk.register()
    asked = desk.ask(desk.order())
    desk.approve(asked, desk.authenticator.get(desk.challenge(asked)))
    desk.clock.advance(600)
    assert desk.state(asked) is ApprovalState.EXPIRED
    with pytest.raises(SigningRefused, match="approval_missing"):
        await desk.core.sign(buy())


async def test_a_refused_order_stays_refused(desk: Desk) -> None:
    await desk.register()
    asked = desk.ask(desk.order())
    answer = desk.authenticator.get(desk.challenge(asked))
    desk.core.approvals().refuse(asked, desk.clock())
    with pytest.raises(InvalidInput, match="refused"):
        desk.approve(asked, answer)
    assert desk.ask(desk.order()) == asked
    assert desk.state(asked) is ApprovalState.REFUSED


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"amount_in": SOL + 1}, "order_lamports_max"),
        ({"fee_lamports_max": 200_001}, "fee_lamports_max"),
        ({"wallet": COLD}, "not of the mandate"),
        ({"out_mint": OTHER_TOKEN}, "not of the mandate"),
        ({"min_out": 0}, "above 0"),
        ({"expires_ns": 2**62}, "within 15 minutes"),
        ({"expires_ns": 0}, "within 15 minutes"),
        ({"reason": "x" * 301}, "characters"),
    ],
)
async def test_what_the_mandate_does_not_allow_is_not_put_before_anybody(
    desk: Desk, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        desk.ask(desk.order(**changes))


async def test_the_queue_is_bounded_and_the_same_question_is_one(desk: Desk) -> None:
    for number in range(16):
        desk.ask(desk.order(number))
        desk.ask(desk.order(number))
    with pytest.raises(InvalidInput, match="wait for the operator already"):
        desk.ask(desk.order(99))
    desk.clock.advance(600)
    desk.ask(desk.order(99))


async def test_questions_are_rated_so_that_asking_and_refusing_fills_no_disk(desk: Desk) -> None:
    for number in range(120):
        desk.core.approvals().refuse(desk.ask(desk.order(number)), desk.clock())
    with pytest.raises(InvalidInput, match="within an hour"):
        desk.ask(desk.order(999))
    desk.clock.advance(3_600)
    desk.ask(desk.order(999))


async def test_a_registration_needs_the_code_and_the_operators_second_look(desk: Desk) -> None:
    with pytest.raises(WrongPassphrase):
        await desk.core.begin_passkey(Passphrase("wrong wrong wrong"))
    code = await desk.core.begin_passkey(Passphrase(PASSPHRASE))
    desk_side = desk.core.passkeys
    with pytest.raises(InvalidInput, match="code is wrong"):
        desk_side.options("AAAA-AAAA-AAAA", [], desk.clock())
    options = desk_side.options(code.lower(), [], desk.clock())
    waiting = desk_side.register(code, desk.authenticator.create(options), "mine", desk.clock())
    assert desk.core.status()["passkeys"] == []
    with pytest.raises(InvalidInput, match="waits for the operator"):
        desk_side.options(code, [], desk.clock())
    with pytest.raises(InvalidInput, match="no credential"):
        await desk.core.confirm_passkey(Passphrase(PASSPHRASE), "0000 0000 0000 0000")
    await desk.core.confirm_passkey(Passphrase(PASSPHRASE), waiting.fingerprint)
    assert desk.core.status()["passkeys"] == [{"fingerprint": waiting.fingerprint, "label": "mine"}]
    await desk.core.remove_passkey(Passphrase(PASSPHRASE), waiting.fingerprint)
    assert desk.core.status()["passkeys"] == []


async def test_a_code_is_guessed_five_times_and_lives_ten_minutes(desk: Desk) -> None:
    code = await desk.core.begin_passkey(Passphrase(PASSPHRASE))
    for _ in range(5):
        with pytest.raises(InvalidInput, match="wrong"):
            desk.core.passkeys.options("AAAA-AAAA-AAAA", [], desk.clock())
    with pytest.raises(InvalidInput, match="no registration"):
        desk.core.passkeys.options(code, [], desk.clock())
    code = await desk.core.begin_passkey(Passphrase(PASSPHRASE))
    desk.clock.advance(600)
    with pytest.raises(InvalidInput, match="no registration"):
        desk.core.passkeys.options(code, [], desk.clock())


@pytest.mark.parametrize("bend", [from_another_port, from_another_site, unverified])
async def test_a_registration_from_elsewhere_is_refused(desk: Desk, bend: Callable[[Authenticator], None]) -> None:
    code = await desk.core.begin_passkey(Passphrase(PASSPHRASE))
    options = desk.core.passkeys.options(code, [], desk.clock())
    bend(desk.authenticator)
    with pytest.raises(InvalidInput, match="no answer to that registration"):
        desk.core.passkeys.register(code, desk.authenticator.create(options), "", desk.clock())
    assert desk.core.passkeys.waiting(desk.clock()) is None


async def test_without_a_passkey_nothing_can_be_approved(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="no passkey is registered"):
        desk.challenge(desk.ask(desk.order()))


async def test_a_challenge_that_was_answered_wrongly_is_used_up(desk: Desk) -> None:
    await desk.register()
    asked = desk.ask(desk.order())
    answer = desk.authenticator.get(desk.challenge(asked))
    with pytest.raises(InvalidInput, match="not one that the operator gave"):
        desk.approve(asked, {**answer, "id": "AAAA"})
    with pytest.raises(InvalidInput, match="no challenge"):
        desk.approve(asked, answer)
