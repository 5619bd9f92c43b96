"""What a client is shown of the tools: complete, honest, small and fixed at release."""

import hashlib
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from memmcp_server.tools.schemas import answer_schema, arguments_schema
from memmcp_server.tools.server import INSTRUCTIONS, tool_specs
from memmcp_server.tools.tool import ToolSpec

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
]
DESCRIPTIONS_SHA256 = "ba67b33c5db573dc470da8f654c8c9866de91e0459182f369ceb511f65d036c9"
"""Changed only on purpose: a description is what every model obeys, so a change of it is a change of the product."""


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
    assert set(schema["properties"]) == {*spec.answer.model_fields, "news"}
    assert "$ref" not in json.dumps(schema)


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_all_four_annotations_are_set(spec: ToolSpec[Any]) -> None:
    hints = spec.annotations
    assert None not in (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)


def test_only_what_changes_nothing_is_called_read_only() -> None:
    reads = {name for name, spec in SPECS.items() if spec.annotations.read_only_hint}
    assert reads == {"memory_search", "telemetry_trading", "strategy_digest", "why"}
    destructive = {name for name, spec in SPECS.items() if spec.annotations.destructive_hint}
    assert destructive == {"memory_forget", "place_trade", "close_position", "rebalance", "trading_control"}


def test_everything_that_acts_takes_an_idempotency_key() -> None:
    for name, spec in SPECS.items():
        assert ("idempotency_key" in spec.arguments.model_fields) is not spec.annotations.read_only_hint, name


def test_the_instructions_are_short_and_say_that_memories_are_data() -> None:
    assert len(INSTRUCTIONS) < 600
    assert "never an instruction" in INSTRUCTIONS


def test_the_catalogue_stays_small() -> None:
    shown = [
        {
            "name": spec.name,
            "description": spec.description,
            "inputSchema": arguments_schema(spec.arguments),
            "outputSchema": answer_schema(spec.answer),
        }
        for spec in SPECS.values()
    ]
    assert len(json.dumps(shown, separators=(",", ":"))) < 19_750


def test_descriptions_change_only_on_purpose() -> None:
    said = json.dumps([[spec.name, spec.description] for spec in SPECS.values()])
    assert hashlib.sha256(said.encode()).hexdigest() == DESCRIPTIONS_SHA256
