"""What the chain says of a mint is held against the profile in force, also one that was switched to a moment ago."""

from pathlib import Path

import pytest
from solders.pubkey import Pubkey
from tests.support.live_desk import Desk, World, a_desk, a_world

from trading.rehearsal.tokens import mint_account

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10"), pytest.mark.requirement("T2")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def switch(here: Desk, name: str) -> None:
    wish = {"action": "profile", "profile": name, "reason": "a test"}
    assert (await here.desk.control(wish, actor="operator:o", key=f"to-{name}"))["status"] == "done"
    await here.until(lambda each: each["profile"] == name)


def somebody_can_freeze_it(world: World) -> None:
    issuer = Pubkey.from_bytes(bytes([9]) * 32)
    world.stage.cluster.set_account(Pubkey.from_string(world.stage.frog), mint_account(None, 10**15, 6, freezer=issuer))


async def test_a_token_that_can_be_frozen_is_bought_once_the_desk_trades_under_a_profile_that_takes_that(
    tmp_path: Path,
) -> None:
    (tmp_path / "profiles").mkdir()
    bold = 'extends = "foundation"\n[rugs]\npowers_allowed = ["freeze"]\n'
    (tmp_path / "profiles" / "bold.toml").write_text(bold)
    async with a_world(tmp_path) as world:
        somebody_can_freeze_it(world)
        await world.arm()
        async with a_desk(world) as here:
            await here.until(lambda each: each["cycle"] > 2 and each["entries_allowed"])
            await here.buy(world.stage.frog, "0.05", "one")
            refused = await here.again(world.stage.frog, "0.05", "one", "rejected")
            assert "somebody can freeze it" in refused["message"]
            await switch(here, "bold")
            await here.buy(world.stage.frog, "0.05", "two")
            await here.again(world.stage.frog, "0.05", "two", "done")
        assert len(world.stage.cluster.history(world.wallet)) == 1
