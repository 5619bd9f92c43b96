"""Readings as Prometheus and OpenMetrics text, with what the client library tells of the process.

The library is loaded at the first scrape: it takes a while, and most daemons are asked by nobody. Nothing of it is
kept in the process's global registry.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

from memmcp_server.domain.meters import Family, Reading

INF: Final = "+Inf"


class Exposition:
    """Writes one answer to a scrape; ``text`` may be called in a thread, by one caller at a time."""

    def __init__(self) -> None:
        self._process: tuple[Any, ...] | None = None

    def text(self, readings: Sequence[Reading], accept: str) -> tuple[bytes, str]:
        """Return body and Content-Type: OpenMetrics where the Accept header asks for it, else Prometheus' own."""
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return encode(_Collected((*self._of_process(), *_families(readings)))), content_type

    def _of_process(self) -> Iterator[Any]:
        from prometheus_client import PlatformCollector, ProcessCollector

        if self._process is None:
            self._process = (ProcessCollector(registry=None), PlatformCollector(registry=None))
        for collector in self._process:
            yield from collector.collect()


class _Collected:
    """What an encoder takes: families that are there already."""

    def __init__(self, families: Sequence[Any]) -> None:
        self._families = families

    def collect(self) -> Iterable[Any]:
        return self._families


def _families(readings: Sequence[Reading]) -> Iterator[Any]:
    by_family: dict[str, tuple[Family, list[Reading]]] = {}
    for reading in readings:
        by_family.setdefault(reading.family.name, (reading.family, []))[1].append(reading)
    for family, series in by_family.values():
        yield _family(family, series)


def _family(family: Family, series: Sequence[Reading]) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.utils import floatToGoString

    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    made: Any = kinds[family.kind](family.name, family.help, labels=family.labels)
    ends = [*map(floatToGoString, family.bounds), INF]
    for each in series:
        if family.kind == "histogram":
            made.add_metric(each.labels, list(zip(ends, accumulate(each.counts), strict=True)), each.value)
        else:
            made.add_metric(each.labels, each.value)
    return made
