"""Positions are left while the chain is congested: lost sends, fees tripled, a dead endpoint, all at once."""

from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.congestion import LIVE, PRIORITY_LAMPORTS, Weather, congestion

from trading.model.intent import AttemptState, IntentState

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

TIMES = 10


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_exits_land_when_sends_are_lost_fees_triple_and_an_endpoint_is_dead(tmp_path: Path) -> None:
    weather = Weather("all three", drops=2, fee_times=8, slots=(170, 170), is_one_dead=True)
    async with congestion(TIMES) as found:
        await found.leave(weather, 3, 1, tmp_path)
        stage = found.stage
        assert [stage.units(wallet) for wallet in stage.signer.keys] == [0, 0, 0]
        for wallet in stage.signer.keys:
            swaps = stage.market.cluster.history(wallet)
            assert len(swaps) == 2, "one buy, one sale, whatever was sent again"
        told = found.flat.document("wall")
        assert (told["exits"], told["waiting"]) == (3, 0)
        dead, *alive = reversed(list(stage.chain.health()["endpoints"].values()))
        assert dead["errors"]
        assert dead["ok"] < min(each["ok"] for each in alive)
    again = [known for known in found.exits if len(known.attempts) > 1]
    assert again, "nobody had to offer more: the weather was too mild to show anything"
    for known in again:
        for before, after in pairwise(known.attempts):
            assert before.state is AttemptState.EXPIRED
            assert before.fee_lamports < after.fee_lamports <= 5_000 + PRIORITY_LAMPORTS * LIVE.exit_fee_times
    assert all(known.state is IntentState.SETTLED for known in found.exits), "none had to be decided anew"
