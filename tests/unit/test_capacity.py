"""Capacity on paper: queues against what is known of them, costs out of the committed figures, what breaks first."""

import math
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from benchmarks import capacity, unit_costs
from benchmarks.capacity_model import COMFORT, Load, Setup, capacity_per_s, embedder, head, resources, searches
from benchmarks.queueing import Served, Station, exponential, in_turn, linear, percentile, poisson, serve
from benchmarks.unit_costs import Cost, Costs

pytestmark = pytest.mark.requirement("Q5")

JOBS = 60_000
FIGURES = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def served(rate_per_s: float, station: Station, jobs: int = JOBS) -> Served:
    chance = Random(7)
    return serve(poisson(rate_per_s, jobs, chance), station, chance)


def erlang_c(servers: int, offered: float) -> float:
    """Return the probability that a job of M/M/c has to wait."""
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**k / math.factorial(k) for k in range(servers)) + last)


def test_a_single_server_waits_as_m_m_1_does() -> None:
    found = served(0.6, Station(exponential(1.0)))

    assert mean(found.waits_s()) == pytest.approx(0.6 / 0.4, rel=0.06)
    assert found.utilisation == pytest.approx(0.6, rel=0.03)
    # The stay in M/M/1 is exponential with the mean 1 / (1 - 0.6).
    assert percentile(found.stays_s(), 0.9) == pytest.approx(2.5 * math.log(10), rel=0.06)


def test_several_servers_wait_as_m_m_c_does() -> None:
    found = served(2.1, Station(exponential(1.0), servers=3))

    assert mean(found.waits_s()) == pytest.approx(erlang_c(3, 2.1) / (3 - 2.1), rel=0.08)


def test_equal_services_wait_as_m_d_1_does() -> None:
    found = served(0.7, Station(linear(0.0, 1.0)))

    assert mean(found.waits_s()) == pytest.approx(0.7 / (2 * 0.3), rel=0.06)


def test_a_batch_carries_more_than_its_jobs_alone_and_no_more_than_it_can() -> None:
    station = Station(linear(0.010, 0.001), batch_max=20)
    assert capacity_per_s(station) == pytest.approx(20 / 0.030)

    calm, flooded = served(200, station, 20_000), served(2_000, station, 20_000)

    assert calm.batches < 20_000
    assert percentile(calm.stays_s(), 0.99) < 0.1
    assert 20_000 / max(flooded.done_s) == pytest.approx(20 / 0.030, rel=0.01)
    assert flooded.utilisation == pytest.approx(1.0, abs=0.01)


def test_only_jobs_of_one_group_go_together() -> None:
    station = Station(linear(0.010, 0.0), batch_max=1_000)

    apart, together = served(1_000, replace(station, groups=4), 20_000), served(1_000, station, 20_000)

    # In four queues each turn takes a quarter of those who wait, so that all wait for four turns.
    assert apart.batches == pytest.approx(together.batches, rel=0.05)
    assert mean(apart.stays_s()) > 2 * mean(together.stays_s())


def test_what_leaves_one_station_comes_to_the_next_and_nothing_is_lost() -> None:
    chance = Random(7)
    came_s = poisson(0.5, 20_000, chance)
    first, second = in_turn(came_s, (Station(exponential(1.0), servers=2), Station(exponential(1.0))), chance)

    assert list(second.came_s) == list(first.done_s)
    assert all(begun >= came for came, begun in zip(second.came_s, second.begun_s, strict=True))
    # What leaves M/M/c is Poisson again (Burke), so the second is M/M/1.
    assert mean(second.waits_s()) == pytest.approx(0.5 / 0.5, rel=0.12)


def test_the_same_seed_gives_the_same_queue() -> None:
    station = Station(exponential(1.0), groups=3)
    assert served(0.5, station, 500).done_s == served(0.5, station, 500).done_s


def test_the_committed_figures_are_read() -> None:
    found = unit_costs.committed(FIGURES)

    assert {each.from_where for each in found.values()} == {"committed"}
    assert all(each.value > 0 for each in found.values())
    assert 100 < found["journal per memory"].value < 10_000
    with pytest.raises(ValueError, match=r"no figure .* under memory"):
        unit_costs.committed(FIGURES.replace("one agent, 1,000 memories, MB", ""))


def costs() -> Costs:
    """Costs of round numbers beside the committed ones."""
    given = {
        "embedding a memory": 20.0,
        "embedding a query": 5.0,
        "write, daemon": 0.1,
        "head held, a transaction": 1.0,
        "head held, a row": 0.1,
        "head held, an outbox row more": 0.05,
        "server's processor, a row": 0.05,
        "sync": 1.0,
        "node, a heartbeat": 4.0,
        "node, a look for work": 2.0,
        "node, an order claimed": 5.0,
        "point, index worker": 0.5,
        "stream, a row": 0.03,
    }
    taken = {name: Cost(value, "ms", "measured", "") for name, value in given.items()}
    return {**taken, **unit_costs.committed(FIGURES)}


def used(load: Load, setup: Setup, name: str) -> float:
    return next(each.used for each in resources(load, setup, costs()) if each.name == name)


def test_resources_follow_from_the_costs() -> None:
    load = Load(agents=600, memories=10**6, strategies=10, nodes=0, desk_writes_per_s=0)
    one, four = Setup("", ""), Setup("", "", daemons=4, is_postgresql=True, threads=2)
    assert load.writes_per_s == 20

    assert used(load, one, "embedding what is new") == pytest.approx(20 * 0.020)
    assert used(load, four, "embedding what is new") == pytest.approx(20 * 0.010)
    assert used(load, one, "places for streams") == pytest.approx(650 / 256)
    assert used(load, four, "places for streams") == pytest.approx(650 / 256 / 4)
    # 256 rows in a transaction: 1 ms of disk, 1 ms of statements, and 0.1 ms a row, 0.05 ms for each further index.
    assert used(load, four, "head of the journal") == pytest.approx(20 * (1 + 1 + 256 * 0.25) / 1_000 / 256)
    assert capacity_per_s(embedder(one, costs())) == pytest.approx(1_000 / 20.5)
    nodes = replace(load, nodes=200, orders_per_node_minute=6)
    assert used(nodes, four, "limits' row of the nodes") == pytest.approx(200 * 6 / 60 * (5 + 1) / 1_000)
    assert head(four, costs()).groups == searches(load, four, costs()).servers == 4
    assert capacity.busiest(load, one, costs()).name == "places for streams"


def test_each_load_is_given_the_first_setup_that_carries_it() -> None:
    few, many = capacity.LOADS[0], capacity.TARGET

    small, large = capacity.fitting(few, costs()), capacity.fitting(many, costs())

    assert small is not None
    assert small[0].name == "one machine"
    assert large is not None
    assert large[0].qdrant_nodes > 3
    assert large[1].used <= COMFORT
    before = capacity.SETUPS[capacity.SETUPS.index(large[0]) - 1]
    assert capacity.busiest(many, before, costs()).used > COMFORT
    assert capacity.fitting(replace(many, memories=10**12), costs()) is None


def test_the_tables_say_which_queue_has_no_end(capsys: pytest.CaptureFixture[str]) -> None:
    capacity.print_costs(costs())
    capacity.print_ladder(costs())
    capacity.print_resources(costs())
    capacity.print_delays(costs(), 300)

    told = capsys.readouterr().out
    [line] = [each for each in told.splitlines() if each.startswith("| one machine, 2,000 agents |")]
    assert line.count("without end") == 2  # found by meaning, and searches
    assert "| 1,000 / 10^9 / 1,000 / 200 | memory of the Qdrant nodes" in told
    assert capacity.closed_form_off(Random(1)) < 0.1
