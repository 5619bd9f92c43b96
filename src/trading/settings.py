"""TRADING_* variables -> Sections. The only reader of the environment in this package.

``__`` separates levels: ``TRADING_PAPER__SPEED=max`` sets ``paper.speed``.
"""

import json
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from .config import Sections
from .errors import InvalidInput

PREFIX = "TRADING_"


def load(environ: Mapping[str, str]) -> Sections:
    """Return the sections that the variables describe; unset ones keep their defaults.

    Raises: InvalidInput listing every bad value at once: its variable, what was given, what is allowed.
    """
    given: dict[str, dict[str, Any]] = {}
    for name, path in _known(environ).items():
        section, key = path
        given.setdefault(section, {})[key] = _value(section, key, environ[name])
    try:
        return Sections.model_validate(given)
    except ValidationError as error:
        problems = [_problem(found["loc"], found["msg"], found["input"]) for found in error.errors()]
        first = error.errors()[0]["loc"]
        raise InvalidInput("; ".join(dict.fromkeys(problems)), field=".".join(map(str, first[:2]))) from error


def _problem(loc: tuple[int | str, ...], message: str, given: Any) -> str:
    """Return what is wrong at a place; what was given is shown unless a secret may be part of it."""
    name = f"{PREFIX}{'__'.join(str(part) for part in loc[:2]).upper()}"
    inside = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[2:])
    section = Sections.model_fields[str(loc[0])].annotation
    assert isinstance(section, type)
    assert issubclass(section, BaseModel)
    field = section.model_fields.get(str(loc[1])) if len(loc) > 1 else None
    is_secret = _holds_secrets(section if field is None else field.annotation)
    return f"{name}{inside}: {message}" + ("" if is_secret else f" (given {given!r})")


def _holds_secrets(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return any(_holds_secrets(each.annotation) for each in kind.model_fields.values())
    return kind is SecretStr or any(_holds_secrets(each) for each in get_args(kind))


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the TRADING_ variables that no setting has, sorted: usually a slip of the pen."""
    known = _known(environ)
    return sorted(name for name in environ if name.upper().startswith(PREFIX) and name not in known)


def _known(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name in environ:
        if not name.upper().startswith(PREFIX):
            continue
        section, _, key = name[len(PREFIX) :].lower().partition("__")
        field = Sections.model_fields.get(section)
        model = field.annotation if field else None
        if isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields:
            found[name] = (section, key)
    return found


def _value(section: str, key: str, text: str) -> Any:
    """Return the text, or what the JSON says where the setting is a collection."""
    model = Sections.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    if get_origin(model.model_fields[key].annotation) in {tuple, list, dict} and text[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
