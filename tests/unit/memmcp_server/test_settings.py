from pathlib import Path

import pytest

import trading.errors
from memmcp_server.errors import InvalidInput
from memmcp_server.settings import load, secrets_of, setting_paths, unknown_variables
from trading.feeds.select import parse_feed


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    sections = load(tmp_path, {})
    assert (sections.data_dir, sections.http.port, sections.trading.money) == (tmp_path, 8765, "paper")


def test_an_option_wins_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "memmcp.toml").write_text('[http]\nport = 1\nhost = "127.0.0.2"\n[relay]\nattempts_max = 3\n')
    environ = {"MEMMCP_HTTP__PORT": "2", "MEMMCP_HTTP__STREAMS_MAX": "7", "MEMMCP_DATA_DIR": "elsewhere"}
    sections = load(tmp_path, environ, options={"http": {"port": 3}})
    assert (sections.http.port, sections.http.streams_max, sections.http.host) == (3, 7, "127.0.0.2")
    assert sections.relay.attempts_max == 3
    assert load(tmp_path, environ).http.port == 2


def test_all_bad_values_are_named_at_once_with_what_was_given_and_allowed(tmp_path: Path) -> None:
    (tmp_path / "memmcp.toml").write_text('[journal]\nreaders = 99\n[trading]\nmoney = "gold"\n')
    environ = {"MEMMCP_HTTP__PORT": "99999", "MEMMCP_HTTP__PROT": "1", "MEMMCP_DAEMON__IDLE_EXIT_S": "soon"}
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, environ, options={"trading": {"feed": "moon"}})
    message = caught.value.message
    assert "MEMMCP_HTTP__PORT (environment): given '99999'; allowed: less than or equal to 65535" in message
    assert "MEMMCP_HTTP__PROT (environment): there is no such setting; http has: allowed_hosts" in message
    assert "MEMMCP_DAEMON__IDLE_EXIT_S (environment): given 'soon'" in message
    assert "journal.readers (file): given 99" in message
    assert "trading.money (file): given 'gold'; allowed: 'paper' or 'real'" in message
    assert "trading.feed (command line): given 'moon'" in message
    assert len(message.splitlines()) == 6


def test_a_secret_is_never_repeated_in_an_error(tmp_path: Path) -> None:
    (tmp_path / "memmcp.toml").write_text("[http]\ntoken = 123456789\n")
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, {})
    assert "123456789" not in caught.value.message
    assert "http.token (file): given ***" in caught.value.message


def test_every_secret_that_is_set_is_known_to_the_log(tmp_path: Path) -> None:
    environ = {
        "MEMMCP_HTTP__TOKEN": "a-token",
        "MEMMCP_LANGFUSE__PUBLIC_KEY": "pk",
        "MEMMCP_LANGFUSE__SECRET_KEY": "sk-lf",
        "MEMMCP_OTLP__HEADERS": '{"x-key": "a-key"}',
    }
    assert sorted(secrets_of(load(tmp_path, environ))) == ["a-key", "a-token", "sk-lf"]
    assert secrets_of(load(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"MEMMCP_LANGFUSE__SECRET_KEY": "sk-lf-leaked"}, "public_key and secret_key, both or neither"),
        ({"MEMMCP_OTLP__HEADERS": '{"x-key": ["sk-lf-leaked"]}'}, "OTLP__HEADERS"),
        ({"MEMMCP_OTLP__HEADERS": '"sk-lf-leaked"'}, "OTLP__HEADERS"),
        # It would stand in what the client says of a server that is away.
        ({"MEMMCP_QDRANT__URL": "http://me:leaked@there:6333"}, "MEMMCP_QDRANT__URL (environment): given ***"),
    ],
)
def test_a_secret_is_not_repeated_where_a_whole_section_is_wrong(
    tmp_path: Path, environ: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, environ)
    assert says in caught.value.message
    assert "leaked" not in str(caught.value.message)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[http\n", "is not TOML"),
        ("\xff", "is not TOML"),
        ('data_dir = "elsewhere"\n', "only --data-dir and MEMMCP_DATA_DIR"),
        ("[htpp]\nport = 1\n", "htpp (file): there is no such setting; sections are: "),
        ("http = 3\n", "http (file): given 3"),
    ],
)
def test_a_broken_file_is_an_error_that_says_why(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "memmcp.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, {})
    assert says in caught.value.message


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.toml does not exist"):
        load(tmp_path, {}, file=tmp_path / "gone.toml")


def test_a_list_in_the_environment_is_json(tmp_path: Path) -> None:
    sections = load(tmp_path, {"MEMMCP_HTTP__ALLOWED_HOSTS": '["desk.example"]'})
    assert sections.http.allowed_hosts == ("desk.example",)
    with pytest.raises(InvalidInput, match="JSON"):
        load(tmp_path, {"MEMMCP_HTTP__ALLOWED_HOSTS": "desk.example"})


def test_a_daemon_started_by_a_bridge_takes_no_money_setting_from_its_environment(tmp_path: Path) -> None:
    environ = {
        "MEMMCP_TRADING__MONEY": "real",
        "MEMMCP_TRADING__PROFILE": "reckless",
        "MEMMCP_TRADING__FEED": "synthetic",
        "MEMMCP_ORDERS__ASK_IN_CLIENT": "never",
    }
    assert load(tmp_path, environ, by_bridge=True).orders.ask_in_client == "always"
    trading = load(tmp_path, environ, by_bridge=True).trading
    assert (trading.money, trading.profile, trading.feed) == ("paper", "foundation", "synthetic")
    assert load(tmp_path, environ).trading.money == "real"


def test_unknown_variables_are_found_and_known_ones_are_not() -> None:
    known = {f"MEMMCP_{section}__{key}".upper(): "" for section, key in setting_paths()}
    environ = {**known, "MEMMCP_DATA_DIR": "", "MEMMCP_HTPP__PORT": "", "MEMMCP_PORT": "", "PATH": ""}
    assert unknown_variables(environ) == ["MEMMCP_HTPP__PORT", "MEMMCP_PORT"]


@pytest.mark.parametrize("feed", ["auto", "market", "synthetic", "synthetic:7", "replay:bars.csv"])
def test_every_feed_that_the_desk_knows_may_be_named(tmp_path: Path, feed: str) -> None:
    assert load(tmp_path, {}, options={"trading": {"feed": feed}}).trading.feed == feed
    assert parse_feed(feed).kind == feed.partition(":")[0]


@pytest.mark.parametrize("feed", ["synthetic:", "synthetic:x", "synthetic:-1", "market:1", "replay:"])
def test_a_feed_that_the_desk_does_not_know_is_refused_at_the_start(tmp_path: Path, feed: str) -> None:
    with pytest.raises(InvalidInput, match=r"trading\.feed"):
        load(tmp_path, {}, options={"trading": {"feed": feed}})
    with pytest.raises(trading.errors.InvalidInput):
        parse_feed(feed)
