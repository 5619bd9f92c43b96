"""What is told of a malformed message: the fields, a bounded number of them, and nothing that was sent."""

from pydantic import BaseModel, ValidationError, create_model

from memmcp_server.tools.refusals import FIELDS_MAX, fields_of, unknown


def refused(model: type[BaseModel], **given: object) -> ValidationError:
    try:
        model(**given)
    except ValidationError as error:
        return error
    raise AssertionError("taken")


def test_each_field_is_named_and_what_was_sent_is_not_repeated() -> None:
    model = create_model("Two", name=(str, ...), limit=(int, ...))
    told = fields_of(refused(model, limit="a secret"))
    assert told.startswith("name: Field required; limit: ")
    assert "secret" not in told


def test_many_fields_are_counted() -> None:
    model = create_model("Many", **{f"field_{number}": (str, ...) for number in range(FIELDS_MAX + 3)})
    told = fields_of(refused(model))
    assert told.endswith("; and 3 more")
    assert told.count("Field required") == FIELDS_MAX


def test_a_name_of_any_length_is_told_short() -> None:
    told = unknown("tool", "x" * 10_000, ["why"])
    assert told == f"Unknown tool: {'x' * 64}... [field: name]\nNext: use one of why"
