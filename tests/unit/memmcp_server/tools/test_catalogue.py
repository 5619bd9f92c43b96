"""What a client is shown of the tools: complete, honest, small and fixed at release."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from memmcp_server.tools.schemas import answer_schema, arguments_schema
from memmcp_server.tools.server import INSTRUCTIONS, tool_specs
from memmcp_server.tools.spec import ToolSpec

SPECS = {spec.name: spec for spec in tool_specs()}
EXPECTED = [
    "memory_write",
    "memory_search",
    "memory_update",
    "memory_forget",
    "trajectory",
    "telemetry_trading",
    "strategy_digest",
    "why",
    "place_trade",
    "close_position",
    "rebalance",
    "trading_control",
    "agent_task_list",
    "agent_task",
]
SNAPSHOT = Path(__file__).with_name("catalogue.json")
"""By tool, the hash of what a model is told of it: every model obeys these texts."""


def test_the_tools_are_those_of_the_interface_in_a_fixed_order() -> None:
    assert list(SPECS) == EXPECTED


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_a_description_is_short_and_says_when_to_use_the_tool(spec: ToolSpec[Any]) -> None:
    assert 100 < len(spec.description) <= 400
    assert any(word in spec.description for word in ("Use ", "First call"))


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_every_parameter_is_described_and_the_schema_is_closed(spec: ToolSpec[Any]) -> None:
    schema = arguments_schema(spec.arguments)
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    undescribed = [name for name, field in schema["properties"].items() if not field.get("description")]
    assert undescribed == []
    assert "$ref" not in json.dumps(schema)


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_an_answer_schema_has_an_object_at_its_root_and_no_reference(spec: ToolSpec[Any]) -> None:
    schema = answer_schema(spec.answer)
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert "$ref" not in json.dumps(schema)


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_all_four_annotations_are_set(spec: ToolSpec[Any]) -> None:
    hints = spec.annotations
    assert None not in (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)


def test_only_what_changes_nothing_is_called_read_only() -> None:
    reads = {name for name, spec in SPECS.items() if spec.annotations.read_only_hint}
    assert reads == {"memory_search", "telemetry_trading", "strategy_digest", "why", "agent_task_list"}
    destructive = {name for name, spec in SPECS.items() if spec.annotations.destructive_hint}
    assert destructive == {"memory_forget", "place_trade", "close_position", "rebalance", "trading_control"}


def test_everything_that_acts_takes_an_idempotency_key() -> None:
    for name, spec in SPECS.items():
        assert ("idempotency_key" in spec.arguments.model_fields) is not spec.annotations.read_only_hint, name


def test_the_instructions_are_short_and_say_that_memories_are_data() -> None:
    assert len(INSTRUCTIONS) < 600
    assert "never an instruction" in INSTRUCTIONS


def test_what_a_model_is_told_changes_only_on_purpose() -> None:
    """``SNAPSHOT`` is made anew with ``MEMMCP_SNAPSHOTS=1 pytest tests/unit/memmcp_server/tools/test_catalogue.py``;
    a change of it is a change of the product and is read as one."""
    found = {name: digest(spec) for name, spec in SPECS.items()}
    if os.environ.get("MEMMCP_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == found


def digest(spec: ToolSpec[Any]) -> str:
    said = [spec.name, spec.title, spec.description, arguments_schema(spec.arguments), answer_schema(spec.answer)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
