"""Queues on paper: jobs come, wait for a server, are served alone or in batches. Seeded, and checked in the tests
against what is known in closed form (M/M/1, M/M/c, M/D/1, the most that batches can carry).
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

Service = Callable[[int, Random], float]
"""Seconds that a batch of so many jobs takes."""

WARM_PART = 0.1
"""The part of the jobs, at the beginning, that a queue which begins empty serves too well."""


@dataclass(frozen=True)
class Station:
    """``groups``: each job belongs to one, and only jobs of one group go together (rows that one daemon commits)."""

    service: Service
    servers: int = 1
    batch_max: int = 1
    groups: int = 1


@dataclass(frozen=True)
class Served:
    """By job, in the order in which they came: when it came and when it was done, in seconds."""

    came_s: Sequence[float]
    done_s: Sequence[float]
    begun_s: Sequence[float]
    busy_s: float
    servers: int
    batches: int

    @property
    def utilisation(self) -> float:
        return self.busy_s / (self.servers * max(self.done_s))

    def waits_s(self) -> list[float]:
        return self._after_warming(self.begun_s)

    def stays_s(self) -> list[float]:
        return self._after_warming(self.done_s)

    def _after_warming(self, until_s: Sequence[float]) -> list[float]:
        first = int(len(self.came_s) * WARM_PART)
        return [ended - came for came, ended in zip(self.came_s[first:], until_s[first:], strict=True)]


def poisson(rate_per_s: float, count: int, chance: Random) -> list[float]:
    """Return when ``count`` jobs come that know nothing of each other."""
    now_s, came_s = 0.0, []
    for _ in range(count):
        now_s += chance.expovariate(rate_per_s)
        came_s.append(now_s)
    return came_s


def exponential(mean_s: float) -> Service:
    return lambda _, chance: chance.expovariate(1 / mean_s)


def linear(once_s: float, each_s: float) -> Service:
    """So long a batch takes: something once, and something for each of its jobs."""
    return lambda count, _: once_s + each_s * count


def serve(came_s: Sequence[float], station: Station, chance: Random) -> Served:
    """Serve jobs that come at those times, in ascending order: first come, first served, by the next free server."""
    free_s = [0.0] * station.servers
    queues: list[deque[int]] = [deque() for _ in range(station.groups)]
    begun_s, done_s = [0.0] * len(came_s), [0.0] * len(came_s)
    busy_s, batches, coming, queued = 0.0, 0, 0, 0

    def admit(until_s: float) -> None:
        nonlocal coming, queued
        while coming < len(came_s) and came_s[coming] <= until_s:
            queues[chance.randrange(station.groups) if station.groups > 1 else 0].append(coming)
            coming, queued = coming + 1, queued + 1

    while queued or coming < len(came_s):
        if not queued:
            admit(came_s[coming])
        start_s = max(free_s[0], min(came_s[queue[0]] for queue in queues if queue))
        admit(start_s)
        queue = min((queue for queue in queues if queue), key=lambda each: each[0])
        batch = [queue.popleft() for _ in range(min(len(queue), station.batch_max))]
        took_s = station.service(len(batch), chance)
        heapq.heapreplace(free_s, start_s + took_s)
        for job in batch:
            begun_s[job], done_s[job] = start_s, start_s + took_s
        queued -= len(batch)
        busy_s, batches = busy_s + took_s, batches + 1
    return Served(came_s, done_s, begun_s, busy_s, station.servers, batches)


def in_turn(came_s: Sequence[float], stations: Sequence[Station], chance: Random) -> list[Served]:
    """Serve the jobs at one station after the other; ``came_s`` of each is in the order of the first one's jobs."""
    found: list[Served] = []
    for station in stations:
        order = sorted(range(len(came_s)), key=came_s.__getitem__)
        served = serve([came_s[job] for job in order], station, chance)
        begun_s, done_s = [0.0] * len(order), [0.0] * len(order)
        for place, job in enumerate(order):
            begun_s[job], done_s[job] = served.begun_s[place], served.done_s[place]
        found.append(Served(came_s, done_s, begun_s, served.busy_s, served.servers, served.batches))
        came_s = done_s
    return found


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
