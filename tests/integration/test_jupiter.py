"""Jupiter's client against a loopback server with pages of the documented schema, and every fault it must survive."""

import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import httpx2
import pytest
from solders.hash import Hash
from solders.transaction import VersionedTransaction
from starlette.requests import Request
from starlette.responses import Response
from tests.support.jupiter_pages import (
    BLOCKHASH,
    FROG,
    PROGRAM,
    STRANGER,
    TABLE,
    WALLET,
    JupiterPages,
    a_transaction,
    instruction,
    price_of,
)
from tests.support.market_server import Answer, SteppedClock, address, document, hanging, html, huge, page, status

from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import REASONS, JupiterApi
from trading.adapters.jupiter.order import JupiterOrder
from trading.adapters.jupiter.tokens import JupiterTokens
from trading.config import MarketSection, RouterSection
from trading.errors import InvalidInput, RouteRefused, RouterUnavailable, SendRefused, TradingError
from trading.model.chain import InstructionWanted, SwapWanted
from trading.model.intent import SOL_MINT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]
TAKER = str(WALLET.pubkey())
WANTED = SwapWanted(TAKER, SOL_MINT, FROG, 1_000_000, 100)


Opening = Callable[..., AbstractAsyncContextManager[tuple[JupiterPages, JupiterApi]]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[JupiterPages]:
    """One server for all: each start and stop costs a fifth of a second."""
    async with JupiterPages.serving(SteppedClock()) as pages:
        yield pages


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def an_api(served: JupiterPages, http: httpx2.AsyncClient) -> Opening:
    @asynccontextmanager
    async def opening(key: str | None = None, **changes: Any) -> AsyncIterator[tuple[JupiterPages, JupiterApi]]:
        served.reset()
        calls = changes.pop("jupiter_calls_per_minute", 60_000)
        market = served.market(jupiter_key=key, jupiter_calls_per_minute=calls)
        yield served, JupiterApi(http, market, served.router(**changes), served.clock)

    return opening


def told(error: str, code: str | None = None, http: int = 400) -> Answer:
    async def answer(request: Request) -> Response:
        return page({"error": error} | ({"errorCode": code} if code else {}), http)

    return answer


# -- /build


async def test_a_build_becomes_an_offer_with_all_that_a_transaction_needs(an_api: Opening) -> None:
    async with an_api() as (pages, api):
        offer = await JupiterBuild(api).offer(WANTED)
        assert offer.wanted == WANTED
        assert (offer.out_units, offer.min_out_units) == (1_000_000_000, 990_000_000)
        assert offer.price_impact_bps == 13  # 0.123 %, rounded up
        assert offer.compute_unit_price_micro_lamports == 25_000
        assert offer.swap == InstructionWanted(PROGRAM, ((TAKER, True, True), (FROG, False, False)), b"swap")
        assert [each.data for each in (*offer.setup, *offer.cleanup, *offer.others)] == [b"setup", b"close"]
        assert offer.lookup_tables == {TABLE: (FROG, PROGRAM)}
        assert offer.blockhash is not None
        assert offer.blockhash.blockhash == str(Hash(BLOCKHASH))
        assert offer.blockhash.last_valid_block_height == 250_000_000
        assert (offer.venues, offer.label) == (("Whirlpool",), "Metis")
        assert offer.received_ns == pages.clock.now_ns()


async def test_the_answer_is_kept_as_evidence_with_the_fields_that_nobody_knows_yet(an_api: Opening) -> None:
    async with an_api() as (_, api):
        quote = (await JupiterBuild(api).offer(WANTED)).quote
        assert '"aFieldOfTomorrow":"1.5"' in quote
        assert '"usdValue":"14.25"' in quote


async def test_what_is_asked_is_what_is_documented(an_api: Opening) -> None:
    async with an_api(dexes_excluded=("SolFi",), compute_unit_price_percentile=7_500) as (pages, api):
        await JupiterBuild(api).offer(replace(WANTED, max_accounts=40))
        await JupiterBuild(api).offer(replace(WANTED, dexes=("Raydium", "SolFi", "Whirlpool")))
        free, bound = pages.asked
        assert free == {
            "inputMint": SOL_MINT,
            "outputMint": FROG,
            "amount": "1000000",
            "taker": TAKER,
            "slippageBps": "100",
            "maxAccounts": "40",
            "wrapAndUnwrapSol": "true",
            "blockhashSlotsToExpiry": "150",
            "computeUnitPricePercentile": "7500",
            "excludeDexes": "SolFi",
        }
        assert bound["dexes"] == "Raydium,Whirlpool"
        assert "excludeDexes" not in bound  # Jupiter takes one of the two
        with pytest.raises(RouteRefused, match="excluded"):
            await JupiterBuild(api).offer(replace(WANTED, dexes=("SolFi",)))
        assert pages.calls["build"] == 2


async def test_the_key_goes_in_its_header_and_nowhere_else(an_api: Opening, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="trading")
    async with an_api(key="s3cret-key") as (pages, api):
        await JupiterBuild(api).offer(WANTED)
        pages.faults["build"].extend([status(401), status(500)])
        problems = []
        for _ in range(2):
            with pytest.raises(TradingError) as raised:
                await JupiterBuild(api).offer(WANTED)
            problems.append(str(raised.value))
        assert pages.headers_seen[0]["x-api-key"] == "s3cret-key"
    assert "s3cret-key" not in " ".join([caplog.text, *problems, repr(api.__dict__), repr(pages.asked)])
    assert "request build-1" in caplog.text  # what Jupiter's support can look a call up by
    assert "request build-2" in problems[0]


async def test_without_a_key_no_header_is_sent(an_api: Opening) -> None:
    async with an_api() as (pages, api):
        await JupiterBuild(api).offer(WANTED)
        assert "x-api-key" not in pages.headers_seen[0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (told("No routes found"), "no_route"),
        (told("Could not find any route", "COULD_NOT_FIND_ANY_ROUTE"), "no_route"),
        (told("-", "NO_ROUTES_FOUND", 422), "no_route"),
        (told("-", "MARKET_NOT_FOUND", 404), "no_route"),
        (told("The token X is not tradable", "TOKEN_NOT_TRADABLE"), "not_tradable"),
        (told("The token X is not tradable"), "not_tradable"),
        (told("-", "ROUTE_PLAN_DOES_NOT_CONSUME_ALL_THE_AMOUNT"), "amount_too_small"),
        (told("Input and output mints are not allowed to be equal", "CIRCULAR_ARBITRAGE_IS_DISABLED"), "circular"),
        (told("dexes and excludeDexes are mutually exclusive"), "bad_request"),
        (told("something new", "A_NEW_CODE", 422), "bad_request"),
        (status(401), "unauthorized"),
        (status(403), "forbidden"),
        (html(403), "forbidden"),
    ],
)
async def test_a_refusal_is_told_by_its_reason_and_asked_once(an_api: Opening, answer: Answer, reason: str) -> None:
    async with an_api() as (pages, api):
        pages.faults["build"].append(answer)
        with pytest.raises(RouteRefused) as refused:
            await JupiterBuild(api).offer(WANTED)
        assert refused.value.reason == reason
        assert pages.calls["build"] == 1
        await JupiterBuild(api).offer(WANTED)  # a refusal says nothing about the next question


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(429), "http_429"),
        (status(500), "http_5xx"),
        (html(502), "http_5xx"),
        (html(200), "not_json"),
        (html(400), "not_json"),
        (status(302, location="/elsewhere"), "http_4xx"),
        (status(408), "http_4xx"),
        (huge(2_000_000), "too_large"),
        (document([]), "schema"),
        (document({"inputMint": SOL_MINT}), "schema"),
    ],
)
async def test_no_answer_is_no_refusal_and_nothing_is_asked_again(an_api: Opening, answer: Answer, kind: str) -> None:
    async with an_api() as (pages, api):
        pages.faults["build"].append(answer)
        with pytest.raises(RouterUnavailable):
            await JupiterBuild(api).offer(WANTED)
        assert api.gateway.health.errors[kind] == 1
        assert pages.calls["build"] == 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("no_impact", {"priceImpactPct": None}),
        ("nan_impact", {"priceImpactPct": "NaN"}),
        ("negative", {"outAmount": "-5"}),
        ("beyond_u64", {"outAmount": str(2**64)}),
        ("fraction", {"inAmount": "1.5"}),
        ("signs", {"inAmount": "+1000000"}),
        ("short_blockhash", {"blockhashWithMetadata": {"blockhash": [1] * 31, "lastValidBlockHeight": 1}}),
        ("no_byte", {"blockhashWithMetadata": {"blockhash": [256] * 32, "lastValidBlockHeight": 1}}),
        ("no_base64", {"swapInstruction": {"programId": PROGRAM, "accounts": [], "data": "@@@"}}),
        ("no_address", {"swapInstruction": {"programId": "0", "accounts": [], "data": ""}}),
        ("no_swap", {"swapInstruction": None}),
    ],
)
async def test_an_answer_that_is_not_as_documented_is_no_offer(
    an_api: Opening, name: str, change: dict[str, Any]
) -> None:
    async with an_api() as (pages, api):
        pages.changes["build"] = change
        with pytest.raises(RouterUnavailable):
            await JupiterBuild(api).offer(WANTED)
        assert api.gateway.health.errors["schema"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outputMint": address("Bird")}, "not_as_asked"),
        ({"inputMint": address("Bird")}, "not_as_asked"),
        ({"inAmount": "999999"}, "not_as_asked"),
        ({"swapMode": "ExactOut"}, "not_as_asked"),
        ({"otherAmountThreshold": "989999999"}, "not_as_asked"),
        ({"otherAmountThreshold": "1000000001"}, "not_as_asked"),
        ({"tipInstruction": instruction(b"tip", TAKER)}, "not_as_asked"),
        ({"outAmount": "0", "otherAmountThreshold": "0"}, "amount_too_small"),
    ],
)
async def test_an_answer_to_another_question_is_refused(an_api: Opening, change: dict[str, Any], reason: str) -> None:
    async with an_api() as (pages, api):
        pages.changes["build"] = change
        with pytest.raises(RouteRefused) as refused:
            await JupiterBuild(api).offer(WANTED)
        assert refused.value.reason == reason


async def test_the_advice_on_the_price_is_zero_where_none_is_given_and_a_limit_is_not_taken_for_it(
    an_api: Opening,
) -> None:
    async with an_api() as (pages, api):
        limit = {**price_of(0), "data": base64.b64encode(b"\x02" + (200_000).to_bytes(4, "little")).decode()}
        other = {**price_of(0), "data": base64.b64encode(b"\x07" + (9).to_bytes(8, "little")).decode()}
        pages.changes["build"] = {"computeBudgetInstructions": [limit, other]}
        assert (await JupiterBuild(api).offer(WANTED)).compute_unit_price_micro_lamports == 0
        pages.changes["build"] = {"computeBudgetInstructions": [limit, price_of(2**64 - 1)]}
        assert (await JupiterBuild(api).offer(WANTED)).compute_unit_price_micro_lamports == 2**64 - 1


async def test_an_offer_without_a_blockhash_tables_and_cleanup_is_one_too(an_api: Opening) -> None:
    async with an_api() as (pages, api):
        pages.changes["build"] = {
            "blockhashWithMetadata": None,
            "addressesByLookupTableAddress": None,
            "cleanupInstruction": None,
        }
        offer = await JupiterBuild(api).offer(WANTED)
        assert (offer.blockhash, offer.lookup_tables, offer.cleanup) == (None, {}, ())


@pytest.mark.parametrize(
    ("ratio", "bps"), [("0", 0), ("0.0001", 1), ("0.00010000001", 2), ("-0.0123", 123), ("1e-9", 1), ("1", 10_000)]
)
async def test_the_impact_is_a_loss_rounded_up_whatever_its_sign(an_api: Opening, ratio: str, bps: int) -> None:
    async with an_api() as (pages, api):
        pages.changes["build"] = {"priceImpactPct": ratio}
        assert (await JupiterBuild(api).offer(WANTED)).price_impact_bps == bps


@pytest.mark.parametrize(
    "change", [{"amount_in": 0}, {"amount_in": 2**64}, {"slippage_bps": -1}, {"slippage_bps": 10_001}]
)
async def test_what_no_router_can_answer_is_not_asked(an_api: Opening, change: dict[str, int]) -> None:
    async with an_api() as (pages, api):
        with pytest.raises(InvalidInput):
            await JupiterBuild(api).offer(replace(WANTED, **change))  # type: ignore[arg-type]
        assert pages.calls["build"] == 0


# -- being left alone


async def test_a_429_is_obeyed_by_retry_after_and_told_to_whoever_asks(an_api: Opening) -> None:
    async with an_api() as (pages, api):
        pages.faults["build"].append(status(429, retry_after="7"))
        for _ in range(2):
            with pytest.raises(RouterUnavailable) as raised:
                await JupiterBuild(api).offer(WANTED)
            assert 6 < raised.value.retry_after_s <= 7
        assert pages.calls["build"] == 1


async def test_a_429_is_obeyed_by_the_time_at_which_the_limit_is_reset_by_the_servers_clock(an_api: Opening) -> None:
    async with an_api() as (pages, api):
        pages.clock.advance(1_000)  # both clocks: what counts is the distance to the server's own
        reset_s = pages.clock.now_ns() // 10**9 + 9
        pages.faults["build"].append(status(429, x_ratelimit_reset=str(reset_s)))
        with pytest.raises(RouterUnavailable) as raised:
            await JupiterBuild(api).offer(WANTED)
        assert 8 < raised.value.retry_after_s <= 9


async def test_the_wait_that_a_server_asks_for_is_bounded(an_api: Opening) -> None:
    async with an_api(retry_after_cap_s=3.0) as (pages, api):
        pages.faults["build"].append(status(429, x_ratelimit_reset="999999999999"))
        with pytest.raises(RouterUnavailable) as raised:
            await JupiterBuild(api).offer(WANTED)
        assert raised.value.retry_after_s <= 3


async def test_after_a_fault_the_next_question_is_asked_again_when_the_time_has_passed(an_api: Opening) -> None:
    async with an_api() as (pages, api):
        pages.faults["build"].append(status(503))
        with pytest.raises(RouterUnavailable):
            await JupiterBuild(api).offer(WANTED)
        with pytest.raises(RouterUnavailable, match="left alone"):
            await JupiterBuild(api).offer(WANTED)
        await anyio.sleep(0.03)
        assert (await JupiterBuild(api).offer(WANTED)).out_units > 0


async def test_a_slow_answer_is_given_up(an_api: Opening) -> None:
    release = anyio.Event()
    async with an_api(timeout_s=0.1) as (pages, api):
        pages.faults["build"].append(hanging(release))
        with anyio.fail_after(30), pytest.raises(RouterUnavailable, match=r"no answer within 0\.1 s"):
            await JupiterBuild(api).offer(WANTED)
        release.set()


async def test_nobody_at_the_address_is_no_refusal() -> None:
    market = MarketSection(jupiter_url="http://127.0.0.1:1")
    async with JupiterApi.connect(market, RouterSection(), SteppedClock()) as api:
        with pytest.raises(RouterUnavailable):
            await JupiterBuild(api).offer(WANTED)
        assert api.gateway.health.errors["connect"] == 1


async def test_more_questions_than_the_limit_wait_their_turn_or_are_told_to_come_later(an_api: Opening) -> None:
    async with an_api(jupiter_calls_per_minute=60, budget_wait_s=0.0) as (pages, api):
        for _ in range(4):  # what may come at once
            await JupiterBuild(api).offer(WANTED)
        with pytest.raises(RouterUnavailable, match="budget"):
            await JupiterBuild(api).offer(WANTED)
        assert pages.calls["build"] == 4


@pytest.mark.parametrize("number", ["100.0", "1e2", "100"])
async def test_a_whole_number_may_be_written_with_a_point(an_api: Opening, number: str) -> None:
    async with an_api() as (pages, api):
        pages.raw["build"] = ('"slippageBps":100', f'"slippageBps":{number}')
        assert (await JupiterBuild(api).offer(WANTED)).out_units == 1_000_000_000
        pages.raw["build"] = ('"slippageBps":100', '"slippageBps":100.5')
        with pytest.raises(RouterUnavailable):
            await JupiterBuild(api).offer(WANTED)


# -- /order and /execute


async def test_an_order_is_a_whole_transaction_that_our_wallet_alone_signs(an_api: Opening) -> None:
    async with an_api(dexes_excluded=("SolFi",)) as (pages, api):
        offer = await JupiterOrder(api).order(WANTED)
        assert pages.asked[0]["excludeRouters"] == "jupiterz"
        assert pages.asked[0]["excludeDexes"] == "SolFi"
        assert "payer" not in pages.asked[0]
        assert offer.transaction == a_transaction()
        assert (offer.out_units, offer.min_out_units, offer.fee_bps) == (1_000_000_000, 990_000_000, 2)
        assert offer.price_impact_bps == 13  # -0.123 percentage points
        assert (offer.request_id, offer.last_valid_block_height) == ("req-1", 250_000_000)
        assert offer.label == "Jupiter Ultra"
        assert '"priceImpact":"-0.123"' in offer.quote


def foreign(**given: Any) -> dict[str, str]:
    return {"transaction": base64.b64encode(a_transaction(**given)).decode()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signatureFeePayer": address("Gas")}, "not_ours_to_sign"),
        ({"signatureFeePayer": None}, "not_ours_to_sign"),
        ({"prioritizationFeePayer": address("Gas")}, "not_ours_to_sign"),
        ({"rentFeePayer": address("Gas")}, "not_ours_to_sign"),
        ({"gasless": True}, "not_ours_to_sign"),
        ({"router": "jupiterz"}, "not_ours_to_sign"),
        (foreign(payer=STRANGER), "not_ours_to_sign"),
        (foreign(signer=STRANGER), "not_ours_to_sign"),
        (foreign(payer=STRANGER, signer=WALLET), "not_ours_to_sign"),
        ({"transaction": "", "errorCode": 1, "errorMessage": "Insufficient funds"}, "insufficient_funds"),
        ({"transaction": "", "errorCode": 2}, "insufficient_sol"),
        ({"transaction": "", "errorCode": 3}, "amount_too_small"),
        ({"transaction": "", "errorCode": 3, "router": "jupiterz"}, "not_built"),
        ({"transaction": "", "errorCode": 77}, "not_built"),
        ({"transaction": None}, "not_built"),
        ({"inAmount": "1"}, "not_as_asked"),
    ],
)
async def test_an_order_that_is_not_ours_alone_is_refused(an_api: Opening, change: dict[str, Any], reason: str) -> None:
    async with an_api() as (pages, api):
        pages.changes["order"] = change
        with pytest.raises(RouteRefused) as refused:
            await JupiterOrder(api).order(WANTED)
        assert refused.value.reason == reason


@pytest.mark.parametrize(
    "change",
    [
        {"transaction": "AAAA"},
        {"transaction": "@"},
        {"transaction": base64.b64encode(a_transaction(moves=30)).decode()},
        {"requestId": ""},
        {"lastValidBlockHeight": None},
        {"priceImpact": None},
    ],
)
async def test_an_order_that_cannot_be_read_is_no_answer(an_api: Opening, change: dict[str, Any]) -> None:
    async with an_api() as (pages, api):
        pages.changes["order"] = change
        with pytest.raises(RouterUnavailable):
            await JupiterOrder(api).order(WANTED)


async def test_an_order_cannot_be_kept_to_some_venues(an_api: Opening) -> None:
    async with an_api() as (pages, api):
        with pytest.raises(InvalidInput):
            await JupiterOrder(api).order(replace(WANTED, dexes=("Raydium",)))
        assert pages.calls["order"] == 0


def signed() -> bytes:
    message = VersionedTransaction.from_bytes(a_transaction()).message
    return bytes(VersionedTransaction(message, [WALLET]))


async def test_executing_hands_in_the_very_bytes_and_gives_their_signature(an_api: Opening) -> None:
    async with an_api() as (pages, api):
        raw = signed()
        assert await JupiterOrder(api).execute(raw, "req-1") == str(VersionedTransaction.from_bytes(raw).signatures[0])
        body = {"signedTransaction": base64.b64encode(raw).decode(), "requestId": "req-1"}
        assert pages.bodies == [body]
        await JupiterOrder(api).execute(raw, "req-1")
        assert pages.bodies == [body, body]


@pytest.mark.parametrize("code", [-1, -2, -3, -1002, -1003, -1004, -2002])
async def test_what_was_not_sent_is_said_to_be(an_api: Opening, code: int) -> None:
    async with an_api() as (pages, api):
        for told in (code, str(code)):
            pages.changes["execute"] = {"status": "Failed", "code": told, "signature": "", "error": "no"}
            with pytest.raises(SendRefused):
                await JupiterOrder(api).execute(signed(), "req-1")


@pytest.mark.parametrize("code", [-1000, -1001, -2000, -2001, -2003, -2004, -77, 6001])
async def test_a_failure_to_land_is_not_believed(an_api: Opening, code: int) -> None:
    """It may have landed since, or land yet: the chain is asked, nobody else."""
    async with an_api() as (pages, api):
        pages.changes["execute"] = {"status": "Failed", "code": code, "error": "no"}
        assert await JupiterOrder(api).execute(signed(), "req-1")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(429), RouterUnavailable),
        (status(500), RouterUnavailable),
        (html(200), RouterUnavailable),
        (document({"status": "Success"}), RouterUnavailable),
        (document({"status": "Success", "code": 0, "signature": "another"}), RouterUnavailable),
        (told("no"), SendRefused),
        (status(401), SendRefused),
    ],
)
async def test_an_execution_that_failed_on_the_way_leaves_it_open(
    an_api: Opening, answer: Answer, error: type[TradingError]
) -> None:
    async with an_api() as (pages, api):
        pages.faults["execute"].append(answer)
        with pytest.raises(error):
            await JupiterOrder(api).execute(signed(), "req-1")
        assert pages.calls["execute"] == 1


# -- tokens


async def test_a_symbol_is_told_by_its_candidates_the_deepest_first(an_api: Opening) -> None:
    async with an_api() as (_, api):
        found = await JupiterTokens(api).candidates("FROG")
        assert [each.mint for each in found] == [FROG, address("Fake"), address("NoMon")]
        real, fake, _ = found
        assert (real.is_verified, real.is_suspicious, real.decimals) == (True, False, 6)
        assert real.age_s == api.clock.now_ns() // 10**9 - 1_789_862_400  # 2026-09-20
        assert (fake.is_verified, fake.is_suspicious, fake.age_s) == (False, True, None)
        assert await JupiterTokens(api).candidates("NOBODY") == []


def test_every_error_code_of_the_documents_has_a_word() -> None:
    documented = (
        "NO_ROUTES_FOUND COULD_NOT_FIND_ANY_ROUTE TOKEN_NOT_TRADABLE MARKET_NOT_FOUND "
        "ROUTE_PLAN_DOES_NOT_CONSUME_ALL_THE_AMOUNT CIRCULAR_ARBITRAGE_IS_DISABLED"
    )
    assert set(documented.split()) <= set(REASONS)
