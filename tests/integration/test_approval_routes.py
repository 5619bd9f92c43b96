"""Approvals over HTTP, with a real signer behind and a passkey in software."""

from pathlib import Path

import pytest
from tests.support.authenticator import ORIGIN, Authenticator
from tests.support.signer_stage import armed_signer
from tests.support.signing import buy
from tests.support.stage import staged

from memmcp_server.adapters.signer_approvals import SignerApprovals

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]


async def test_a_passkey_is_registered_and_approves_one_order_over_http(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "signing", ORIGIN) as signer:
        approvals = SignerApprovals(signer.environ, tmp_path)
        async with staged(tmp_path / "data", approvals=approvals) as stage:
            authenticator = Authenticator()
            code = await signer.begin_passkey()
            options = (await stage.http.post("/passkeys/options", json={"code": code})).json()["options"]
            wish = {"code": code, "credential": authenticator.create(options), "label": "mine"}
            made = await stage.http.post("/passkeys", json=wish)
            assert made.status_code == 201
            await signer.confirm_passkey(made.json()["fingerprint"])
            asked = signer.ask()
            seen = (await stage.http.get("/approvals")).json()
            assert (seen["is_available"], seen["is_armed"], seen["origins"]) == (True, True, [ORIGIN])
            assert seen["approvals"][0]["state"] == "awaiting_operator"
            assert seen["approvals"][0]["amount_in"] == str(buy(1).amount_in)
            challenge = await stage.http.post(f"/approvals/{asked}/challenge", json={})
            credential = authenticator.get(challenge.json()["options"])
            stranger = await stage.http.post(
                f"/approvals/{asked}/approve", json={"credential": Authenticator().get(challenge.json()["options"])}
            )
            assert stranger.status_code == 422
            await stage.http.post(f"/approvals/{asked}/challenge", json={})
            stale = await stage.http.post(f"/approvals/{asked}/approve", json={"credential": credential})
            assert stale.status_code == 422
            challenge = await stage.http.post(f"/approvals/{asked}/challenge", json={})
            credential = authenticator.get(challenge.json()["options"])
            done = await stage.http.post(f"/approvals/{asked}/approve", json={"credential": credential})
            assert (done.status_code, done.json()["state"]) == (200, "approved")
            assert len(await signer.core.sign(buy(1))) == 64
            again = await stage.http.post(f"/approvals/{asked}/refuse", json={})
            assert again.status_code == 422


async def test_without_a_signer_the_list_says_so_and_nothing_else_works(tmp_path: Path) -> None:
    async with staged(tmp_path / "data", approvals=SignerApprovals({}, tmp_path)) as stage:
        seen = await stage.http.get("/approvals")
        assert (seen.status_code, seen.json()["is_available"]) == (200, False)
        assert "no signer answers" in seen.json()["why_not"]
        assert (await stage.http.post(f"/approvals/{'0' * 64}/challenge", json={})).status_code == 503
        assert (await stage.http.post("/approvals/nonsense/challenge", json={})).status_code == 404


async def test_a_desk_that_is_off_has_no_approvals(tmp_path: Path) -> None:
    async with staged(tmp_path / "data", without_desk=True) as stage:
        assert (await stage.http.get("/approvals")).json()["is_available"] is False
        assert (await stage.http.post("/passkeys/options", json={"code": "x"})).status_code == 503
