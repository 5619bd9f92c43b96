"""Profiles from an operator's own files: TOML, checked as a whole, every problem named at once.

A file holds the sections of a profile (``limits``, ``sizing``, ``exits``, ``fees``) and its ``strategies``. With
``extends`` it starts from a profile that ships with the desk and states only what differs. Its name is the file's.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from trading.errors import InvalidInput, TradingError
from trading.model.profile import PROFILES, Profile, profile_named
from trading.model.units import BPS_ONE
from trading.strategies.registry import create_all

SUFFIX: Final = ".toml"
FILE_BYTES_MAX: Final = 65_536
_EXTENDS: Final = "extends"


def find_profile(name: str, folder: Path | None, among: Sequence[Profile] = PROFILES) -> Profile:
    """Return the profile of that name among the shipped ones and the files of the folder, or that of a named file.

    Raises: InvalidInput.
    """
    if name.endswith(SUFFIX):
        return read_profile(Path(name))
    return named_profile(name, folder, among)


def named_profile(name: str, folder: Path | None, among: Sequence[Profile] = PROFILES) -> Profile:
    """Return the profile of that name; a path is none. Raises: InvalidInput."""
    for profile in among:
        if profile.name == name:
            return profile
    own = own_names(folder)
    if folder is not None and name in own:
        return read_profile(folder / f"{name}{SUFFIX}")
    known = ", ".join(sorted([*(profile.name for profile in among), *own]))
    msg = f"profile: {name[:80]!r} is unknown; known are {known}"
    raise InvalidInput(msg, field="profile", hint=f"name one of {known}")


def own_names(folder: Path | None) -> list[str]:
    """Return the names of the files in the folder, sorted; none where there is no such folder."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path.stem for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file())


def read_profile(path: Path) -> Profile:
    """Return the profile of a file. Raises: InvalidInput naming the file and every field with what is allowed."""
    document = _document(path)
    try:
        wanted = _whole(path.stem, document)
        profile = Profile.model_validate(wanted)
        _require_whole_weights(profile)
        create_all(profile.strategies)
    except ValidationError as error:
        problems = [_problem(dict(each)) for each in error.errors()]
        raise _wrong(path, "; ".join(dict.fromkeys(problems))) from error
    except TradingError as error:
        raise _wrong(path, error.message) from error
    return profile


def _document(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            msg = f"there is no file {path}"
            raise InvalidInput(msg, field="profile")
        if path.stat().st_size > FILE_BYTES_MAX:
            raise _wrong(path, f"is larger than {FILE_BYTES_MAX} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"is not TOML: {error}") from error


def _whole(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a whole profile: what the file says over what it extends."""
    given = dict(document)
    if given.setdefault("name", name) != name:
        msg = f"name: given {given['name']!r}, allowed: {name!r}, as the file is called"
        raise InvalidInput(msg)
    if name in {profile.name for profile in PROFILES}:
        msg = f"name: {name!r} ships with the desk and cannot be replaced; call the file otherwise"
        raise InvalidInput(msg)
    base_name = given.pop(_EXTENDS, None)
    if base_name is None:
        given.setdefault("title", f"The operator's own, from {name}{SUFFIX}.")
        return given
    if not isinstance(base_name, str) or base_name not in {profile.name for profile in PROFILES}:
        known = ", ".join(profile.name for profile in PROFILES)
        msg = f"{_EXTENDS}: given {base_name!r}, allowed: {known}"
        raise InvalidInput(msg)
    base = profile_named(base_name).model_dump()
    base["title"] = f"{base_name} with changes, from {name}{SUFFIX}."
    for key, value in given.items():
        is_section = isinstance(base.get(key), dict) and isinstance(value, Mapping)
        base[key] = {**base[key], **value} if is_section else value
    return base


def _require_whole_weights(profile: Profile) -> None:
    """Raises InvalidInput where the shares of the strategies are not the whole capital."""
    total = sum(choice.weight_bps for choice in profile.strategies)
    if total != BPS_ONE:
        msg = f"strategies.weight_bps: given are {total} bps together, allowed: exactly {BPS_ONE}"
        raise InvalidInput(msg)


def _problem(found: Mapping[str, Any]) -> str:
    """Return what pydantic found, as field, given and allowed."""
    field = ".".join(str(part) for part in found["loc"]) or "profile"
    if found["type"] == "extra_forbidden":
        return f"{field}: is unknown; allowed: {', '.join(_siblings(found['loc']))}"
    if found["type"] == "missing":
        return f"{field}: is missing, and nothing is extended"
    told = str(found["msg"]).removeprefix("Value error, ")
    given = found["input"]
    shown = "" if isinstance(given, Mapping | BaseModel) else f"given {str(given)[:80]!r}, allowed: "
    return f"{field}: {shown}{told}"


def _siblings(loc: Sequence[int | str]) -> list[str]:
    """Return the fields that the model of this place knows."""
    model: type[BaseModel] = Profile
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))[0]
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return [*model.model_fields, *([_EXTENDS] if model is Profile else [])]


def _wrong(path: Path, problem: str) -> InvalidInput:
    return InvalidInput(f"{path}: {problem}", field="profile", hint="try it with: memmcp-trade profiles check FILE")
