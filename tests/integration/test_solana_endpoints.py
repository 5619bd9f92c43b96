"""What endpoints do to the client, and what it makes of it."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr
from solders.keypair import Keypair
from starlette.responses import Response
from tests.doubles.clocks import SystemClock
from tests.doubles.scripted_chain import Fate, ScriptedChain, Take
from tests.support.scripted_rpc import Fault, Headers, ScriptedRpc, error, hanging, result, says, text
from tests.support.transfers import signed_transfer

from trading.adapters.solana.budget import CallBudget
from trading.adapters.solana.chain import SolanaChain
from trading.adapters.solana.endpoint import EndpointFailed, RpcEndpoint, RpcRefused
from trading.config import EndpointSection
from trading.errors import ChainUnavailable, InvalidInput, SendRefused
from trading.model.chain import Commitment

pytestmark = [pytest.mark.requirement("T10"), pytest.mark.anyio]
SECRET = "secret-key-of-one"


@asynccontextmanager
async def endpoint(
    world: ScriptedChain | None = None, **changes: Any
) -> AsyncIterator[tuple[RpcEndpoint, ScriptedRpc]]:
    async with ScriptedRpc.serving(world or ScriptedChain()) as server:
        section = server.section(**changes)
        made = RpcEndpoint("one", section.endpoints[0], section, SystemClock())
        try:
            yield made, server
        finally:
            await made.aclose()


@asynccontextmanager
async def chain_of(world: ScriptedChain, **changes: Any) -> AsyncIterator[tuple[SolanaChain, ScriptedRpc]]:
    async with (
        ScriptedRpc.serving(world) as server,
        SolanaChain.connect(server.section(**changes), SystemClock()) as chain,
    ):
        world.tick(40)
        yield chain, server


async def transfer(world: ScriptedChain, chain: SolanaChain) -> tuple[str, bytes, int]:
    payer = Keypair()
    world.bank.give(str(payer.pubkey()), 10**9)
    seen = await chain.latest_blockhash()
    signature, raw = signed_transfer(payer, str(Keypair().pubkey()), 10**6, seen.blockhash)
    return signature, raw, seen.last_valid_block_height


def wrong_id(asked: dict[str, Any]) -> Response:
    return result(5)(asked | {"id": asked["id"] + 1})


def neither(asked: dict[str, Any]) -> Response:
    return Response(b'{"jsonrpc":"2.0","id":%d}' % asked["id"])


FAULTS: dict[str, tuple[Fault, str]] = {
    "a page": (text("<!DOCTYPE html><title>Just a moment...</title>"), "not_json"),
    "a page of a proxy": (text("<html>Bad gateway</html>", 502), "http_5xx"),
    "a refusal": (text('{"error":"invalid key"', 403), "http_4xx"),
    "elsewhere": (text("", 302, location="https://elsewhere.example"), "http_4xx"),
    "half an answer": (text('{"jsonrpc":"2.0","id":1,"resu'), "not_json"),
    "nothing": (text(""), "not_json"),
    "no number": (text('{"jsonrpc":"2.0","id":1,"result":NaN}'), "not_json"),
    "a list": (text("[]"), "not_rpc"),
    "another answer": (says(wrong_id), "not_rpc"),
    "neither result nor error": (says(neither), "not_rpc"),
    "too much": (text(b'"' + b"x" * 5_000 + b'"'), "too_large"),
    "deep": (text(b"[" * 3_000), "not_json"),
    "silence": (hanging(), "timeout"),
    "busy": (text("", 429), "http_429"),
    "busy in words": (says(error(-32429, "rate limited")), "http_429"),
}


@pytest.mark.parametrize("what", FAULTS)
async def test_whatever_comes_instead_of_an_answer_is_a_failure_that_names_endpoint_and_method(what: str) -> None:
    fault, kind = FAULTS[what]
    # Where silence alone ends it, and what comes then has to be quicker; else as long as a busy machine takes.
    timeout_s = 1.0 if kind == "timeout" else 15.0
    async with endpoint(timeout_s=timeout_s, response_bytes_max=4_096) as (made, server):
        server.faults["one"]["getSlot"].append(fault)
        with pytest.raises(ChainUnavailable) as raised:
            await made.call("getSlot")
        assert isinstance(raised.value, EndpointFailed)
        assert raised.value.kind == kind
        assert str(raised.value).startswith("one, getSlot: ")
        assert made.health.errors == {kind: 1}
        with anyio.fail_after(30):
            while made.away_s:  # noqa: ASYNC110 - time alone ends it
                await anyio.sleep(0.01)
        assert await made.call("getSlot") == server.world.slot - server.world.finality_slots


@pytest.mark.parametrize(
    ("code", "data"),
    [(-32005, None), (-32005, {"numSlotsBehind": 42}), (-32002, None), (-32016, None), (-32019, [1]), (7, "x")],
)
async def test_an_error_with_or_without_data_is_told_by_its_code(code: int, data: Any) -> None:
    async with endpoint() as (made, server):
        server.faults["one"]["getSlot"].append(says(error(code, "Node is behind", data, status=400 if data else 200)))
        with pytest.raises(RpcRefused) as raised:
            await made.call("getSlot")
        assert (raised.value.rpc_code, raised.value.data, raised.value.said) == (code, data, "Node is behind")
        assert await made.call("getSlot")


async def test_what_an_endpoint_answers_is_counted_timed_and_taken_from_its_budget() -> None:
    async with chain_of(ScriptedChain()) as (chain, server):
        name = next(iter(chain.calls()))
        before = chain.calls()[name]
        await chain.latest_blockhash()
        after = chain.calls()[name]
        assert SECRET not in name
        assert after.ok > before.ok
        assert sum(after.answered_s.counts) == after.ok
        assert 0 < after.answered_s.total < 30
        assert after.budget_left <= before.budget_left
        server.faults["one"]["getSlot"].append(text("", 429))
        with suppress(ChainUnavailable):
            await chain._pool.peers[0].endpoint.call("getSlot")
        assert chain.calls()[name].errors["http_429"] == 1
        assert chain.calls()[name].away_s > 0


@pytest.mark.parametrize("given", ['"no"', '{"code":"7"}', '{"message":5}', "[1]", "true"])
async def test_an_error_of_any_shape_is_an_error(given: str) -> None:
    async with endpoint() as (made, server):
        server.faults["one"]["getSlot"].append(text(f'{{"jsonrpc":"2.0","id":null,"error":{given}}}'))
        with pytest.raises(RpcRefused) as raised:
            await made.call("getSlot")
        assert raised.value.rpc_code == 0


async def test_nobody_at_the_address_is_a_failure_that_shows_only_the_host() -> None:
    section = ScriptedRpc(ScriptedChain()).section(endpoints=[{"url": f"http://user:{SECRET}@127.0.0.1:1/{SECRET}"}])
    made = RpcEndpoint("127.0.0.1:1", section.endpoints[0], section, SystemClock())
    with pytest.raises(EndpointFailed, match=r"127\.0\.0\.1:1, getSlot: cannot be reached") as raised:
        await made.call("getSlot")
    assert raised.value.__cause__ is None
    assert SECRET not in repr(raised.value)
    with pytest.raises(EndpointFailed, match="left alone"):
        await made.call("getSlot")
    await made.aclose()


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry_after": "7"}, 6.5, 7.0),
        ({"x_ratelimit_reset": str(int(time.time()) + 3_600)}, 59, 60),
        ({"x_ratelimit_reset": "4.5"}, 4, 4.5),
        ({"retry_after": "Fri, 01 Jan 2100 00:00:00 GMT"}, 59, 60),
        ({"retry_after": "soon"}, 0.0, 0.1),
        ({"retry_after": "nan"}, 0.0, 0.1),
        ({}, 0.0, 0.1),
    ],
)
async def test_a_busy_endpoint_is_left_alone_as_long_as_it_asks(
    headers: dict[str, str], least: float, most: float
) -> None:
    async with endpoint() as (made, server):
        server.faults["one"]["getSlot"].append(text("slow down", 429, **headers))
        with pytest.raises(EndpointFailed):
            await made.call("getSlot")
        assert least < made.away_s <= most
        with pytest.raises(EndpointFailed) as raised:
            await made.call("getSlot")
        assert raised.value.kind == "backing_off"
        assert server.calls["one"]["getSlot"] == 1


async def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    """The other side closes what was kept open; the request goes out once more, on a new connection."""
    served = 0
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal served
        async with stream:
            await stream.receive()
            served += 1
            if served > 1:
                body = b'{"jsonrpc":"2.0","id":1,"result":5}'
                await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        section = ScriptedRpc(ScriptedChain()).section(endpoints=[{"url": f"http://127.0.0.1:{port}/"}])
        made = RpcEndpoint("one", section.endpoints[0], section, SystemClock())
        assert await made.call("getSlot") == 5
        assert served == 2
        await made.aclose()
        tasks.cancel_scope.cancel()


async def test_a_key_in_an_address_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with endpoint() as (made, server):
        url = f"{server.url}/one/{SECRET}?api-key=query-{SECRET}".replace("http://", "http://user-name:pass-word@")
        section = server.section(endpoints=[{"url": url}])
        made = RpcEndpoint("one", section.endpoints[0], section, SystemClock())
        said = f"the key query-{SECRET} at /one/{SECRET} is unknown to user-name"
        server.faults["one"]["getSlot"].append(says(error(-32000, said)))
        server.faults["one"]["getSlot"].append(text(SECRET))
        for _ in range(2):
            with pytest.raises(ChainUnavailable) as raised:
                await made.call("getSlot")
            assert SECRET not in str(raised.value)
            assert "user-name" not in str(raised.value)
        assert SECRET not in made.health.last_error
        await made.aclose()
    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]  # the other side
    shown = "\n".join(f"{record.name} {record.getMessage()}" for record in ours)
    assert server.calls["one"]["getSlot"] == 2
    assert SECRET not in shown
    assert "pass-word" not in shown


async def test_the_user_part_of_an_address_is_sent_as_a_header() -> None:
    seen: list[str] = []

    async def look(headers: Headers, asked: dict[str, Any]) -> Response:
        seen.append(headers.get("authorization", ""))
        return result(1)(asked)

    async with endpoint() as (_, server):
        server.faults["one"]["getSlot"].append(look)
        section = server.section(endpoints=[{"url": server.url.replace("http://", "http://me:p%40ss@") + "/one/x"}])
        made = RpcEndpoint("one", section.endpoints[0], section, SystemClock())
        await made.call("getSlot")
        await made.aclose()
    assert seen == ["Basic bWU6cEBzcw=="]


async def test_a_sending_goes_before_the_reads_that_wait() -> None:
    budget = CallBudget(4)  # a quarter of a second for each, in which a busy machine begins all of them
    order: list[str] = []
    while await budget.take(is_send=False, wait_s_max=0):
        pass

    async def take(name: str) -> None:
        assert await budget.take(is_send=name == "send", wait_s_max=30)
        order.append(name)

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(take, "read")
        await anyio.sleep(0.001)
        tasks.start_soon(take, "send")
    assert order == ["send", "read", "read"]


async def test_a_budget_bounds_calls_and_those_who_wait_for_them() -> None:
    budget = CallBudget(100)
    started = anyio.current_time()
    taken = 0
    async with anyio.create_task_group() as tasks:

        async def take() -> None:
            nonlocal taken
            taken += await budget.take(is_send=False, wait_s_max=0.2)

        for _ in range(300):
            tasks.start_soon(take)
    passed = anyio.current_time() - started
    assert 100 <= taken <= 100 + 100 * passed + 1
    assert passed < 1.5  # for all of them to be served would take 2 s


async def test_without_an_endpoint_there_is_no_chain() -> None:
    section = ScriptedRpc(ScriptedChain()).section(endpoints=[])
    with pytest.raises(InvalidInput) as raised:
        async with SolanaChain.connect(section, SystemClock()):
            raise AssertionError("opened")
    assert raised.value.field == "chain.endpoints"


# Several endpoints.


async def test_an_endpoint_of_another_chain_is_left_out_and_reported() -> None:
    world = ScriptedChain(("one", "two", "three"))
    async with chain_of(world) as (chain, server):
        world.endpoints[0].genesis = "OtherGenesis111111111111111111111111111111"
        seen = await chain.latest_blockhash()
        await chain.height(Commitment.CONFIRMED)
        assert seen.blockhash
        assert server.calls["one"] == {"getGenesisHash": 1}
        told = chain.health()["endpoints"]
        assert [each["wrong_chain"] for each in told.values()] == [world.endpoints[0].genesis, None, None]


async def test_a_slow_endpoint_holds_nobody_up_and_is_left_alone_for_a_while() -> None:
    world = ScriptedChain()
    async with chain_of(world, timeout_s=20.0, grace_s=0.1, backoff_base_s=5.0, backoff_cap_s=5.0) as (chain, server):
        await chain.height(Commitment.CONFIRMED)
        server.always["one"]["*"] = hanging()
        with anyio.fail_after(15):
            for _ in range(3):
                assert (await chain.height(Commitment.CONFIRMED)).endpoint
        assert chain.health()["endpoints"][server.url.removeprefix("http://")]["errors"] == {"slow": 1}


async def test_a_dead_endpoint_whose_pause_is_over_holds_up_nobody_who_asks_another() -> None:
    world = ScriptedChain()
    async with chain_of(world, timeout_s=20.0, backoff_base_s=0.1, backoff_cap_s=0.1, grace_s=0.05) as (chain, server):
        await chain.height(Commitment.CONFIRMED)
        server.always["two"]["*"] = hanging()
        began_s = time.monotonic()
        for _ in range(9):
            await chain.height(Commitment.CONFIRMED)
            await anyio.sleep(0.06)
        assert time.monotonic() - began_s < 15
        assert server.calls["two"]["getGenesisHash"] > 1, "its pause was never over"


async def test_a_read_goes_to_the_next_endpoint_when_one_fails_or_says_rubbish() -> None:
    world = ScriptedChain()
    wallet = str(Keypair().pubkey())
    async with chain_of(world) as (chain, server):
        world.bank.give(wallet, 77)
        for fault in (
            says(result({"context": {"slot": 1_040}, "value": []})),
            says(result({"context": {"slot": 1_040}, "value": [{"lamports": -1}]})),
            says(result(None)),
            says(error(-32005, "Node is unhealthy")),
            text("<html>"),
        ):
            server.faults["one"]["getMultipleAccounts"].append(fault)
            found = (await chain.accounts([wallet]))[wallet]
            assert found is not None
            assert found.lamports == 77
        assert server.calls["two"]["getMultipleAccounts"] == 5


async def test_a_balance_that_is_too_old_is_no_answer() -> None:
    """Behind one address stand several machines: the slot told a moment ago is not that of the one that answers."""
    world = ScriptedChain(("one",))
    async with chain_of(world, lag_slots_max=20, health_age_s=60.0) as (chain, server):
        wallet = str(Keypair().pubkey())
        await chain.accounts([wallet])
        stale = result({"context": {"slot": world.slot - 25}, "value": [None]})
        server.faults["one"]["getMultipleAccounts"].append(says(stale))
        with pytest.raises(ChainUnavailable, match="slots old"):
            await chain.accounts([wallet])


async def test_of_three_endpoints_one_that_pretends_to_be_far_ahead_changes_nothing() -> None:
    world = ScriptedChain(("one", "two", "three"))
    async with chain_of(world) as (chain, server):
        world.endpoints[0].ahead_blocks = 10_000
        seen = await chain.latest_blockhash()
        assert seen.last_valid_block_height < world.block_height + 151
        assert (await chain.height(Commitment.PROCESSED)).slot == world.slot
        await chain.accounts([str(Keypair().pubkey())])
        assert server.calls["two"]["getMultipleAccounts"] + server.calls["one"]["getMultipleAccounts"] >= 1


async def test_the_end_of_a_blockhash_is_the_latest_that_is_told() -> None:
    """Told too early, a transaction would be proven dead while it can still land."""
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        honest = await chain.latest_blockhash()
        early = {"blockhash": honest.blockhash, "lastValidBlockHeight": honest.last_valid_block_height - 140}
        lie = result({"context": {"slot": honest.context_slot}, "value": early})
        server.faults["one"]["getLatestBlockhash"].append(says(lie))
        assert (await chain.latest_blockhash()).last_valid_block_height == honest.last_valid_block_height


async def test_a_blockhash_that_the_other_endpoint_does_not_know_is_not_used() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        foreign = {"blockhash": str(Keypair().pubkey()), "lastValidBlockHeight": world.block_height + 149}
        fork = says(result({"context": {"slot": world.slot - 1}, "value": foreign}))
        server.always["one"]["getLatestBlockhash"] = fork
        assert (await chain.latest_blockhash()).blockhash != foreign["blockhash"]
        unknown = says(result({"context": {"slot": world.slot}, "value": False}))
        server.always["one"]["isBlockhashValid"] = unknown
        with pytest.raises(ChainUnavailable, match="dead fork"):
            await chain.latest_blockhash()
        # From an error of the witness nothing follows.
        server.always["one"]["isBlockhashValid"] = server.always["two"]["isBlockhashValid"] = text("<html>", 500)
        assert (await chain.latest_blockhash()).blockhash


# Sending.


async def test_a_first_sending_is_checked_at_confirmed_and_none_is_repeated_by_the_endpoint() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        _, raw, _ = await transfer(world, chain)
        await chain.send(raw, is_first=True)
        await chain.send(raw, is_first=False)
        with anyio.fail_after(30):
            while len([each for each in server.requests if each["method"] == "sendTransaction"]) < 4:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        sent = [each["params"][1] for each in server.requests if each["method"] == "sendTransaction"]
        assert {each["maxRetries"] for each in sent} == {0}
        assert {each["preflightCommitment"] for each in sent} == {"confirmed"}
        assert sorted(each["skipPreflight"] for each in sent) == [False, False, True, True]


async def test_all_endpoints_are_handed_the_bytes_though_the_first_answer_is_enough() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        signature, raw, _ = await transfer(world, chain)
        server.faults["one"]["sendTransaction"].append(hanging())
        with anyio.fail_after(15):
            assert await chain.send(raw, is_first=True) == signature
        assert server.calls["one"]["sendTransaction"] == server.calls["two"]["sendTransaction"] == 1


@pytest.mark.parametrize("has_data", [True, False])
async def test_what_was_processed_already_counts_as_taken(has_data: bool) -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        signature, raw, _ = await transfer(world, chain)
        said = "Transaction simulation failed: This transaction has already been processed"
        known = says(error(-32002, said, {"err": "AlreadyProcessed", "logs": []} if has_data else None))
        server.always["one"]["sendTransaction"] = server.always["two"]["sendTransaction"] = known
        assert await chain.send(raw, is_first=True) == signature


async def test_a_blockhash_not_found_is_a_refusal_that_proves_nothing_even_without_data() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        signature, raw, last_valid = await transfer(world, chain)
        unknown = says(error(-32002, "Transaction simulation failed: Blockhash not found"))
        server.always["one"]["sendTransaction"] = unknown
        # The other endpoint knows it: taken.
        assert await chain.send(raw, is_first=True) == signature
        server.always["two"]["sendTransaction"] = unknown
        with pytest.raises(SendRefused) as refused:
            await chain.send(raw, is_first=True)
        assert refused.value.error == '"BlockhashNotFound"'
        assert await chain.proof_of_absence(signature, last_valid) is None


async def test_the_refusal_that_says_most_is_told() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        _, raw, _ = await transfer(world, chain)
        server.always["one"]["sendTransaction"] = says(error(-32002, "Blockhash not found"))
        slipped = {"err": {"InstructionError": [3, {"Custom": 6001}]}, "logs": ["custom program error: 0x1771"]}
        server.always["two"]["sendTransaction"] = says(error(-32002, "failed", slipped))
        with pytest.raises(SendRefused) as refused:
            await chain.send(raw, is_first=True)
        assert refused.value.error == '{"InstructionError":[3,{"Custom":6001}]}'
        assert refused.value.logs == ("custom program error: 0x1771",)


@pytest.mark.parametrize("err", ["[" * 1_000 + "]" * 1_000, "0.5", '{"Custom":1e999}', "null", '""'])
async def test_an_error_of_the_chain_that_cannot_be_read_is_still_a_refusal_or_no_answer(err: str) -> None:
    world = ScriptedChain(("one",))
    async with chain_of(world) as (chain, server):
        signature, raw, _ = await transfer(world, chain)
        body = f'{{"id":%d,"error":{{"code":-32002,"message":"failed","data":{{"err":{err}}}}}}}'
        server.always["one"]["sendTransaction"] = says(lambda asked: Response(body % asked["id"]))
        with pytest.raises((SendRefused, ChainUnavailable)):
            await chain.send(raw, is_first=True)
        found = f'{{"id":%d,"result":{{"context":{{"slot":1}},"value":[{{"slot":1,"err":{err}}}]}}}}'
        server.always["one"]["getSignatureStatuses"] = says(lambda asked: Response(found % asked["id"]))
        with pytest.raises(ChainUnavailable):
            await chain.status(signature)


async def test_an_endpoint_that_answers_with_another_signature_has_not_taken_it() -> None:
    world = ScriptedChain(("one",))
    async with chain_of(world) as (chain, server):
        _, raw, _ = await transfer(world, chain)
        server.always["one"]["sendTransaction"] = says(result("5" * 88))
        with pytest.raises(ChainUnavailable, match="another signature"):
            await chain.send(raw, is_first=True)


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x01" + b"x" * 63, b"\xff\xff\xff\xff", b"\x01" * 1_233])
async def test_bytes_that_no_endpoint_could_take_are_refused_at_once(raw: bytes) -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        with pytest.raises(SendRefused):
            await chain.send(raw, is_first=False)
        assert server.calls == {}


def late(server: ScriptedRpc) -> Fault:
    """The true answer to a sending, a little later."""

    async def fault(headers: Headers, asked: dict[str, Any]) -> Response:
        await anyio.sleep(0.15)
        return result(server._send_transaction(server.world.endpoints[1], *asked["params"]))(asked)

    return fault


async def test_a_sending_goes_on_when_who_asked_for_it_is_gone() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        signature, raw, _ = await transfer(world, chain)
        server.faults["one"]["sendTransaction"].append(hanging(0.3))
        server.faults["two"]["sendTransaction"].append(late(server))
        with anyio.move_on_after(0.05):
            await chain.send(raw, is_first=True)
            raise AssertionError("answered")
        with anyio.fail_after(30):
            while not world.sent:  # noqa: ASYNC110 - the world tells it by no event
                await anyio.sleep(0.005)
        world.tick(2)
        assert world.landed(signature)


# Statuses and proofs.


async def test_many_who_ask_at_once_are_answered_by_one_call() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        signature, raw, _ = await transfer(world, chain)
        await chain.send(raw, is_first=True)
        world.tick(2)
        others = [str(Keypair().sign_message(bytes([number]))) for number in range(40)]
        found: dict[str, Any] = {}

        async def ask(each: str) -> None:
            found[each] = await chain.status(each)

        async with anyio.create_task_group() as tasks:
            for each in [*others, signature]:
                tasks.start_soon(ask, each)
        assert server.calls["one"]["getSignatureStatuses"] == 1
        assert found[signature].commitment is Commitment.CONFIRMED
        assert [found[each] for each in others] == [None] * 40


async def test_one_who_is_cancelled_takes_no_answer_from_the_others() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, _):
        signature, raw, _ = await transfer(world, chain)
        await chain.send(raw, is_first=True)
        world.tick(2)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chain.status, "1" * 64)
                await anyio.lowlevel.checkpoint()
                scope.cancel()
        assert await chain.status(signature) is not None


async def test_a_status_is_found_however_long_ago_it_landed() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, _):
        signature, raw, last_valid = await transfer(world, chain)
        await chain.send(raw, is_first=True)
        world.tick(1_000)
        seen = await chain.status(signature)
        assert seen is not None
        assert seen.commitment is Commitment.FINALIZED
        assert await chain.proof_of_absence(signature, last_valid) is None


PROOFLESS: dict[str, tuple[str, Fault]] = {
    "an error": ("getSignatureStatuses", says(error(-32005, "Node is unhealthy"))),
    "a page": ("getSignatureStatuses", text("<html>")),
    "silence": ("getSignatureStatuses", hanging()),
    "no height": ("getEpochInfo", says(error(-32000, "no"))),
    "a height that is none": ("getEpochInfo", says(result({"absoluteSlot": "9", "blockHeight": True}))),
    "a status that is none": ("getSignatureStatuses", says(result({"context": {"slot": 9_999}, "value": [5]}))),
    "no status": ("getSignatureStatuses", says(result({"context": {"slot": 9_999}, "value": []}))),
    "a machine that is behind": ("getSignatureStatuses", says(result({"context": {"slot": 1_100}, "value": [None]}))),
}


@pytest.mark.parametrize("what", PROOFLESS)
async def test_what_is_no_answer_never_makes_a_proof(what: str) -> None:
    method, fault = PROOFLESS[what]
    world = ScriptedChain()
    async with chain_of(world, timeout_s=1.0 if what == "silence" else 15.0) as (chain, server):
        signature, _, last_valid = await transfer(world, chain)
        world.expire()
        assert await chain.proof_of_absence(signature, last_valid) is not None
        server.always["two"][method] = fault
        assert await chain.proof_of_absence(signature, last_valid) is None


async def test_a_second_source_that_is_always_slower_is_a_source_all_the_same() -> None:
    world = ScriptedChain()
    async with chain_of(world, grace_s=0.02) as (chain, server):
        signature, _, last_valid = await transfer(world, chain)
        world.expire()

        async def slowly(headers: Headers, asked: dict[str, Any]) -> Response:
            await anyio.sleep(0.1)
            return result(server._get_epoch_info(world.endpoints[1], *asked["params"]))(asked)

        server.always["two"]["getEpochInfo"] = slowly
        assert await chain.proof_of_absence(signature, last_valid) is not None


async def test_a_slot_that_was_told_by_mistake_is_forgotten() -> None:
    """And with it that everybody else is far behind."""
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        wallet = str(Keypair().pubkey())
        server.faults["one"]["getSlot"].append(says(result(10**15)))
        server.always["one"]["getMultipleAccounts"] = text("<html>")
        with pytest.raises(ChainUnavailable):
            await chain.accounts([wallet])
        with anyio.fail_after(30):
            while True:
                try:
                    assert await chain.accounts([wallet]) == {wallet: None}
                    break
                except ChainUnavailable:
                    await anyio.sleep(0.02)


async def test_no_blockhash_comes_from_one_that_is_behind_what_another_told_before() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, _):
        await chain.latest_blockhash()
        world.endpoints[1].lag_slots = 200
        world.endpoints[0].is_down = True
        with pytest.raises(ChainUnavailable, match="behind"):
            await chain.latest_blockhash()


async def test_a_transaction_is_not_there_only_where_somebody_says_so() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        signature, _, _ = await transfer(world, chain)
        server.always["one"]["getTransaction"] = text("<html>", 500)
        assert await chain.transaction(signature) is None
        server.always["two"]["getTransaction"] = says(error(-32015, "Transaction version (1) is not supported"))
        with pytest.raises(ChainUnavailable):
            await chain.transaction(signature)


async def test_a_proof_asks_for_the_height_first_and_never_whether_a_blockhash_is_valid() -> None:
    world = ScriptedChain(("one",))
    async with chain_of(world) as (chain, server):
        signature, _, last_valid = await transfer(world, chain)
        world.expire()
        server.requests.clear()
        proof = await chain.proof_of_absence(signature, last_valid)
        asked = [each["method"] for each in server.requests]
        # The only endpoint is asked twice.
        assert asked == ["getEpochInfo", "getSignatureStatuses"] * 2
        assert server.requests[0]["params"] == [{"commitment": "finalized"}]
        assert server.requests[1]["params"][1] == {"searchTransactionHistory": True}
        assert proof is not None
        assert [each.endpoint for each in proof.heights] == [server.url.removeprefix("http://")] * 2


async def test_a_transaction_that_lands_in_the_last_block_it_can_is_not_given_up() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, _):
        signature, raw, last_valid = await transfer(world, chain)
        world.fates.append(Fate(delay_slots=last_valid - world.block_height - 1))
        await chain.send(raw, is_first=True)
        while world.block_height < last_valid + world.finality_slots + 3:
            world.tick()
            assert await chain.proof_of_absence(signature, last_valid) is None
        seen = await chain.status(signature)
        assert seen is not None
        assert seen.commitment is Commitment.FINALIZED


async def test_a_dropped_transaction_is_proven_dead_with_two_of_three_when_one_lags() -> None:
    world = ScriptedChain(("one", "two", "three"))
    async with chain_of(world) as (chain, _):
        signature, raw, last_valid = await transfer(world, chain)
        world.fate_always = Fate(Take.DROPPED)
        await chain.send(raw, is_first=True)
        world.expire()
        world.endpoints[1].lag_slots = 400
        proof = await chain.proof_of_absence(signature, last_valid)
        assert proof is not None
        assert len(proof.heights) == 2


async def test_one_endpoint_that_knows_it_outweighs_two_that_deny_it() -> None:
    world = ScriptedChain(("one", "two", "three"))
    async with chain_of(world) as (chain, _):
        signature, raw, last_valid = await transfer(world, chain)
        await chain.send(raw, is_first=True)
        world.tick(2)
        world.expire()
        for liar in world.endpoints[:2]:
            liar.denies.add(signature)
        assert await chain.proof_of_absence(signature, last_valid) is None


async def test_a_fee_that_an_endpoint_reports_too_low_does_not_change_what_the_balances_say() -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, _):
        payer = Keypair()
        world.bank.give(str(payer.pubkey()), 10**9)
        seen = await chain.latest_blockhash()
        signature, raw = signed_transfer(
            payer, str(Keypair().pubkey()), 10**6, seen.blockhash, price_micro_lamports=10**6, unit_limit=200_000
        )
        await chain.send(raw, is_first=True)
        world.tick(40)
        found = await chain.transaction(signature)
        assert found is not None
        before, after = found.lamports[str(payer.pubkey())]
        assert (before - after - 10**6, found.reported_fee_lamports) == (205_000, 5_000)


@pytest.mark.parametrize("other", ["bytes", "balances", "meta"])
async def test_an_answer_about_another_transaction_is_no_answer(other: str) -> None:
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        signature, raw, _ = await transfer(world, chain)
        second, more, _ = await transfer(world, chain)
        for each in (raw, more):
            await chain.send(each, is_first=True)
        world.tick(40)
        told = server._get_transaction(world.endpoints[0], second if other == "bytes" else signature, {})
        if other == "balances":
            told["meta"]["postBalances"].pop()
        elif other == "meta":
            told["meta"] = None
        server.always["one"]["getTransaction"] = says(result(told))
        found = await chain.transaction(signature)
        assert found is not None
        assert found.endpoint.endswith("#2")


async def test_a_long_history_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading.adapters.solana.chain.HISTORY_PAGE", 2)
    world = ScriptedChain()
    async with chain_of(world) as (chain, server):
        payer = Keypair()
        world.bank.give(str(payer.pubkey()), 10**10)
        made = []
        for lamports in range(10**6, 10**6 + 5):
            seen = await chain.latest_blockhash()
            signature, raw = signed_transfer(payer, str(Keypair().pubkey()), lamports, seen.blockhash)
            world.land(raw)
            made.append(signature)
        world.tick(40)
        found = await chain.signatures(str(payer.pubkey()), until=None, limit=100)
        assert [each.signature for each in found] == made[::-1]
        assert server.calls["one"]["getSignaturesForAddress"] == 3


def test_an_address_is_shown_by_nothing_that_a_setting_can_be_shown_by() -> None:
    section = EndpointSection(url=SecretStr(f"https://x.example/{SECRET}"))
    assert SECRET not in f"{section} {section!r} {section.model_dump_json()}"
