"""The chain of a trade begins with what was known about its token."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doubles.kernel_bench import KernelBench
from tests.doubles.scripted_facts import clean_facts
from tests.doubles.scripted_market import MINT, START_NS, merged, script

from trading.adapters.journal_archive import RunArchive
from trading.adapters.sql_journal import JournalStore
from trading.model import events
from trading.model.market_data import Bar, FactsKnown, MarketEvent, TokenListed
from trading.model.rug_rules import RugRules
from trading.runtime.documents import Document
from trading.runtime.fact_texts import facts_text
from trading.runtime.funnel import passed_over
from trading.runtime.history import RunView, chain

OTHER = "sim:BBB"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path / "journal.db")
    yield opened
    opened.close()


def told(store: JournalStore, market: list[MarketEvent]) -> list[Document]:
    """Return the chains of all trajectories in which something was bought or refused."""
    journal = store.start_run("run", "t", 0)
    bench = KernelBench(lambda bar: 1.0 if bar.mint == MINT else None, journal=journal).feed(market)
    kernel = bench.kernel
    view = RunView(
        "run",
        journal,
        RunArchive(store, journal.run),
        dict(kernel.valuer.instruments),
        kernel.state.now_ns,
        passed_over(kernel),
        dict(kernel.seen_ns),
        kernel.state.profile.rugs,
    )
    raised = {event.trajectory_id: event for event in bench.events(events.SignalRaised)}
    found = [chain(view, order_id=None, trajectory_id=trajectory) for trajectory in raised]
    return [each for each in found if each is not None]


def market(**changes: str) -> list[MarketEvent]:
    """Return two tokens: facts on both, and newer ones on the first after its first bar."""
    found: list[MarketEvent] = []
    for event in merged(script(["1", "1.01", "1.02"]), script(["1", "1", "1"], mint=OTHER)):
        found.append(event)
        if isinstance(event, TokenListed):
            mint = event.instrument.mint
            found.append(FactsKnown(event.ts_ns, clean_facts(mint, **(changes if mint == MINT else {})), "s"))
        elif isinstance(event, Bar) and event.ts_open_ns > START_NS:
            found.append(FactsKnown(event.ts_close_ns, clean_facts(event.mint, holders=77), "s"))
    return found


@pytest.mark.requirement("T19")
def test_the_chain_of_a_trade_begins_with_the_facts_that_its_entry_rested_on(store: JournalStore) -> None:
    first = told(store, market())[0]["chain"]
    steps = [step["step"] for step in first]
    assert steps[0] == "facts"
    assert "order" in steps
    assert first[0]["text"] == (
        "known about AAA: 500 holders, ten of them have 2000 bps, 100 SOL in its pool, liquidity burned, 3600 s old; "
        "against it speaks: nothing"
    )


def test_the_chain_of_a_refusal_names_what_speaks_against_the_token(store: JournalStore) -> None:
    first = told(store, market(mint_authority="sim:owner"))[0]["chain"]
    assert "against it speaks: sim:owner can mint more of it" in first[0]["text"]
    assert next(step["text"] for step in first if step["step"] == "verdict").startswith("denied (rug_mint_authority)")


def test_without_facts_the_chain_is_what_it_was(store: JournalStore) -> None:
    first = told(store, list(script(["1", "1.01", "1.02"])))[0]["chain"]
    assert "facts" not in [step["step"] for step in first]


def test_what_is_not_known_is_not_told() -> None:
    bare = clean_facts(holders=None, top_ten_bps=None, liquidity_lamports=None, liquidity_hold=None, age_s=None)
    assert facts_text(bare, "AAA", RugRules()).startswith(
        "known about AAA: nothing but its mint; against it speaks: not known: "
    )
