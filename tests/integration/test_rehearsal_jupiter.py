"""The local Jupiter server over a rehearsal chain: what it offers happens to the unit, what it breaks is noticed."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import httpx2
import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction
from tests.support.rehearsal import JupiterStage, WallClock, jupiter_stage

from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.order import JupiterOrder
from trading.adapters.jupiter.prices import JupiterPrices
from trading.adapters.jupiter.tokens import JupiterTokens
from trading.config import RouterSection
from trading.errors import RouteRefused, RouterUnavailable, SendRefused
from trading.model.chain import InstructionWanted, SwapOffer, SwapWanted
from trading.model.intent import SOL_MINT
from trading.rehearsal.cluster import Cluster
from trading.rehearsal.jupiter_chain import RpcChain
from trading.rehearsal.jupiter_faults import Fault
from trading.rehearsal.jupiter_orders import Orders
from trading.rehearsal.jupiter_parts import MALICE, STRANGER, UNKNOWN_PROGRAM
from trading.rehearsal.jupiter_server import ServerOptions
from trading.rehearsal.tables import make_table

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]
SLIPPAGE_EXCEEDED = {"InstructionError": [6, {"Custom": 6001}]}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[JupiterStage]:
    async with jupiter_stage(ServerOptions(execute_wait_s=5)) as made:
        yield made


@pytest.fixture(scope="module")
async def api(stage: JupiterStage) -> AsyncIterator[JupiterApi]:
    section = RouterSection(backoff_base_s=0.001, backoff_cap_s=0.001, timeout_s=5)
    async with JupiterApi.connect(stage.market(), section, WallClock()) as made:
        yield made


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def _no_faults_left(stage: JupiterStage) -> None:
    stage.server.faults.clear()


# -- offers that happen


async def test_what_is_offered_is_what_comes_out_to_the_unit(stage: JupiterStage, api: JupiterApi) -> None:
    wallet, router = stage.wallet(), JupiterBuild(api)
    paid = 10**9 + 7  # no round number, so that what is rounded shows
    bought = await router.offer(stage.buying(wallet, paid))
    before = stage.lamports(wallet)
    assert stage.carry_out(wallet, bought) is None
    assert stage.units(wallet, stage.frog) == bought.out_units
    rent, fee = 2_039_280, 5_000 + 300
    assert stage.lamports(wallet) == before - paid - rent - fee  # the wrapped SOL account is closed again

    sale = SwapWanted(str(wallet.pubkey()), stage.frog, SOL_MINT, bought.out_units, 50)
    sold = await router.offer(sale)
    before = stage.lamports(wallet)
    assert stage.carry_out(wallet, sold) is None
    assert stage.units(wallet, stage.frog) == 0
    assert stage.lamports(wallet) == before + sold.out_units - fee


async def test_an_offer_uses_lookup_tables_that_are_on_the_chain(stage: JupiterStage, api: JupiterApi) -> None:
    offer = await JupiterBuild(api).offer(stage.buying(stage.wallet()))
    (held,) = offer.lookup_tables.values()
    assert str(stage.pool.authority) in held


async def test_a_pool_that_moved_since_the_offer_gives_no_less_than_the_minimum(
    stage: JupiterStage, api: JupiterApi
) -> None:
    mine, other, router = stage.wallet(), stage.wallet(200 * 10**9), JupiterBuild(api)
    offer = await router.offer(stage.buying(mine))
    assert stage.carry_out(other, await router.offer(stage.buying(other, 100 * 10**9))) is None
    assert stage.carry_out(mine, offer) == SLIPPAGE_EXCEEDED
    assert stage.units(mine, stage.frog) == 0


async def test_a_stale_offer_is_one_of_the_pool_as_it_stood_before(stage: JupiterStage, api: JupiterApi) -> None:
    mine, other, router = stage.wallet(), stage.wallet(200 * 10**9), JupiterBuild(api)
    old = await router.offer(stage.buying(mine))
    mover = await router.offer(stage.buying(other, 100 * 10**9))
    assert stage.carry_out(other, mover) is None
    stage.server.faults.put("build", Fault("stale"))
    stale = await router.offer(stage.buying(mine))
    fresh = await router.offer(stage.buying(mine))
    assert stale.out_units == old.out_units > fresh.out_units
    assert stage.carry_out(mine, stale) == SLIPPAGE_EXCEEDED
    assert stage.carry_out(mine, fresh) is None


# -- orders


def signed(wallet: Keypair, raw: bytes) -> bytes:
    return bytes(VersionedTransaction(VersionedTransaction.from_bytes(raw).message, [wallet]))


async def test_an_order_is_signed_handed_in_and_lands_once(stage: JupiterStage, api: JupiterApi) -> None:
    async with stage.running():
        wallet, router = stage.wallet(), JupiterOrder(api)
        order = await router.order(stage.buying(wallet))
        raw = signed(wallet, order.transaction)
        signature = await router.execute(raw, order.request_id)
        assert stage.units(wallet, stage.frog) == order.out_units
        assert stage.cluster.executed[signature].error is None
        assert await router.execute(raw, order.request_id) == signature
        assert stage.units(wallet, stage.frog) == order.out_units


async def test_other_bytes_than_the_order_are_not_sent(stage: JupiterStage, api: JupiterApi) -> None:
    wallet, router = stage.wallet(), JupiterOrder(api)
    one, two = await router.order(stage.buying(wallet)), await router.order(stage.buying(wallet, 2 * 10**9))
    for raw, request_id, code in (
        (signed(wallet, one.transaction), two.request_id, "-3"),
        (signed(wallet, one.transaction), "unknown", "-1"),
        (one.transaction, one.request_id, "-1003"),
    ):
        with pytest.raises(SendRefused) as refused:
            await router.execute(raw, request_id)
        assert f"({code})" in str(refused.value)
    assert stage.units(wallet, stage.frog) == 0


async def test_an_answer_that_is_lost_or_says_no_proves_nothing(stage: JupiterStage, api: JupiterApi) -> None:
    async with stage.running():
        wallet, router = stage.wallet(), JupiterOrder(api)
        order = await router.order(stage.buying(wallet))
        raw = signed(wallet, order.transaction)
        stage.server.faults.put("execute", Fault("never_sent"))
        await router.execute(raw, order.request_id)  # "failed to land": nothing was sent
        stage.cluster.tick(3)
        assert stage.units(wallet, stage.frog) == 0
        stage.server.faults.put("execute", Fault("lost_answer"))
        with pytest.raises(RouterUnavailable):
            await router.execute(raw, order.request_id)
        assert stage.units(wallet, stage.frog) == order.out_units  # and it had landed


@pytest.mark.parametrize(
    ("lamports", "reason"), [(10**9 - 1, "insufficient_funds"), (10**9, "insufficient_sol"), (0, "insufficient_funds")]
)
async def test_an_order_beyond_what_the_taker_has_is_not_built(
    stage: JupiterStage, api: JupiterApi, lamports: int, reason: str
) -> None:
    with pytest.raises(RouteRefused) as refused:
        await JupiterOrder(api).order(stage.buying(stage.wallet(lamports)))
    assert refused.value.reason == reason


async def test_an_order_that_fails_on_chain_is_told_with_the_programs_own_number(
    stage: JupiterStage, api: JupiterApi, http: httpx2.AsyncClient
) -> None:
    mine, other = stage.wallet(), stage.wallet(200 * 10**9)
    order = await JupiterOrder(api).order(stage.buying(mine))
    assert stage.carry_out(other, await JupiterBuild(api).offer(stage.buying(other, 100 * 10**9))) is None
    raw = signed(mine, order.transaction)
    body = {"signedTransaction": base64.b64encode(raw).decode(), "requestId": order.request_id}
    async with stage.running():
        told = (await http.post(f"{stage.server.url}/swap/v2/execute", json=body)).json()
        assert (told["status"], told["code"]) == ("Failed", 6001)
        # What the client says is the signature: whether it failed is for the chain to say.
        assert await JupiterOrder(api).execute(raw, order.request_id) == told["signature"]


async def test_an_order_is_good_for_two_minutes(stage: JupiterStage, api: JupiterApi) -> None:
    order = await JupiterOrder(api).order(stage.buying(stage.wallet()))
    now_s = [1_000.0]
    async with httpx2.AsyncClient(trust_env=False) as http:
        orders = Orders(RpcChain(http, stage.rehearsal.url("one")), 0.0, lambda: now_s[0])
        body = {"signedTransaction": "", "requestId": orders.remember(order.transaction, 1)}
        now_s[0] += 120
        assert (await orders.execute(body, sends=False))["code"] == -2  # known, and what is signed is nothing
        now_s[0] += 0.1
        assert (await orders.execute(body, sends=False))["code"] == -1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{", "Invalid JSON"),
        (b"[]", "are required"),
        (b'{"requestId": "x"}', "are required"),
        (b" " * 16_385, "too large"),
    ],
)
async def test_an_execution_that_cannot_be_read_is_a_400(
    stage: JupiterStage, http: httpx2.AsyncClient, content: bytes, error: str
) -> None:
    answer = await http.post(f"{stage.server.url}/swap/v2/execute", content=content)
    assert answer.status_code == 400
    assert error in answer.json()["error"]


# -- offers that nobody may sign


def signers(offer: SwapOffer) -> set[str]:
    return {key for each in every(offer) for key, signs, _ in each.accounts if signs}


def every(offer: SwapOffer) -> tuple[InstructionWanted, ...]:
    return (*offer.setup, offer.swap, *offer.cleanup, *offer.others)


def shows(kind: str, bad: SwapOffer, good: SwapOffer) -> bool:
    """Tell whether an offer has what its fault says is wrong with it. ``route_v2``: amount, quote, slippage follow the
    discriminator; the accounts are wallet, what pays, what is paid."""
    thief = str(STRANGER)
    extra = bad.others[len(good.others) :]
    return {
        "wrong_payer": lambda: thief in signers(bad),
        "extra_signer": lambda: thief in {key for key, signs, _ in bad.swap.accounts if signs},
        "unknown_program": lambda: extra[0].program == str(UNKNOWN_PROGRAM),
        "lower_minimum": lambda: bad.swap.data[24:26] == (10_000).to_bytes(2, "little"),
        "larger_amount": lambda: bad.swap.data[8:16] == (2 * bad.wanted.amount_in).to_bytes(8, "little"),
        "approve": lambda: extra[0].data[0] == 4 and extra[0].accounts[1][0] == thief,
        "set_authority": lambda: extra[0].data[:3] == bytes([6, 2, 1]) and extra[0].data[3:] == bytes(STRANGER),
        "oversized_fee": lambda: bad.compute_unit_price_micro_lamports >= 2**40,
        "swapped_mint": lambda: bad.swap.accounts[2] != good.swap.accounts[2] and bad.setup[-1] != good.setup[-1],
        "foreign_destination": lambda: bad.swap.accounts[2] != good.swap.accounts[2] and bad.setup == good.setup,
        "drain": lambda: extra[0].accounts[1][0] == thief and extra[0].data[0] == 2,
        "close_to_stranger": lambda: bad.cleanup[0].accounts[1][0] == thief,
        "second_swap": lambda: extra == (bad.swap,),
    }[kind]()


@pytest.mark.parametrize("kind", sorted(set(MALICE) - {"tip"}))
async def test_a_malicious_offer_is_what_its_name_says_and_tells_the_same_as_an_honest_one(
    stage: JupiterStage, api: JupiterApi, kind: str
) -> None:
    wanted, router = stage.buying(stage.wallet()), JupiterBuild(api)
    good = await router.offer(wanted)
    stage.server.faults.put("build", Fault(kind))
    bad = await router.offer(wanted)
    assert shows(kind, bad, good)
    assert not shows_safely(kind, good)
    told = ("out_units", "min_out_units", "price_impact_bps", "venues", "label", "wanted")
    assert [getattr(bad, name) for name in told] == [getattr(good, name) for name in told]


def shows_safely(kind: str, good: SwapOffer) -> bool:
    try:
        return shows(kind, good, good)
    except IndexError:
        return False


async def test_a_tip_that_nobody_asked_for_is_refused_by_the_client(stage: JupiterStage, api: JupiterApi) -> None:
    stage.server.faults.put("build", Fault("tip"))
    with pytest.raises(RouteRefused) as refused:
        await JupiterBuild(api).offer(stage.buying(stage.wallet()))
    assert refused.value.reason == "not_as_asked"


@pytest.mark.parametrize("kind", ["wrong_payer", "extra_signer"])
async def test_an_order_that_a_stranger_signs_too_is_refused_by_the_client(
    stage: JupiterStage, api: JupiterApi, kind: str
) -> None:
    stage.server.faults.put("order", Fault(kind))
    with pytest.raises(RouteRefused) as refused:
        await JupiterOrder(api).order(stage.buying(stage.wallet()))
    assert refused.value.reason == "not_ours_to_sign"


async def test_a_lower_minimum_that_is_signed_takes_what_the_pool_gives(stage: JupiterStage, api: JupiterApi) -> None:
    """The control: without a check before signing, the fault does harm."""
    mine, other, router = stage.wallet(), stage.wallet(200 * 10**9), JupiterBuild(api)
    stage.server.faults.put("build", Fault("lower_minimum"))
    offer = await router.offer(stage.buying(mine))
    assert stage.carry_out(other, await router.offer(stage.buying(other, 100 * 10**9))) is None
    assert stage.carry_out(mine, offer) is None
    assert stage.units(mine, stage.frog) < offer.min_out_units


# -- answers that are none


@pytest.mark.parametrize("kind", ["429", "500", "502", "html", "cut"])
async def test_a_fault_is_no_answer_and_is_used_up(stage: JupiterStage, api: JupiterApi, kind: str) -> None:
    wanted = stage.buying(stage.wallet())
    stage.server.faults.put("build", Fault(kind, retry_after_s=0))
    with pytest.raises(RouterUnavailable):
        await JupiterBuild(api).offer(wanted)
    await anyio.sleep(api.gateway.away_s)
    assert (await JupiterBuild(api).offer(wanted)).out_units > 0


async def test_a_slow_answer_comes_late(stage: JupiterStage, api: JupiterApi) -> None:
    stage.server.faults.put("build", Fault("slow", seconds=0.02))
    assert (await JupiterBuild(api).offer(stage.buying(stage.wallet()))).out_units > 0


async def test_an_answer_that_hangs_is_given_up(stage: JupiterStage) -> None:
    section = RouterSection(timeout_s=0.1)
    async with JupiterApi.connect(stage.market(), section, WallClock()) as api:
        stage.server.faults.put("build", Fault("hang", seconds=0.4))
        with pytest.raises(RouterUnavailable, match=r"no answer within 0\.1 s"):
            await JupiterBuild(api).offer(stage.buying(stage.wallet()))


async def test_a_chain_that_is_away_is_an_error_of_the_server(stage: JupiterStage, api: JupiterApi) -> None:
    stage.rehearsal.control({"endpoint": "one", "fault": {"kind": "broken", "status": 502, "calls": 1}})
    with pytest.raises(RouterUnavailable):
        await JupiterBuild(api).offer(stage.buying(stage.wallet()))


async def test_the_control_endpoint_queues_and_forgets_faults(stage: JupiterStage, http: httpx2.AsyncClient) -> None:
    url = f"{stage.server.url}/control"
    put = await http.post(url, json={"path": "build", "kind": "429", "count": 3, "retry_after_s": 9})
    assert put.json() == {"build": [{"kind": "429", "count": 3}]}
    first = await http.get(f"{stage.server.url}/swap/v2/build")
    assert (first.status_code, first.headers["retry-after"]) == (429, "9")
    assert (await http.get(url)).json() == {"build": [{"kind": "429", "count": 2}]}
    assert (await http.delete(url)).json() == {}
    for wrong in ({"path": "build", "kind": "x"}, {"path": "x", "kind": "429"}, {"kind": "429"}, [1], "x"):
        assert (await http.post(url, json=wrong)).status_code == 400
    for count in (0, 10**9, "many"):
        bad = await http.post(url, json={"path": "build", "kind": "429", "count": count})
        assert bad.status_code == 400
    assert (await http.get(url)).json() == {}


# -- what is documented


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"outputMint": SOL_MINT}, "not allowed to be equal"),
        ({"dexes": "SolFi"}, "No routes found"),
        ({"excludeDexes": "Rehearsal"}, "No routes found"),
        ({"dexes": "Rehearsal", "excludeDexes": "SolFi"}, "mutually exclusive"),
        ({"maxAccounts": "3"}, "No routes found"),
        ({"maxAccounts": "65"}, "maxAccounts"),
        ({"amount": "0"}, "amount"),
        ({"amount": "1.5"}, "amount"),
        ({"amount": str(2**64)}, "amount"),
        ({"slippageBps": "10001"}, "slippageBps"),
        ({"inputMint": "0"}, "addresses"),
        ({"taker": "0"}, "taker"),
        ({"taker": ""}, "taker is required"),
        ({"swapMode": "ExactOut"}, "ExactIn"),
        ({"computeUnitPricePercentile": "huge"}, "computeUnitPricePercentile"),
    ],
)
async def test_a_bad_question_is_a_400_with_its_error(
    stage: JupiterStage, http: httpx2.AsyncClient, change: dict[str, str], error: str
) -> None:
    wallet = str(stage.wallet().pubkey())
    good = {"inputMint": SOL_MINT, "outputMint": stage.frog, "amount": "1000000", "taker": wallet}
    answer = await http.get(f"{stage.server.url}/swap/v2/build", params=good | change)
    assert answer.status_code == 400
    assert error in answer.json()["error"]
    assert answer.headers["x-api-gateway-request-id"]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/price/v3", "1 to 50"),
        (f"/price/v3?ids={','.join(['x'] * 51)}", "1 to 50"),
        ("/tokens/v2/search", "query is required"),
    ],
)
async def test_prices_and_tokens_want_a_question(
    stage: JupiterStage, http: httpx2.AsyncClient, path: str, error: str
) -> None:
    answer = await http.get(stage.server.url + path)
    assert answer.status_code == 400
    assert error in answer.json()["error"]


async def test_an_order_without_a_taker_is_a_quote(stage: JupiterStage, http: httpx2.AsyncClient) -> None:
    question = {"inputMint": SOL_MINT, "outputMint": stage.frog, "amount": "1000000"}
    body: dict[str, Any] = (await http.get(f"{stage.server.url}/swap/v2/order", params=question)).json()
    assert body["transaction"] is None
    assert body["priceImpact"] < 0
    refused = await http.get(f"{stage.server.url}/swap/v2/order", params=question | {"excludeRouters": "metis"})
    assert refused.status_code == 400


async def test_the_advised_price_is_a_percentile_of_what_was_paid_lately(stage: JupiterStage, api: JupiterApi) -> None:
    wallet = stage.wallet()
    assert stage.carry_out(wallet, await JupiterBuild(api).offer(stage.buying(wallet))) is None  # pays 1,000
    offer = await JupiterBuild(api).offer(stage.buying(wallet))
    assert offer.compute_unit_price_micro_lamports == 1_000


async def test_prices_follow_the_pool_and_a_symbol_may_mean_a_token_without_one(
    stage: JupiterStage, api: JupiterApi
) -> None:
    class Six:
        async def of(self, mint: str) -> int | None:
            return 6

    have, want = stage.pool.reserves(stage.cluster, stage.pool.mints[0])
    found = await JupiterPrices(api, Six()).price(stage.frog)
    assert found is not None
    told, true = found.lamports_numerator / found.base_units_denominator, have / want
    assert abs(told / true - 1) < 1e-9
    assert await JupiterPrices(api, Six()).price(stage.stranger) is None
    (frog,) = await JupiterTokens(api).candidates("frog")  # the other FROG has no pool
    assert (frog.mint, frog.decimals) == (stage.frog, 6)
    assert frog.age_s == 1_800_000_000 - 1_790_000_000
    assert frog.liquidity_usd is not None
    assert abs(float(frog.liquidity_usd) / (2 * 150 * have / 10**9) - 1) < 1e-9


async def test_a_server_with_keys_and_a_limit_turns_away_as_the_gateway_does() -> None:
    options = ServerOptions(keys=frozenset({"good"}), calls_per_minute=2)
    async with jupiter_stage(options) as stage:
        wanted = stage.buying(stage.wallet())
        async with JupiterApi.connect(stage.market(jupiter_key="bad"), RouterSection(), WallClock()) as api:
            with pytest.raises(RouteRefused) as refused:
                await JupiterBuild(api).offer(wanted)
            assert refused.value.reason == "unauthorized"
        async with JupiterApi.connect(stage.market(jupiter_key="good"), RouterSection(), WallClock()) as api:
            await JupiterBuild(api).offer(wanted)
            await JupiterBuild(api).offer(replace(wanted, amount_in=2 * 10**9))
            with pytest.raises(RouterUnavailable) as raised:
                await JupiterBuild(api).offer(wanted)
            assert 50 < raised.value.retry_after_s <= 62  # until the first call is a minute old


def test_a_table_holds_no_more_than_the_chain_allows() -> None:
    cluster = Cluster()
    assert make_table(cluster, [STRANGER] * 256)
    with pytest.raises(ValueError, match="256"):
        make_table(cluster, [STRANGER] * 257)
