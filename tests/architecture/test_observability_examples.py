"""The examples for Prometheus and Grafana name figures and labels that there are, and the rules that the desk has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from memmcp_server.adapters.prometheus import Exposition
from memmcp_server.domain.alert_rules import SHIPPED
from memmcp_server.services.scrape import families
from trading.runtime.families import FAMILIES

pytestmark = pytest.mark.requirement("O1")

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "observability"
RUNBOOKS = (FOLDER.parents[1] / "docs" / "runbooks.md").read_text("utf-8")
NAME = re.compile(r"\b(?:memmcp|process|python)_[a-z0-9_]+")
SELECTOR = re.compile(r"\b((?:memmcp|process|python)_[a-z0-9_]+)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
TARGET_LABELS: Final = {"instance", "job"}


def labels_of_samples() -> Mapping[str, set[str]]:
    """Return every name that a scrape may hold, with its labels."""
    known: dict[str, set[str]] = {}
    for family in (*families(), *FAMILIES):
        labels = {*family.labels, *TARGET_LABELS}
        if family.kind == "histogram":
            known |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
            known[f"{family.name}_bucket"] = labels | {"le"}
        else:
            known[family.name] = labels
    for line in Exposition().text([], "")[0].decode().splitlines():
        if not line.startswith("#"):
            known[re.split(r"[{ ]", line)[0]] = {*TARGET_LABELS, *re.findall(r'(\w+)="', line)}
    return known


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((FOLDER / "alerts.rules.yml").read_text("utf-8"))["groups"]:
        yield from group["rules"]


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / "grafana" / "memmcp.json").read_text("utf-8"))
    return document


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    for annotation in board["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def test_every_expression_uses_figures_and_labels_that_there_are() -> None:
    known = labels_of_samples()
    for where, expression in expressions():
        names = NAME.findall(expression)
        assert set(names) <= known.keys() | {"up"}, where
        for name, matchers in SELECTOR.findall(expression):
            assert set(MATCHER.findall(matchers)) <= known[name], (where, expression)
        for grouped in GROUPED.findall(expression):
            wanted = {label.strip() for label in grouped.split(",")}
            assert any(wanted <= known[name] for name in names), (where, expression)


def test_counters_are_rated_and_gauges_are_not() -> None:
    kinds = {each.name: each.kind for each in (*families(), *FAMILIES)}
    for where, expression in expressions():
        for name in NAME.findall(expression):
            rated = re.search(rf"(?:rate|increase)\({name}\b", expression)
            if kinds.get(name) == "counter" or name.endswith(("_bucket", "_sum", "_count")):
                assert rated, (where, expression)
            elif name in kinds:
                assert not rated, (where, expression)


def test_most_figures_of_the_daemon_are_on_the_dashboard_or_in_a_rule() -> None:
    used = {name for _, expression in expressions() for name in NAME.findall(expression)}
    used |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    every = {each.name for each in (*families(), *FAMILIES)}
    assert len(every - used) <= len(every) // 6, sorted(every - used)


def test_the_rules_of_the_desk_are_mirrored_with_their_severity() -> None:
    shipped = {rule.name: rule.severity.value for rule in SHIPPED}
    mirrored = {rule["labels"]["rule"]: rule["labels"]["severity"] for rule in rules() if "rule" in rule["labels"]}
    assert mirrored.items() <= shipped.items()
    assert len(mirrored) >= 15
    [handed_on] = [rule for rule in rules() if "memmcp_alerts_firing" in rule["expr"]]
    assert handed_on["labels"]["severity"] == "{{ $labels.severity }}"  # all of them, the operator's own too
    for rule in rules():
        assert rule["annotations"]["summary"]
        page, _, section = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbooks.md"
        assert not section or section.startswith("{{") or f"### {section}\n" in RUNBOOKS, section
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_the_dashboard_has_the_shape_that_grafana_imports() -> None:
    board = dashboard()
    assert board["schemaVersion"] >= 39
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] in {"row", "stat", "timeseries", "table"}
        assert (panel["type"] == "row") is ("targets" not in panel)
        references = [target["refId"] for target in panel.get("targets", ())]
        assert len(references) == len(set(references))
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'instance=~"$instance"' in target["expr"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed here")
def test_prometheus_own_tool_takes_configuration_and_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", str(FOLDER / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_prometheus_and_grafana_are_pointed_at_each_other_and_at_the_daemon() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    [job] = config["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("memmcp", "/metrics")
    assert config["rule_files"] == ["alerts.rules.yml"]
    compose = yaml.safe_load((FOLDER / "compose.yml").read_text("utf-8"))
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith("./") or (FOLDER / source).is_file(), source
    assert yaml.safe_load((FOLDER / "grafana" / "datasource.yml").read_text("utf-8"))["datasources"]
