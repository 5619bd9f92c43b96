"""The smoke script for real services, run against a rehearsal chain and the local Jupiter server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from scripts import live_smoke
from tests.support.rehearsal import JupiterStage, WallClock, jupiter_stage

from trading.adapters.jupiter.models import Build
from trading.config import Sections
from trading.rehearsal.jupiter_faults import Fault

pytestmark = pytest.mark.requirement("T10")


@asynccontextmanager
async def a_smoke(decimals: int = 6, **changes: Any) -> AsyncIterator[tuple[JupiterStage, live_smoke.Smoke]]:
    async with jupiter_stage() as stage:
        chain = {
            "endpoints": [{"url": stage.rehearsal.url(name), "calls_per_second": 1_000} for name in ("one", "two")],
            "genesis_hash": stage.cluster.genesis_hash,
        }
        pool = [str(stage.pool.vault(mint)) for mint in (stage.pool.mints[1], stage.pool.mints[0])]
        router = {"second_price": "pool", "pools": {stage.frog: pool}, "backoff_base_s": 0.001, "backoff_cap_s": 0.001}
        given = {"chain": chain, "market": stage.market().model_dump(), "router": router} | changes
        sections = Sections.model_validate(given)
        tokens = {"FROG": (stage.frog, decimals)}
        yield stage, live_smoke.Smoke(sections, tokens, str(stage.wallet(0).pubkey()), WallClock())


def verdicts(findings: list[live_smoke.Finding]) -> dict[str, str]:
    return {each.what: each.verdict for each in findings}


@pytest.mark.anyio
async def test_everything_that_is_asked_is_answered_and_nothing_is_sent() -> None:
    async with a_smoke() as (stage, smoke):
        found = await smoke.run()
        assert verdicts(found) == dict.fromkeys(
            [
                "chain", "mint FROG", "build FROG", "build on no venue", "order", "search", "Jupiter's prices",
                "second price",
            ],
            "ok",
        ), found  # fmt: skip
        told = {each.what: each.detail for each in found}
        assert "insufficient_funds" in told["order"]
        assert "offers against pool-reserves: FROG +25 bp" in told["second price"]  # the pool's fee
        assert stage.cluster.executed == {}


@pytest.mark.anyio
async def test_one_question_that_fails_stops_no_other_and_is_told() -> None:
    async with a_smoke(decimals=9) as (stage, smoke):
        stage.server.faults.put("build", Fault("500"))
        found = verdicts(await smoke.run())
        assert found["mint FROG"] == found["build FROG"] == found["second price"] == "failed"
        assert found["search"] == found["Jupiter's prices"] == found["chain"] == "ok"


@pytest.mark.anyio
async def test_what_is_not_configured_is_left_out_and_said_to_be() -> None:
    async with a_smoke(chain={}) as (_, smoke):
        found = verdicts(await smoke.run())
        assert found["chain"] == found["prices"] == "left_out"
        assert found["build FROG"] == "ok"


def test_fields_that_our_models_do_not_know_are_named_wherever_they_are() -> None:
    step = {"ammKey": "1" * 32, "inputMint": "1" * 32, "outputMint": "1" * 32, "fresh": 1}
    instruction = {"programId": "1" * 32, "accounts": [], "data": "", "newToo": 1}
    build = Build.model_validate(
        {
            "inputMint": "1" * 32, "outputMint": "1" * 32, "inAmount": "1", "outAmount": "1",
            "otherAmountThreshold": "1", "slippageBps": 1, "priceImpactPct": "0", "routePlan": [{"swapInfo": step}],
            "swapInstruction": instruction, "tomorrow": None,
        }
    )  # fmt: skip
    assert live_smoke.unknown_fields(build) == [
        "route_plan.swap_info.fresh",
        "swap_instruction.newToo",
        "tomorrow",
    ]


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        ([], {}, "--live"),
        (["--live"], {"CI": "true"}, "not in CI"),
        (["--live", "--symbols", "NOBODY"], {}, "NOBODY"),
        (["--live", "--symbols", ""], {}, "none given"),
    ],
)
def test_nothing_is_asked_without_the_word_or_in_ci(
    argv: list[str], environ: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert live_smoke.main(argv, environ) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("url", "code"), [("http://127.0.0.1:1", 1)])
def test_a_service_that_is_away_is_a_failure_and_the_exit_code_says_so(
    url: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"TRADING_MARKET__JUPITER_URL": url, "TRADING_MARKET__JUPITER_CALLS_PER_MINUTE": "60000"}
    assert live_smoke.main(["--live", "--symbols", "BONK"], environ) == code
    assert "failed" in capsys.readouterr().out
