"""The way to the nodes' database: one engine, its schema brought up to date, its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trading.errors import IllegalTransition, InvalidInput, JournalUnavailable

from .schema import REVISIONS, SCHEMA

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOCK_NUMBER: Final = 0x6E6F_646573
"""Advisory lock under which nodes that start at once migrate in turn."""

DURABLY: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
SECRET_PARAMETERS: Final = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class StoreRules:
    """``stuck_s``: a transaction whose node says nothing for so long is rolled back by the server, so that one that
    was stopped in the middle holds nobody up. ``answer_s`` bounds each statement. ``connections`` are kept at most."""

    lease_s: float = 15.0
    stuck_s: float = 3.0
    answer_s: float = 10.0
    connections: int = 8


@dataclass(frozen=True, slots=True)
class Door:
    """``shown`` is what a person may see of the address: never a password."""

    engine: sa.Engine
    shown: str
    rules: StoreRules

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Raises: JournalUnavailable, also where another transaction was in the way for too long."""
        with translating(self.shown), self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def open_door(url: str, rules: StoreRules) -> Door:
    """Connect, and make or renew the schema.

    Raises: InvalidInput (no address of a PostgreSQL database, or a newer schema in it); JournalUnavailable (no answer).
    """
    address = _address(url)
    masked = {name: "hidden" for name in SECRET_PARAMETERS if name in address.query}
    shown = address.update_query_dict(masked).render_as_string(hide_password=True)
    options = {
        "search_path": SCHEMA,
        "idle_in_transaction_session_timeout": f"{int(rules.stuck_s * 1000)}",
        "lock_timeout": f"{int(rules.answer_s * 800)}",  # sooner than the statement, and than who asked gives up
        "statement_timeout": f"{int(rules.answer_s * 1000)}",
    }
    given = address.query.get("options", ())
    asked = (given,) if isinstance(given, str) else given
    engine = sa.create_engine(
        address,
        pool_size=rules.connections,
        max_overflow=0,
        pool_timeout=rules.answer_s,
        connect_args={
            "connect_timeout": max(2, int(rules.answer_s)),  # the driver takes whole seconds, two at least
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": int(rules.answer_s * 1000),
            "application_name": "memmcp node",
            "options": " ".join([*asked, *(f"-c {name}={value}" for name, value in options.items())]),
        },
        hide_parameters=True,
    )
    sa.event.listen(engine, "connect", _durably)
    try:
        _migrate(engine, shown)
    except BaseException:
        engine.dispose()
        raise
    return Door(engine, shown, rules)


def _durably(connection: Any, _record: object) -> None:
    """What was signed is on the server's disk before it leaves, however hasty the database or the role is set."""
    connection.execute(DURABLY)
    connection.commit()


def _address(url: str) -> sa.URL:
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        # The vendor's message repeats the address, password and all.
        msg = "nodes.url is no address of a database; allowed is postgresql://USER:PASSWORD@HOST/NAME"
        raise InvalidInput(msg, field="nodes.url") from error.__cause__
    if address.get_backend_name() != "postgresql":
        msg = f"nodes.url names {address.get_backend_name()!r}; allowed is postgresql://USER:PASSWORD@HOST/NAME"
        raise InvalidInput(msg, field="nodes.url")
    return address.set(drivername="postgresql+psycopg")


def _migrate(engine: sa.Engine, shown: str) -> None:
    with translating(shown), engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        present = None
        if sa.inspect(connection).has_table("alembic_version", schema=SCHEMA):
            present = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        if present is not None and present not in REVISIONS:
            msg = f"{shown} was made by a newer version (schema {present}; this one knows up to {REVISIONS[-1]})"
            raise InvalidInput(msg, field="nodes.url", hint="install the newer version")
        if present != REVISIONS[-1]:
            _upgrade(connection)


def _upgrade(connection: sa.Connection) -> None:
    # Imported here: a store that is up to date opens without Alembic, which takes longer to load than to run.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def translating(shown: str) -> Iterator[None]:
    """Turn what the database or the way to it says into JournalUnavailable: whether a write was done is not known.

    Raises: IllegalTransition for what breaks a rule that the database itself holds.
    """
    try:
        yield
    except sa.exc.IntegrityError as error:
        msg = f"the nodes' database at {shown} refused it: {_first_line(error)}"
        raise IllegalTransition(msg) from error
    except sa.exc.DBAPIError as error:
        msg = f"the nodes' database at {shown}: {_first_line(error)}"
        raise JournalUnavailable(
            msg, hint="check that it runs and can be reached; nothing is signed meanwhile"
        ) from error
    except sa.exc.SQLAlchemyError as error:
        msg = f"the nodes' database at {shown}: {type(error).__name__}"
        raise JournalUnavailable(msg) from error


def _first_line(error: sa.exc.DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0] or type(error.orig).__name__
