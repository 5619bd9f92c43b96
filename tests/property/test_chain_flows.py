"""Whatever a person does with the wallets, the books have the same cash and the same tokens as the chain afterwards."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.hand_chain import BASE_FEE_PAYER, HandChain

from trading.model.events import CapitalDeposited
from trading.model.intent import SOL_MINT
from trading.portfolio.chain_flows import AlarmKind, ChainFlows, FlowRules, Foreign, unexplained
from trading.portfolio.flow_booking import Books, events_of, steps_of
from trading.portfolio.ledger import Ledger

WALLETS = ("w1", "w2")
MINTS = ("AAA", "BAD")
START = 10**10
ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ("in", "out", "between", "buy", "sell", "exchange", "airdrop", "give", "taken", "wrap", "unwrap", "close")
        ),
        st.sampled_from(WALLETS),
        st.sampled_from(MINTS),
        st.integers(1, 10**9),
        st.integers(1, 100),
    ),
    min_size=15,
    max_size=40,
)


def act(chain: HandChain, what: str, wallet: str, mint: str, lamports: int, percent: int) -> Any:
    """Do it where the wallet can; None where it cannot."""
    held = chain.accounts.get((wallet, mint), 0)
    part = held * percent // 100
    other = MINTS[(MINTS.index(mint) + 1) % len(MINTS)]
    if chain.native[wallet] < lamports + 10**8 and what in {"out", "between", "buy", "wrap"}:
        return None
    if not part and what in {"sell", "exchange", "give", "taken"}:
        return None
    if what == "in":
        return chain.send_sol(wallet, lamports)
    if what == "out":
        return chain.send_sol(wallet, -lamports)
    if what == "between":
        return chain.between(wallet, "w2" if wallet == "w1" else "w1", lamports)
    if what == "buy":
        return chain.swap(wallet, mint, percent * 1_000, lamports)
    if what == "sell":
        return chain.swap(wallet, mint, -part, lamports, closes=True)
    if what == "exchange":
        return chain.exchange(wallet, (mint, part), (other, percent))
    if what == "airdrop":
        return chain.send_token(wallet, mint, percent, BASE_FEE_PAYER)
    if what in {"give", "taken"}:
        return chain.send_token(wallet, mint, -part, wallet if what == "give" else BASE_FEE_PAYER)
    if what == "close":
        empty = chain.accounts.get((wallet, mint)) == 0
        return chain.close(wallet, mint, gift=lamports % 3) if empty else None
    wrapped = chain.accounts.get((wallet, SOL_MINT), 0)
    return chain.wrap(wallet, lamports if what == "wrap" else -min(wrapped, lamports))


@pytest.mark.requirement("T20")
@settings(max_examples=120, deadline=None)
@given(ACTS, st.sampled_from(Foreign), st.booleans(), st.booleans())
def test_the_books_keep_up_with_the_chain_to_the_unit(
    acts: list[tuple[str, str, str, int, int]], foreign: Foreign, bans: bool, has_price: bool
) -> None:
    chain = HandChain(dict.fromkeys(WALLETS, START))
    ledger = Ledger()
    for bucket in ("trend", "reversion"):
        ledger.apply(CapitalDeposited(f"start/{bucket}", 0, bucket, START, "start"))
    banned = frozenset({"BAD"} if bans else ())
    rules = FlowRules(weights_bps=(("trend", 4_000),), foreign=foreign, banned=banned)
    flows = ChainFlows(frozenset(WALLETS), rules)
    for number, wanted in enumerate(acts):
        seen = act(chain, *wanted)
        if seen is None:
            continue
        books = Books.of(ledger)
        told = flows.take(seen, books, lambda _mint, units: units * 7 if has_price else None, number)
        assert not {alarm.kind for alarm in told.alarms} & {AlarmKind.BOOKS_SHORT}
        for event in events_of(f"chain/{seen.signature}", number, steps_of(told.events)):
            assert not ledger.apply(event).duplicate
        again = flows.take(seen, books, lambda _mint, _units: None, number)
        assert (again.events, again.alarms) == ((), ())
        assert ledger.cash_lamports == chain.cash
        assert all(bucket.cash_lamports >= 0 for bucket in ledger.buckets.values())
        units = {mint: chain.units(mint) for mint in MINTS if mint not in banned}
        assert unexplained(Books.of(ledger), {**units, SOL_MINT: chain.cash}, flows.foreign) == {}
        assert not banned & {each.mint for each in ledger.positions()}
        if wanted[0] in {"out", "buy", "sell", "exchange", "give", "close"}:
            assert AlarmKind.SIGNED_WITHOUT_INTENT in {alarm.kind for alarm in told.alarms}
