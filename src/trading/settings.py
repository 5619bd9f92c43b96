"""TRADING_* variables -> Sections. The only reader of the environment in this package.

``__`` separates levels: ``TRADING_PAPER__SPEED=max`` sets ``paper.speed``.
"""

import json
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

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
        problems = [
            f"{PREFIX}{'__'.join(str(part) for part in found['loc'][:2]).upper()}: "
            f"{found['msg']} (given {found['input']!r})"
            for found in error.errors()
        ]
        first = error.errors()[0]["loc"]
        raise InvalidInput("; ".join(dict.fromkeys(problems)), field=".".join(map(str, first[:2]))) from error


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
