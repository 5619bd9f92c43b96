"""What a failed validation says to whoever sent it: the field, what was given and what is allowed."""

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from memmcp_server.errors import InvalidInput

PROBLEMS_MAX = 5
GIVEN_CHARS_MAX = 80


def invalid_input(error: ValidationError, model: type[BaseModel]) -> InvalidInput:
    """Return the error with every problem in one message, the first field in ``field``.

    Args:
        error: what pydantic found
        model: the request, whose fields are listed when an unknown one was sent
    """
    details = error.errors(include_url=False, include_context=True)
    lines = [_describe(detail, model) for detail in details[:PROBLEMS_MAX]]
    if len(details) > PROBLEMS_MAX:
        lines.append(f"and {len(details) - PROBLEMS_MAX} more")
    field = _path(details[0]) if details else ""
    return InvalidInput("; ".join(lines), field=field or None)


def _path(detail: ErrorDetails) -> str:
    # A union's branch names are pydantic's, not the caller's; they start with a type or a tag in parentheses.
    return ".".join(str(part) for part in detail["loc"] if not str(part).startswith(("function-", "constrained-")))


def _describe(detail: ErrorDetails, model: type[BaseModel]) -> str:
    path = _path(detail)
    match detail["type"]:
        case "extra_forbidden":
            allowed = ", ".join(sorted(model.model_fields))
            return f"{path}: unknown field; allowed: {allowed}"
        case "missing":
            return f"{path}: required and missing"
        case "model_type" | "dict_type" if not path:
            return f"expected an object with fields, was given {_given(detail['input'])}"
        case _:
            message = detail["msg"].removeprefix("Value error, ")
            said = f"{message[:1].lower()}{message[1:]}"
            return f"{path}: {said}; was given {_given(detail['input'])}" if path else said


def _given(value: object) -> str:
    text = repr(value)
    return text if len(text) <= GIVEN_CHARS_MAX else f"{text[:GIVEN_CHARS_MAX]}... ({len(text)} characters)"
