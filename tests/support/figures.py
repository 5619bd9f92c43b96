"""A scrape as Prometheus reads it: by the client library's own parsers."""

from collections.abc import Mapping
from typing import Any

import httpx2
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Scraped:
    """One answer of ``/metrics``."""

    def __init__(self, answer: httpx2.Response) -> None:
        assert answer.status_code == 200, answer.text
        self.content_type = answer.headers["content-type"]
        self.text = answer.text
        is_open = self.content_type.startswith("application/openmetrics-text")
        read = openmetrics_families if is_open else prometheus_families
        self.families: dict[str, Any] = {family.name: family for family in read(self.text)}

    def samples(self, name: str, **labels: str) -> list[Any]:
        """Return the samples of that name with (at least) these labels."""
        found = [each for family in self.families.values() for each in family.samples if each.name == name]
        return [each for each in found if labels.items() <= each.labels.items()]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of these samples; 0 where there is none."""
        return float(sum(each.value for each in self.samples(name, **labels)))


async def scraped(http: httpx2.AsyncClient, accept: str = "", headers: Mapping[str, str] | None = None) -> Scraped:
    return Scraped(await http.get("/metrics", headers={"Accept": accept, **(headers or {})}))
