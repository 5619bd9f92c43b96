"""What a search may change: declared ranges as distributions, and draws as sets of parameters."""

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from trading.errors import InvalidInput
from trading.evolution.genome import FIGURES, Genome, key_of
from trading.strategies import registry


@pytest.mark.requirement("T11")
@pytest.mark.parametrize("name", [each for each in registry.STRATEGIES if registry.declared(each)])
def test_draws_lie_in_the_declared_ranges_and_leave_alone_what_is_not_tuned(name: str) -> None:
    genome = Genome(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    parameters = {each.name: each for each in registry.declared(name)}
    assert list(genome.distributions) == [each.name for each in parameters.values() if each.is_tuned]
    for _ in range(40):
        candidate = genome.candidate(study.ask(dict(genome.distributions)).params)
        assert list(candidate) == list(parameters)
        for each, value in candidate.items():
            declared = parameters[each]
            assert declared.problem(value) is None
            assert declared.is_tuned or value == declared.default
            assert isinstance(value, int) or value == float(f"{value:.{FIGURES}g}")
        if genome.accepts(candidate):
            registry.create(name, candidate)
    assert genome.accepts(genome.defaults)


def test_wide_ranges_are_drawn_on_a_log_scale_and_those_through_zero_are_not() -> None:
    drawn = Genome("momentum_breakout").distributions
    assert drawn["channel_bars"] == IntDistribution(12, 5_000, log=True)
    assert drawn["volume_ratio"] == FloatDistribution(0.0, 20.0)
    assert Genome("mean_reversion").distributions["exit_z"] == FloatDistribution(-3.0, 3.0)
    assert Genome("lead_lag").distributions["leader"] == IntDistribution(0, 1)


def test_a_set_that_the_strategy_refuses_is_told_apart() -> None:
    genome = Genome("sma_cross")
    assert genome.accepts({"fast_bars": 5, "slow_bars": 6, "horizon_bars": 5, "edge_share": 1.0})
    assert not genome.accepts({"fast_bars": 6, "slow_bars": 6, "horizon_bars": 5, "edge_share": 1.0})


def test_a_strategy_that_nobody_knows_cannot_be_searched() -> None:
    with pytest.raises(InvalidInput, match="unknown"):
        Genome("nobody")


def test_one_candidate_has_one_spelling() -> None:
    assert key_of({"a": 1, "b": 0.5}) == key_of({"b": 0.5, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 1.0})
