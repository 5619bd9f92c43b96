"""What every source of facts promises: the same answer for the same question, nothing from the future."""

from dataclasses import replace

import pytest
from tests.doubles.scripted_facts import ScriptedFacts, clean_facts

from trading.feeds.synthetic_facts import SyntheticFacts, planted, with_terms
from trading.model.instrument import Instrument
from trading.ports import TokenFacts

MINT = "sim:NEW00003"
LISTED_NS = 1_000 * 10**9


def scripted() -> TokenFacts:
    return ScriptedFacts({MINT: (LISTED_NS, clean_facts(MINT))})


def synthetic() -> TokenFacts:
    facts = SyntheticFacts(seed=5)
    launch = planted(5, 3, is_rug=True)
    facts.take_in(with_terms(5, launch, Instrument(MINT, "NEW00003", 6)), 60 * 10**9, LISTED_NS, launch)
    return facts


@pytest.fixture(params=[scripted, synthetic], ids=lambda make: make.__name__)
def source(request: pytest.FixtureRequest) -> TokenFacts:
    made: TokenFacts = request.param()
    return made


def test_a_token_is_described_by_its_own_mint_and_alike_every_time(source: TokenFacts) -> None:
    first = source.facts(MINT, LISTED_NS)
    assert first is not None
    assert first.mint == MINT
    assert source.facts(MINT, LISTED_NS) == first


def test_only_its_age_moves_with_time(source: TokenFacts) -> None:
    first, later = source.facts(MINT, LISTED_NS), source.facts(MINT, LISTED_NS + 90 * 10**9)
    assert first is not None
    assert first.age_s is not None
    assert later == replace(first, age_s=first.age_s + 90)


def test_nothing_is_known_of_a_stranger_or_before_its_time(source: TokenFacts) -> None:
    assert source.facts("sim:OTHER", LISTED_NS) is None
    assert source.facts(MINT, LISTED_NS - 1) is None
