"""TRADING_ variables: what is read, what is refused, and what nobody knows."""

import traceback
from decimal import Decimal

import pytest

from trading.config import BarsSection, Sections
from trading.errors import InvalidInput
from trading.settings import load, unknown_variables


def test_nothing_set_means_the_defaults() -> None:
    assert load({}) == Sections()
    assert load({"PATH": "/bin", "MEMMCP_HTTP__PORT": "1"}) == Sections()


def test_a_variable_sets_its_field() -> None:
    sections = load(
        {"TRADING_ACCOUNT__EQUITY_SOL": "3.5", "TRADING_PAPER__SPEED": "max", "TRADING_ACCOUNT__ZONE": "UTC"}
    )
    assert sections.account.equity_sol == Decimal("3.5")
    assert sections.paper.speed == "max"
    assert load({"TRADING_PAPER__SPEED": "12.5"}).paper.speed == 12.5


def test_every_bad_value_is_named_at_once_with_what_was_given() -> None:
    with pytest.raises(InvalidInput) as raised:
        load({"TRADING_ACCOUNT__EQUITY_SOL": "-2", "TRADING_PAPER__SPEED": "-1", "TRADING_ACCOUNT__ZONE": "Mars/Base"})
    message = raised.value.message
    for expected in (
        "TRADING_ACCOUNT__EQUITY_SOL",
        "'-2'",
        "TRADING_PAPER__SPEED",
        "TRADING_ACCOUNT__ZONE",
        "Mars/Base",
    ):
        assert expected in message


def test_bars_are_kept_for_two_days_at_least_and_hours_for_longer_than_that() -> None:
    assert load({"TRADING_BARS__EVERY_DAYS": "2", "TRADING_BARS__HOURS_DAYS": "7"}).bars == BarsSection(
        every_days=2, hours_days=7
    )
    for given, expected in (
        ({"TRADING_BARS__EVERY_DAYS": "1"}, "TRADING_BARS__EVERY_DAYS: Input should be greater than or equal to 2"),
        ({"TRADING_BARS__EVERY_DAYS": "400"}, "hours_days: more than every_days, 400, not 365"),
    ):
        with pytest.raises(InvalidInput) as raised:
            load(given)
        assert expected in raised.value.message


def test_a_slip_of_the_pen_is_found() -> None:
    environ = {"TRADING_ACCOUNT__EQUITY": "2", "TRADING_PAPER__SPEED": "max", "TRADING_SPEED": "1", "HOME": "/"}
    assert unknown_variables(environ) == ["TRADING_ACCOUNT__EQUITY", "TRADING_SPEED"]


def test_a_secret_is_not_shown_in_an_error() -> None:
    with pytest.raises(InvalidInput) as raised:
        load({"TRADING_MARKET__GECKO_KEY": "very-secret", "TRADING_MARKET__TOKENS_MAX": "0"})
    assert "very-secret" not in str(raised.value)
    assert "very-secret" not in repr(load({"TRADING_MARKET__GECKO_KEY": "very-secret"}))


def test_a_secret_is_not_shown_in_what_caused_an_error_either() -> None:
    given = {"TRADING_EXCHANGE__SECRET": "hunter2", "TRADING_EXCHANGE__SECRET_FILE": "x"}
    with pytest.raises(InvalidInput) as caught:
        load(given)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_endpoints_of_the_chain_are_read_and_their_addresses_are_secrets() -> None:
    given = '[{"url": "https://rpc.example/?api-key=topsecret", "websocket_url": "wss://rpc.example/topsecret"}]'
    chain = load({"TRADING_CHAIN__ENDPOINTS": given, "TRADING_CHAIN__LAG_SLOTS_MAX": "12"}).chain
    assert chain.endpoints[0].url.get_secret_value() == "https://rpc.example/?api-key=topsecret"
    assert chain.lag_slots_max == 12
    assert "topsecret" not in repr(chain)
    assert "topsecret" not in str(chain)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('[{"url": "ftp://rpc.example/topsecret"}]', "TRADING_CHAIN__ENDPOINTS[0].url: "),
        ('[{"url": "https://[topsecret"}]', "TRADING_CHAIN__ENDPOINTS[0].url: "),
        ('[{"url": "https://a.example/topsecret", "websocket_url": "https://a"}]', "[0].websocket_url: "),
        ('[{"url": "https://a.example/topsecret", "pace": 3}]', "TRADING_CHAIN__ENDPOINTS[0].pace: "),
        ('[{"url": "https://a.example/topsecret"}, {"url": "https://a.example/topsecret/"}]', "TRADING_CHAIN: "),
        ('{"url": "https://a.example/topsecret"}', "TRADING_CHAIN__ENDPOINTS"),
        ("https://a.example/topsecret", "TRADING_CHAIN__ENDPOINTS: "),
    ],
)
def test_a_bad_endpoint_is_named_without_its_secret(given: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        load({"TRADING_CHAIN__ENDPOINTS": given})
    assert expected in raised.value.message
    assert "topsecret" not in raised.value.message


def test_pools_and_feeds_of_the_router_are_json() -> None:
    section = load(
        {
            "TRADING_ROUTER__SECOND_PRICE": "pool",
            "TRADING_ROUTER__POOLS": '{"Frog": ["vault", "sol-vault"]}',
            "TRADING_ROUTER__COMPUTE_UNIT_PRICE_PERCENTILE": "7500",
            "TRADING_ROUTER__DEXES_EXCLUDED": '["SolFi"]',
        }
    ).router
    assert section.pools == {"Frog": ("vault", "sol-vault")}
    assert section.compute_unit_price_percentile == 7_500
    assert section.dexes_excluded == ("SolFi",)
    with pytest.raises(InvalidInput, match="TRADING_ROUTER__COMPUTE_UNIT_PRICE_PERCENTILE"):
        load({"TRADING_ROUTER__COMPUTE_UNIT_PRICE_PERCENTILE": "10001"})
    with pytest.raises(InvalidInput, match="TRADING_ROUTER__SECOND_PRICE"):
        load({"TRADING_ROUTER__SECOND_PRICE": "jupiter"})


@pytest.mark.requirement("T14")
def test_the_sidecars_address_and_key_are_shown_by_no_error_and_no_repr() -> None:
    bad = {"TRADING_SIDECAR__URL": "https://me:sk-hidden@host/v1", "TRADING_SIDECAR__MODEL": "m"}
    with pytest.raises(InvalidInput, match="TRADING_SIDECAR__URL") as caught:
        load(bad)
    assert "sk-hidden" not in f"{caught.value!r} {caught.value.message}"
    good = {**bad, "TRADING_SIDECAR__URL": "https://host/sk-hidden/v1/", "TRADING_SIDECAR__KEY": "sk-hidden"}
    section = load(good).sidecar
    assert section.is_on
    assert section.url.get_secret_value() == "https://host/sk-hidden/v1"
    assert "sk-hidden" not in repr(section)
