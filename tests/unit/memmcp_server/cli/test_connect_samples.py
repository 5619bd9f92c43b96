"""connect on files as the clients write them: in and out again to the byte, and nothing lost of what is broken."""

import base64
import json
import stat
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import Result
from typer.testing import CliRunner

from memmcp_server.cli import app, jsonc
from memmcp_server.cli.careful_file import Change, apply, masked
from memmcp_server.cli.client_files import KINDS
from memmcp_server.errors import InvalidInput

SAMPLES = Path(__file__).parent / "samples"
NAMES = sorted(KINDS)
SECRETS = {
    "claude-desktop": "ghp_ExampleExampleExample0123456789abcd",
    "cursor": "sk-live-not-for-anybody",
    "windsurf": "xoxb-example-example",
    "codex": "ctx7sk-not-for-anybody-1",
}


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def connect(name: str, file: Path, *options: str, code: int = 0) -> Result:
    return run("connect", name, "--config", str(file), *options, code=code)


def sample(name: str, folder: Path) -> Path:
    source = SAMPLES / f"{name}.{KINDS[name].form}"
    file = folder / source.name
    file.write_bytes(source.read_bytes())
    return file


def read(name: str, file: Path) -> dict[str, Any]:
    text = file.read_bytes().decode().removeprefix("\ufeff")
    document: dict[str, Any] = tomllib.loads(text) if KINDS[name].form == "toml" else jsonc.parse(text).value
    return document


@pytest.mark.requirement("A4")
@pytest.mark.parametrize("name", NAMES)
def test_in_and_out_again_leaves_the_file_as_it_was_to_the_byte(name: str, tmp_path: Path) -> None:
    file = sample(name, tmp_path)
    before, raw = read(name, file), file.read_bytes()
    connect(name, file)
    after = read(name, file)
    ours = after[KINDS[name].section].pop("memmcp")
    assert Path(ours["command"]).name.startswith("memmcp")
    assert ours["args"] == ["stdio"]
    assert after == before
    connect(name, file, "--remove")
    assert file.read_bytes() == raw
    assert "nothing of memMCP" in connect(name, file, "--remove").output.replace("\n", " ")


@pytest.mark.requirement("A4")
@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_old_text_goes_and_only_lines_are_added(name: str, tmp_path: Path) -> None:
    file = sample(name, tmp_path)
    raw = file.read_bytes()
    connect(name, file)
    text = file.read_bytes()
    rest = iter(text.decode())
    assert all(char in rest for char in raw.decode())  # what was there is still there, in its order
    assert text.startswith(b"\xef\xbb\xbf") == raw.startswith(b"\xef\xbb\xbf")
    assert text.endswith(b"\n") == raw.endswith(b"\n")
    if b"\r\n" in raw:
        assert b"\n" not in text.replace(b"\r\n", b"")
    for remark in ("// rotate in May", "/* our own search */", "// asked for once", "# documentation"):
        assert (remark.encode() in raw) == (remark.encode() in text)


@pytest.mark.parametrize("name", NAMES)
def test_a_change_is_shown_and_no_secret_of_another_entry_is(name: str, tmp_path: Path) -> None:
    file = sample(name, tmp_path)
    raw = file.read_bytes()
    shown = connect(name, file, "--dry-run")
    assert file.read_bytes() == raw
    assert any(line.startswith("+") and "memmcp" in line for line in shown.stdout.splitlines())
    written = connect(name, file)
    assert written.stdout.startswith(shown.stdout.rstrip("\n"))
    for secret in (*SECRETS.values(), "hunter2hunter2"):
        assert secret not in shown.output + written.output
    again = json.loads(connect(name, file, "--json").stdout)
    assert (again["changed"], again["backup"], again["diff"]) == (False, None, "")


def test_a_secret_beside_our_entry_is_masked_in_every_diff(tmp_path: Path) -> None:
    file = sample("cursor", tmp_path)
    shown = connect("cursor", file, "--dry-run").stdout
    assert '"Authorization": "***"' in shown  # the line is there, since it stands beside ours
    assert "rotate in May" in shown


@pytest.mark.parametrize("name", NAMES)
def test_the_back_up_holds_what_was_there(name: str, tmp_path: Path) -> None:
    file = sample(name, tmp_path)
    raw = file.read_bytes()
    file.chmod(0o640)
    answer = json.loads(connect(name, file, "--json").stdout)
    assert Path(answer["backup"]).read_bytes() == raw
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(Path(answer["backup"]).stat().st_mode) == 0o640


@pytest.mark.requirement("A4")
@pytest.mark.parametrize("name", NAMES)
def test_a_broken_file_is_refused_with_its_place_and_left_alone(name: str, tmp_path: Path) -> None:
    file = sample(name, tmp_path)
    cut = file.read_bytes().rstrip()
    broken = cut[:-1] if KINDS[name].form == "json" else cut.rstrip(b'"')
    file.write_bytes(broken)
    said = connect(name, file, code=2).stderr.replace("\n", " ")
    assert "left alone" in said
    assert "line" in said or "end of document" in said
    connect(name, file, "--remove", code=2)
    assert file.read_bytes() == broken
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", NAMES)
def test_our_own_entry_keeps_what_the_person_put_into_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / "c"
    section = KINDS[name].section
    if KINDS[name].form == "toml":
        file.write_text(f'[{section}.memmcp]\ncommand = "old"\n\n[{section}.memmcp.env]\nA = "1"\n\n[x]\ny = 1\n')
    else:
        ours = '{"command": "old", // mine\n "env": {"A": "1"}}'
        file.write_text('{"x": 1,\n "%s": {"memmcp": %s}}\n' % (section, ours))  # noqa: UP031
    connect(name, file)
    entry = read(name, file)[section]["memmcp"]
    assert entry["env"] == {"A": "1"}
    assert entry["command"] != "old"
    assert read(name, file)["x"] in (1, {"y": 1})
    if KINDS[name].form == "json":
        assert "// mine" in file.read_text()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("held", ["", "  \n", None])
def test_an_empty_file_and_a_missing_folder_are_a_beginning(name: str, held: str | None, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "c"
    if held is not None:
        file.parent.mkdir(parents=True)
        file.write_text(held)
    connect(name, file)
    assert list(read(name, file)[KINDS[name].section]) == ["memmcp"]
    assert file.read_text().endswith("\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_read_only_file_is_left_alone(name: str, tmp_path: Path) -> None:
    file = sample(name, tmp_path)
    raw = file.read_bytes()
    file.chmod(0o444)
    assert "read-only" in connect(name, file, code=2).stderr
    assert file.read_bytes() == raw
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", NAMES)
def test_a_linked_file_stays_a_link(name: str, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    real, link = sample(name, tmp_path / "dotfiles"), tmp_path / "link"
    link.symlink_to(real)
    connect(name, link)
    assert link.is_symlink()
    assert "memmcp" in read(name, real)[KINDS[name].section]


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("cursor", {"url": "U", "headers": {"Authorization": "Bearer ${env:MEMMCP_TOKEN}"}}),
        ("windsurf", {"serverUrl": "U", "headers": {"Authorization": "Bearer ${env:MEMMCP_TOKEN}"}}),
        ("vscode", {"type": "http", "url": "U", "headers": {"Authorization": "Bearer ${env:MEMMCP_TOKEN}"}}),
        ("claude-code", {"type": "http", "url": "U", "headers": {"Authorization": "Bearer ${MEMMCP_TOKEN}"}}),
        ("codex", {"url": "U", "bearer_token_env_var": "MEMMCP_TOKEN"}),
    ],
)
def test_a_token_is_named_and_never_written(
    name: str, entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMMCP_TOKEN", "the-token-itself")
    file, data_dir = sample(name, tmp_path), tmp_path / "none"
    connect(name, file, "--http", "--token", "--data-dir", str(data_dir))
    expected = json.loads(json.dumps(entry).replace('"U"', '"http://127.0.0.1:8765/mcp"'))
    assert read(name, file)[KINDS[name].section]["memmcp"] == expected
    assert "the-token-itself" not in file.read_text()
    connect(name, file)  # back to stdio: nothing of the other transport stays
    assert set(read(name, file)[KINDS[name].section]["memmcp"]) <= {"type", "command", "args"}


def test_what_contradicts_itself_is_refused_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "c"
    assert "leave --http out" in connect("trae", file, "--http", "--token", code=2).stderr
    assert "add --http" in connect("cursor", file, "--token", code=2).stderr
    assert "add --rules" in connect("cursor", file, "--project", str(tmp_path), code=2).stderr
    assert "no link for Trae" in connect("trae", file, "--link", code=2).stderr
    assert not file.exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"mcpServers": {}, "mcpServers": {}}',
        '{"mcpServers": {"memmcp": 1,, }}',
        '{"mcpServers": []}',
        "[]",
        '{"a": NaN}',
        '{"a": 01}',
        '{"a": "\\x"}',
        '{"a": 1} x',
        '{"a": /* open',
        "[" * 5000,
        "{,}",
    ],
)
def test_what_json_with_comments_is_not(text: str, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    connect("cursor", file, code=2)
    assert file.read_text() == text


def test_the_link_for_cursor_holds_the_entry() -> None:
    link = run("connect", "cursor", "--link").stdout.strip()
    query = parse_qs(urlsplit(link).query)
    assert query["name"] == ["memmcp"]
    entry = json.loads(base64.b64decode(query["config"][0]))
    assert entry["args"] == ["stdio"]


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = { memmcp = { command = "old" } }\n',
        '[mcp_servers]\nmemmcp = { command = "old" }\n',
        'mcp_servers.memmcp.command = "old"\n',
    ],
)
def test_toml_that_cannot_be_changed_safely_is_left_alone(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert "by hand" in connect("codex", file, code=2).stderr
    assert file.read_text() == text


def test_a_file_that_changed_in_the_meantime_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text("{}")
    change = Change(file, "{}", '{"a": 1}')
    file.write_text('{"b": 1}')
    with pytest.raises(InvalidInput, match="changed by another program"):
        apply(change)
    assert file.read_text() == '{"b": 1}'
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('"API_KEY": "abcd1234"', '"API_KEY": "***"'),
        ('"args": ["--token", "abcd1234"]', '"args": ["--token", "***"]'),
        ('"args": ["--api-key=abcd1234", "-v"]', '"args": ["--api-key=***", "-v"]'),
        ('"url": "https://x.example/mcp?access_token=abcd1234"', '"url": "https://x.example/mcp?access_token=***"'),
        ('"url": "https://ada:pw@x.example/mcp"', '"url": "https://***@x.example/mcp"'),
        ('"Authorization": "Bearer abc"', '"Authorization": "Bearer ***"'),
        ('// "SECRET": "commented-out"', '// "SECRET": "***"'),
        ('"x": "sk0123456789abcdefghij"', '"x": "***"'),
        ('"Authorization": "Bearer ${env:MEMMCP_TOKEN}"', '"Authorization": "Bearer ${env:MEMMCP_TOKEN}"'),
        ('"command": "/home/ada/memmcp2/.venv/bin/memmcp"', '"command": "/home/ada/memmcp2/.venv/bin/memmcp"'),
        ('bearer_token_env_var = "MEMMCP_TOKEN"', 'bearer_token_env_var = "MEMMCP_TOKEN"'),
    ],
)
def test_what_looks_like_a_secret_is_masked_and_what_names_one_is_not(line: str, shown: str) -> None:
    assert masked(line) == shown
