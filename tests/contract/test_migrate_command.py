"""memmcp migrate sqlite-to-postgres: what a person gives it, and what it says."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from tests.support.journal_move import Stop, StopAt, make_source, moving
from tests.support.postgres import PostgresServer
from typer.testing import CliRunner

from memmcp_server.adapters.sql_journal.engines import place_of
from memmcp_server.cli.root import app
from memmcp_server.config import JournalSection
from memmcp_server.daemon.lease import Lease
from memmcp_server.daemon.places import Places

pytestmark = pytest.mark.requirement("M9")
SECRET = "pw-Zx81hT"
NOBODY = f"postgresql://me:{SECRET}@127.0.0.1:1/memories"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(make_source(tmp_path_factory.mktemp("source"), 10))


@pytest.fixture
def data_dir(source: Path, tmp_path: Path) -> Path:
    found = tmp_path / "data"
    found.mkdir()
    shutil.copy(source, found / "journal.db")
    return found


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(postgres.new_database())


def migrate(data_dir: Path, *arguments: str, url: str = "", stdin: str | None = None) -> Result:
    runner = CliRunner(env={"COLUMNS": "240", "MEMMCP_JOURNAL__URL": url})
    command = ["migrate", "sqlite-to-postgres", "--data-dir", str(data_dir), *arguments]
    ended = runner.invoke(app, command, input=stdin)
    assert SECRET not in ended.output
    assert SECRET not in repr(ended.exception)
    return ended


def tables_on(url: str) -> int:
    with psycopg.connect(url) as db:
        row = db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row is not None
    return int(row[0])


def test_a_look_changes_nothing_then_it_is_moved_and_a_repeat_says_so(data_dir: Path, url: str) -> None:
    looked = migrate(data_dir, "--dry-run", "--json", url=url)
    document = json.loads(looked.stdout)
    assert (looked.exit_code, document["state"], tables_on(url)) == (0, "empty", 0)
    assert document["rows"]["memories"] > 10
    assert "nothing was changed" in migrate(data_dir, "--dry-run", url=url).stdout
    moved = migrate(data_dir, url=url)
    assert moved.exit_code == 0, moved.output
    assert re.search(r"^equal: 13 tables, [\d,]+ rows, sha256 [0-9a-f]{64}$", moved.stdout, re.MULTILINE)
    assert re.search(rf"^memories +{document['rows']['memories']:,} +[0-9a-f]{{16}}\.\.\.$", moved.stdout, re.MULTILINE)
    assert "copying memories: " in moved.stderr
    assert f"{data_dir / 'journal.db'} is as it was" in moved.stderr
    again = migrate(data_dir, "--json", url=url)
    told = json.loads(again.stdout)
    assert (again.exit_code, told["equal"], told["was_done"], told["differences"]) == (0, True, True, [])
    assert told["sha256"] in moved.stdout
    assert "nothing was done now" in migrate(data_dir, url=url).stdout
    assert "has this journal already" in migrate(data_dir, "--dry-run", url=url).stdout


def test_the_database_may_be_named_in_a_file_on_stdin_or_by_an_option_without_a_password(
    data_dir: Path, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text(f"{url}\n", encoding="utf-8")
    for arguments, stdin in ((("--to-file", str(file)), None), (("--to-file", "-"), url), (("--to", url), None)):
        ended = migrate(data_dir, *arguments, "--dry-run", "--json", stdin=stdin)
        assert json.loads(ended.stdout)["state"] == "empty", ended.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "no PostgreSQL database is named"),
        (("--to", NOBODY), "--to holds a password"),
        (("--to", f"postgresql://h/d?password={SECRET}"), "--to holds a password"),
        (("--to", "sqlite:///other.db"), "is a SQLite file"),
        (("--to", "not a url"), "not a database URL"),
        (("--to", "postgresql://h/d", "--to-file", "-"), "both --to and --to-file"),
        (("--to-file", "nowhere"), "cannot be read"),
        (("--to-file", "-"), "must hold one URL"),
    ],
)
def test_what_names_no_database_is_refused_in_words(data_dir: Path, arguments: tuple[str, ...], told: str) -> None:
    ended = migrate(data_dir, *arguments, stdin="a\nb")
    assert (ended.exit_code, told in ended.stderr) == (2, True), ended.output


def test_a_server_that_does_not_answer_is_named_without_the_password(data_dir: Path) -> None:
    for url in (NOBODY, f"postgresql://me@127.0.0.1:1/memories?password={SECRET}"):
        ended = migrate(data_dir, url=url)
        assert ended.exit_code == 1
        assert "127.0.0.1:1/memories" in ended.stderr.replace("\n", "")
        assert SECRET not in place_of(JournalSection.model_validate({"url": url}), data_dir).shown


def test_it_waits_for_no_daemon_and_leaves_the_directory_free(data_dir: Path, url: str, tmp_path: Path) -> None:
    lease = Lease.take(Places(data_dir))
    try:
        held = migrate(data_dir, url=url)
    finally:
        lease.release()
    assert held.exit_code == 1
    assert "another daemon" in held.stderr
    assert "memmcp stop" in held.stderr
    missing = migrate(tmp_path / "none", url=url)
    assert (missing.exit_code, "there is no journal" in missing.stderr) == (1, True)
    assert not (tmp_path / "none").exists()
    migrate(data_dir, "--dry-run", url=url)
    Lease.take(Places(data_dir)).release()


def test_a_copy_that_is_not_equal_ends_with_1_and_names_the_rows(data_dir: Path, url: str) -> None:
    with pytest.raises(Stop), moving(data_dir / "journal.db", url, told=StopAt(30)) as move:
        move.run()
    with psycopg.connect(url) as db:
        db.execute("UPDATE memories SET content = 'other' WHERE seq = 2")
    ended = migrate(data_dir, url=url)
    assert ended.exit_code == 1
    assert "not equal: memories [2] differs in content" in ended.stdout
    assert "no daemon will open it" in ended.stderr
    document = json.loads(migrate(data_dir, "--json", url=url).stdout)
    assert document["differences"] == [{"table": "memories", "key": "[2]", "what": "differs in content"}]
    assert (document["equal"], document["resumed"]) == (False, True)
