"""Environment and file -> Sections. The only reader of MEMMCP_ variables.

``__`` separates levels: ``MEMMCP_HTTP__PORT=9000`` sets ``http.port``, as ``[http] port = 9000`` does in memmcp.toml.
An option of the command line wins over the environment, the environment over the file, the file over the default.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from .config import Sections
from .errors import InvalidInput

PREFIX = "MEMMCP_"
DELIMITER = "__"
FILE_BYTES_MAX = 262_144
OTHER_VARIABLES = frozenset(
    {
        "MEMMCP_DATA_DIR",
        "MEMMCP_MARKET_DIR",
        "MEMMCP_BROWSER",
        "MEMMCP_SCREENSHOTS",
        "MEMMCP_TEST_QDRANT_URL",
        "MEMMCP_TEST_QDRANT_KEY",
        "MEMMCP_TOKEN",
    }
)
"""Read elsewhere: by the command line, the feeds and the tests."""

SECRET_KEYS = frozenset({"token", "api_key", "url", "secret_key", "headers", "named"})
MONEY_KEYS = (
    ("trading", "money"),
    ("trading", "profile"),
    ("orders", "ask_in_client"),
    ("orders", "answer_wait_s"),
    # Whoever could set these could keep the operator from hearing of a loss, or send figures elsewhere.
    ("alerts", "enabled"),
    ("alerts", "rules"),
    ("channels", "named"),
    ("phone", "token"),
    ("phone", "users"),
    ("phone", "base_url"),
)
"""What a daemon that an agent's bridge started takes from the file only."""

TABLES = frozenset({("alerts", "rules"), ("channels", "named")})
"""Settings that are tables of named entries: an error names the entry."""

Tree = dict[str, Any]


class _Settings(BaseSettings, Sections):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, env_ignore_empty=True, extra="ignore"
    )


class _Environment(EnvSettingsSource):
    """pydantic-settings' own rules over a given mapping instead of the process's environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in environ.items() if value != ""}
        super().__init__(_Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given


def load(
    data_dir: Path,
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    options: Mapping[str, Mapping[str, object]] | None = None,
    by_bridge: bool = False,
) -> Sections:
    """Return the sections for a data directory.

    ``file`` None: ``memmcp.toml`` in the data directory, if there is one; a named file must exist. ``options`` are
    those of the command line. ``by_bridge``: the environment is that of whichever agent came first, so no money
    setting is taken from it.

    Raises: InvalidInput listing every bad value at once: its key, where it was set, what was given, what is allowed.
    """
    from_file = _read_file(file or data_dir / "memmcp.toml", must_exist=file is not None)
    from_environment = _read_environment(environ)
    if by_bridge:
        for section, key in MONEY_KEYS:
            from_environment.get(section, {}).pop(key, None)
    from_options: Tree = {section: dict(values) for section, values in (options or {}).items()}
    origins = {"command line": from_options, "environment": from_environment, "file": from_file}
    merged: Tree = {}
    for tree in (from_file, from_environment, from_options):
        merged = _merged(merged, tree)
    try:
        sections = Sections.model_validate({**merged, "data_dir": data_dir})
    except ValidationError as error:
        raise _bad_values(error, origins) from error
    _check_channels(sections)
    return sections


def _check_channels(sections: Sections) -> None:
    """Refuse a rule that is told in a channel that there is not: it would be told nowhere. Raises: InvalidInput."""
    known = sections.channels.named
    for rule in sections.alerts.in_force():
        missing = [name for name in rule.channels if name not in known]
        if missing:
            msg = f"alerts.rules.{rule.name}.channels names {missing[0]}; there are: {', '.join(known) or 'none'}"
            raise InvalidInput(msg, field="alerts.rules", hint="channels are named in [channels.named.NAME]")


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the MEMMCP_ variables that no setting has, sorted: usually a slip of the pen."""
    known = {PREFIX + DELIMITER.join(path).upper() for path in setting_paths()} | OTHER_VARIABLES
    return sorted(name for name in environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def setting_paths() -> Iterator[tuple[str, str]]:
    """Yield (section, key) of every setting."""
    for section, field in Sections.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for key in kind.model_fields:
                yield section, key


def secrets_of(sections: Sections) -> list[str]:
    """Return every secret that is set, so that it is kept out of the log."""
    given = [each.get_secret_value() for each in _leaves(sections) if isinstance(each, SecretStr)]
    return [each for each in given if each]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _read_environment(environ: Mapping[str, str]) -> Tree:
    prefixed = {name: value for name, value in environ.items() if name.upper().startswith(PREFIX)}
    prefixed.pop("MEMMCP_DATA_DIR", None)
    try:
        return dict(_Environment(prefixed)())
    except SettingsError as error:
        # Only a list's or a whole section's JSON is decoded before validation.
        msg = f"{error}: lists and sections are JSON in the environment, such as " + "'[\"example.org\"]'"
        raise InvalidInput(msg, field="environment") from error


def _read_file(path: Path, *, must_exist: bool) -> Tree:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        if not must_exist:
            return {}
        msg = f"the configuration file {path} does not exist"
        raise InvalidInput(msg, field="config") from error
    except OSError as error:
        msg = f"the configuration file {path} cannot be read: {error.strerror or error}"
        raise InvalidInput(msg, field="config") from error
    if len(text) > FILE_BYTES_MAX:
        msg = f"the configuration file {path} is larger than {FILE_BYTES_MAX} bytes"
        raise InvalidInput(msg, field="config")
    try:
        tree = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"the configuration file {path} is not TOML: {error}"
        raise InvalidInput(msg, field="config", hint="sections look like: [http] and below it: port = 8765") from error
    if "data_dir" in tree:
        msg = f"{path} sets data_dir, which only --data-dir and MEMMCP_DATA_DIR can do"
        raise InvalidInput(msg, field="data_dir")
    return tree


def _merged(below: Tree, above: Tree) -> Tree:
    result = dict(below)
    for key, value in above.items():
        lower = result.get(key)
        result[key] = {**lower, **value} if isinstance(lower, dict) and isinstance(value, dict) else value
    return result


def _bad_values(error: ValidationError, origins: Mapping[str, Tree]) -> InvalidInput:
    lines: list[str] = []
    paths: list[str] = []
    for found in error.errors(include_url=False):
        whole = tuple(str(part) for part in found["loc"])
        path = whole[:2]
        origin = next((name for name, tree in origins.items() if _has(tree, path)), "default")
        told = whole if path in TABLES else path
        named = PREFIX + DELIMITER.join(path).upper() if origin == "environment" else ".".join(told)
        if found["type"] == "extra_forbidden":
            lines.append(f"{named} ({origin}): there is no such setting{_near(path)}")
        else:
            given = "***" if path[-1] in SECRET_KEYS else repr(_shown(found["input"]))[:200]
            lines.append(f"{named} ({origin}): given {given}; allowed: {_allowed(found['msg'])}")
        paths.append(".".join(path))
    return InvalidInput("\n".join(lines), field=", ".join(dict.fromkeys(paths)), hint="`memmcp doctor` shows them all")


def _shown(given: Any) -> Any:
    """Return what was given for a setting, or for a section as a whole, without its secrets."""
    if not isinstance(given, Mapping):
        return given
    return {name: "***" if name in SECRET_KEYS else value for name, value in given.items()}


def _allowed(message: str) -> str:
    return message.removeprefix("Input should be ").removeprefix("Value error, ")


def _near(path: tuple[str, ...]) -> str:
    keys = sorted(key for section, key in setting_paths() if section == path[0])
    sections = sorted({section for section, _ in setting_paths()})
    return f"; {path[0]} has: {', '.join(keys)}" if keys else f"; sections are: {', '.join(sections)}"


def _has(tree: Tree, path: tuple[str, ...]) -> bool:
    value: Any = tree
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True
