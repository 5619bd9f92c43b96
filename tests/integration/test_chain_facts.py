"""What the public market feed learns about its tokens from the chain, and what it does not pretend to know."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from tests.doubles.scripted_chain import ScriptedChain
from tests.support.market_server import NS, FakePool, MarketServer, SteppedClock
from tests.support.scripted_rpc import ScriptedRpc, error, hanging, says, text
from tests.support.transfers import signed_transfer

from trading.adapters.live_feed import LiveMarketFeed
from trading.adapters.live_feed_choice import choose_feed
from trading.adapters.solana.chain import SolanaChain
from trading.adapters.solana.mints import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from trading.adapters.solana.token_facts import ChainFacts, facts_of_chain, facts_of_mint
from trading.errors import ChainUnavailable
from trading.model.chain import MintSeen
from trading.model.market_data import CycleEnd, FactsKnown, MarketEvent, TokenListed
from trading.model.rug_rules import RugRules
from trading.model.token_facts import Facts
from trading.risk.rug_checks import RugReason, findings

pytestmark = [pytest.mark.requirement("T10"), pytest.mark.anyio]


def key() -> str:
    return str(Keypair().pubkey())


def mint_data(supply: int, minter: str = "", freezer: str = "", more: bytes = b"") -> bytes:
    """Return a mint account's bytes; with ``more``, extensions of Token-2022 behind it."""
    keys = [struct.pack("<I", bool(each)) + (bytes(Pubkey.from_string(each)) if each else bytes(32))
            for each in (minter, freezer)]  # fmt: skip
    base = keys[0] + struct.pack("<QBB", supply, 6, 1) + keys[1]
    return base + (bytes(83) + b"\x01" + more if more else b"")


@asynccontextmanager
async def opened(**changes: Any) -> AsyncIterator[tuple[ChainFacts, ScriptedRpc, SteppedClock]]:
    clock = SteppedClock()
    async with ScriptedRpc.serving(ScriptedChain(("one",))) as server:
        section = server.section(**changes)
        async with SolanaChain.connect(section, clock) as chain:
            server.world.tick(40)
            yield ChainFacts(chain, section, clock), server, clock


def plant(server: ScriptedRpc, supply: int = 1_000_000, **authorities: str) -> tuple[str, str, str]:
    """Make a mint and a pool that holds half of it; return mint, pool and the pool's account."""
    bank = server.world.bank
    mint, pool, vault_owner = key(), key(), key()
    bank.data[mint] = (TOKEN_PROGRAM, mint_data(supply, **authorities))
    vault = bank.give_tokens(vault_owner, mint, supply // 2)
    bank.data[pool] = (key(), b"\x07" * 40 + bytes(Pubkey.from_string(vault)) + b"\x01" * 90)
    return mint, pool, vault


async def test_authorities_and_the_largest_holders_are_told_without_the_pool_and_what_is_burned() -> None:
    async with opened() as (source, server, _):
        mint, pool, _ = plant(server, minter=(minter := key()), freezer=(freezer := key()))
        for units in [30_000] * 9 + [20_000] * 5:
            server.world.bank.give_tokens(key(), mint, units)
        server.world.bank.give_tokens("1nc1nerator11111111111111111111111111111111", mint, 90_000)
        facts = await source.facts(mint, pool, needs_age=False)
    assert facts == Facts(
        mint=mint,
        age_s=None,
        holders=None,
        top_ten_bps=(9 * 30_000 + 20_000) * 10_000 // 1_000_000,
        mint_authority=minter,
        freeze_authority=freezer,
        transfer_fee_bps=0,
        transfer_hook="",
        permanent_delegate="",
        liquidity_lamports=None,
        liquidity_hold=None,
        sale=None,
    )


async def test_many_accounts_of_one_owner_are_one_holder_and_an_account_of_the_pool_is_none() -> None:
    async with opened() as (source, server, _):
        mint, pool, _ = plant(server)
        whale = key()
        for _ in range(4):
            made = server.world.bank.give_tokens(key(), mint, 50_000)
            server.world.bank.tokens[made].owner = whale
        server.world.bank.give_tokens(pool, mint, 100_000)
        for _ in range(9):
            server.world.bank.give_tokens(key(), mint, 1)
        facts = await source.facts(mint, pool, needs_age=False)
        assert facts is not None
        assert facts.top_ten_bps == 2_001


async def test_what_is_no_token_has_no_facts() -> None:
    async with opened() as (source, server, _):
        server.world.bank.give(wallet := key(), 5)
        assert await source.facts(key(), key(), needs_age=False) is None
        assert await source.facts(wallet, key(), needs_age=False) is None


async def test_an_answer_is_remembered_and_grows_older() -> None:
    async with opened(facts_age_s=600.0) as (source, server, clock):
        mint, pool, _ = plant(server)
        payer = Keypair()
        server.world.bank.give(str(payer.pubkey()), 10**9)
        server.world.land(signed_transfer(payer, pool, 10**6, server.world._blockhash_at(server.world.block_height))[1])
        server.world.tick(40)
        first = await source.facts(mint, pool, needs_age=True)
        assert first is not None
        assert first.age_s == clock.now_ns() // NS - 1, "the scripted history begins at second 1"
        asked = len(server.requests)
        clock.advance(90)
        later = await source.facts(mint, pool, needs_age=True)
        assert later is not None
        assert later.age_s == first.age_s + 90
        assert len(server.requests) == asked
        server.world.bank.data[mint] = (TOKEN_PROGRAM, mint_data(1_000_000, minter=key()))
        clock.advance(601)
        changed = await source.facts(mint, pool, needs_age=True)
        assert changed is not None
        assert changed.mint_authority


async def test_a_part_that_an_endpoint_does_not_tell_is_not_known_and_the_rest_is() -> None:
    async with opened() as (source, server, _):
        mint, pool, _ = plant(server)
        server.always["one"]["getTokenLargestAccounts"] = says(error(-32600, "not on this plan"))
        server.always["one"]["getSignaturesForAddress"] = says(error(-32600, "not on this plan"))
        facts = await source.facts(mint, pool, needs_age=True)
        assert facts is not None
        assert (facts.top_ten_bps, facts.age_s, facts.mint_authority) == (None, None, "")
        server.always["one"]["getMultipleAccounts"] = text("<html>")
        with pytest.raises(ChainUnavailable):
            await source.facts(key(), pool, needs_age=False)


def seen(**changes: Any) -> MintSeen:
    given: dict[str, Any] = {
        "mint": "m",
        "token_program": TOKEN_2022_PROGRAM,
        "decimals": 6,
        "supply_units": 1,
        "mint_authority": "",
        "freeze_authority": "",
        "transfer_fee_bps": 0,
        "transfer_fee_max_units": 0,
        "transfer_hook": "",
        "permanent_delegate": "",
        "is_frozen_by_default": False,
        "is_non_transferable": False,
    }
    return MintSeen(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mint_authority": "x"}, RugReason.MINT_AUTHORITY),
        ({"freeze_authority": "x"}, RugReason.FREEZE_AUTHORITY),
        ({"pause_authority": "x"}, RugReason.FREEZE_AUTHORITY),
        ({"permanent_delegate": "x"}, RugReason.PERMANENT_DELEGATE),
        ({"transfer_hook": "x"}, RugReason.TRANSFER_HOOK),
        ({"transfer_hook_authority": "x"}, RugReason.TRANSFER_HOOK),
        ({"transfer_fee_bps": 1}, RugReason.TRANSFER_FEE),
        ({"is_non_transferable": True}, RugReason.UNSELLABLE),
        ({"is_paused": True}, RugReason.UNSELLABLE),
        ({"is_frozen_by_default": True}, RugReason.UNSELLABLE),
    ],
)
async def test_each_trap_of_a_mint_fails_a_rug_check(changes: dict[str, Any], reason: RugReason) -> None:
    found = findings(facts_of_mint(seen(**changes), top_ten_bps=0, age_s=0), RugRules())
    assert reason in {each.reason for each in found}
    clean = findings(facts_of_mint(seen(), top_ten_bps=0, age_s=0), RugRules())
    assert {each.reason for each in clean} == {RugReason.FACTS_UNKNOWN}


async def test_with_an_unknown_extension_nothing_is_known_about_transfers() -> None:
    facts = facts_of_mint(seen(unknown_extensions=(99,)), top_ten_bps=0, age_s=0)
    assert (facts.transfer_fee_bps, facts.transfer_hook, facts.permanent_delegate) == (None, None, None)


# In the feed.


@asynccontextmanager
async def fed(skip_bar_s: int = 0, **changes: Any) -> AsyncIterator[tuple[LiveMarketFeed, ScriptedRpc, str]]:
    """The market feed on a token of the scripted chain."""
    clock = SteppedClock()
    async with ScriptedRpc.serving(ScriptedChain(("one",))) as server:
        server.world.tick(40)
        mint, pool, _ = plant(server, freezer=key())
        fake = FakePool(pool, mint, "FROG", skip_bars_s={skip_bar_s})
        async with MarketServer.serving(clock, [fake]) as market:
            given = {"facts_age_s": 900.0, "timeout_s": 0.5} | changes
            facts = facts_of_chain(server.section(**given), clock)
            feed = LiveMarketFeed(market.section(events_len_max=64), clock, clock.sleep, facts)
            async with feed.running():
                yield feed, server, mint


async def cycle(feed: LiveMarketFeed) -> list[MarketEvent]:
    found: list[MarketEvent] = []
    with anyio.fail_after(20):
        while not found or not isinstance(found[-1], CycleEnd):
            found.append(await feed.receive())
    return found


async def test_facts_come_behind_the_listing_and_before_the_bar_and_again_when_they_are_old() -> None:
    async with fed() as (feed, _, mint):
        cycles = [await cycle(feed) for _ in range(4)]
    kinds = [[type(event).__name__ for event in events] for events in cycles]
    assert kinds[0] == ["TokenListed", "FactsKnown", "History", "Bar", "CycleEnd"]
    assert kinds[1:] == [["Bar", "CycleEnd"], ["Bar", "CycleEnd"], ["FactsKnown", "Bar", "CycleEnd"]]
    listed, known = cycles[0][:2]
    assert isinstance(listed, TokenListed)
    assert isinstance(known, FactsKnown)
    assert known.facts.mint == mint
    assert known.facts.freeze_authority
    assert known.ts_ns == listed.ts_ns
    assert known.facts.liquidity_lamports == 800 * NS, "the market page's"
    assert known.facts.age_s == known.ts_ns // NS - 1_767_225_600, "since the pool was made"


async def test_facts_of_a_token_that_is_listed_later_come_with_its_listing() -> None:
    async with fed(skip_bar_s=1_789_999_800) as (feed, _, _):
        cycles = [await cycle(feed) for _ in range(2)]
    kinds = [[type(event).__name__ for event in events] for events in cycles]
    assert kinds[0] == ["CycleEnd"]
    assert kinds[1][:2] == ["TokenListed", "FactsKnown"]


@pytest.mark.parametrize("fault", [text("<html>", 500), hanging()])
async def test_a_chain_that_does_not_answer_costs_the_feed_its_facts_and_nothing_else(fault: Any) -> None:
    async with fed(attempts_max=1) as (feed, server, _):
        server.always["one"]["*"] = fault
        kinds = [type(event).__name__ for event in await cycle(feed)]
        assert kinds == ["TokenListed", "History", "Bar", "CycleEnd"]
        counts = feed.health()["counts"]
        assert counts.get("facts_missed", 0) + counts.get("facts_late", 0) >= 1
        del server.always["one"]["*"]
        with anyio.fail_after(30):
            while not any(isinstance(event, FactsKnown) for event in await cycle(feed)):  # noqa: ASYNC110
                await anyio.sleep(0.02)


async def test_without_an_endpoint_the_feed_knows_the_market_and_nothing_else() -> None:
    clock = SteppedClock()
    async with ScriptedRpc.serving(ScriptedChain(("one",))) as server, MarketServer.serving(clock, []) as market:
        none = await choose_feed("market", market.section(), clock, chain=server.section(endpoints=[]))
        some = await choose_feed("market", market.section(), clock, chain=server.section())
        assert isinstance(none.feed, LiveMarketFeed)
        assert isinstance(some.feed, LiveMarketFeed)
        assert (none.feed._facts is None, some.feed._facts is None) == (True, False)
        assert server.requests == []
