"""The mandate's file: what it must say, and the seal on what it says."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.signing import COLD, NOW_NS, SOL_MINT, TOKEN, WALLET, mandate, mandate_toml

from trading.errors import InvalidInput
from trading.model.mandate import MAINNET_GENESIS, Network
from trading.signing.mandate import is_sealed, parse_mandate, read_mandate, seal

KEY = bytes(32)


def test_a_file_says_what_the_mandate_says(tmp_path: Path) -> None:
    path = tmp_path / "mandate.toml"
    path.write_text(mandate_toml(mandate()))
    assert read_mandate(path) == mandate()


def test_the_order_of_lists_changes_nothing() -> None:
    both = mandate(mints=(TOKEN, COLD))
    turned = mandate_toml(both).replace(f'mints = ["{TOKEN}", "{COLD}"]', f'mints = ["{COLD}", "{TOKEN}"]')
    assert parse_mandate(turned.encode()).canonical() == parse_mandate(mandate_toml(both).encode()).canonical()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version = 1", "version = 2", "version"),
        ('name = "first"', 'name = ""', "name"),
        (f'wallets = ["{WALLET}"]', 'wallets = ["0OIl"]', "wallets.0"),
        (f'wallets = ["{WALLET}"]', f'wallets = ["{WALLET}", "{WALLET}"]', "wallets: names something twice"),
        (f'wallets = ["{WALLET}"]', "wallets = []", "wallets"),
        ("http://127.0.0.1:8899", "http://example.org", "https"),
        (f'mints = ["{TOKEN}"]', f'mints = ["{SOL_MINT}"]', "wrapped SOL"),
        ('["buy", "sell"]', '["buy", "short"]', "sides"),
        ("order_lamports_max = 1000000000", "order_lamports_max = -1", "order_lamports_max"),
        ("order_lamports_max = 1000000000", "order_lamports_max = 1.5", "order_lamports_max"),
        ("order_lamports_max = 1000000000", "order_lamports_max = 3000000000", "above day_lamports_max"),
        ("ramp_lamports_max = 10000000", "ramp_lamports_max = 1000000001", "above order_lamports_max"),
        ("fee_lamports_max = 200000", "fee_lamports_max = 2000001", "above fee_day_lamports_max"),
        ("tip_lamports_max = 0", "tip_lamports_max = 200001", "above fee_lamports_max"),
        (f'cold_address = "{COLD}"', f'cold_address = "{WALLET}"', "one of the wallets"),
        ("slippage_bps_max = 100", "slippage_bps_max = 10001", "slippage_bps_max"),
        ("slippage_bps_max = 100\n", "", "slippage_bps_max"),
        ("attempts_max = 3", "attempts_max = true", "attempts_max"),
        ("version = 1", "version = 1\nunlimited = true", "unlimited"),
        ("version = 1", "version = ", "not TOML"),
    ],
)
def test_a_wrong_field_is_named(old: str, new: str, told: str) -> None:
    text = mandate_toml(mandate())
    assert old in text
    with pytest.raises(InvalidInput, match=told):
        parse_mandate(text.replace(old, new).encode())


def test_an_expiry_without_a_zone_is_refused() -> None:
    text = "\n".join(line for line in mandate_toml(mandate()).splitlines() if not line.startswith("expires"))
    with pytest.raises(InvalidInput, match="time zone"):
        parse_mandate(f"{text}\nexpires = 2026-12-31T12:00:00\n".encode())


def test_a_link_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text(mandate_toml(mandate()))
    (tmp_path / "mandate.toml").symlink_to(tmp_path / "real.toml")
    with pytest.raises(InvalidInput, match="cannot be opened"):
        read_mandate(tmp_path / "mandate.toml")


def test_the_genesis_hash_decides_whose_money_it_is() -> None:
    assert mandate().network is Network.REHEARSAL
    assert mandate(genesis_hash=MAINNET_GENESIS).network is Network.LIVE


def test_a_seal_holds_for_one_mandate_one_arming_and_one_key() -> None:
    wanted = mandate()
    made = seal(KEY, wanted, 4, NOW_NS, NOW_NS + 1)
    assert is_sealed(KEY, wanted, 4, NOW_NS, NOW_NS + 1, made)
    assert not is_sealed(bytes([1]) * 32, wanted, 4, NOW_NS, NOW_NS + 1, made)
    assert not is_sealed(KEY, wanted, 5, NOW_NS, NOW_NS + 1, made)
    assert not is_sealed(KEY, wanted, 4, NOW_NS + 1, NOW_NS + 1, made)
    assert not is_sealed(KEY, wanted, 4, NOW_NS, NOW_NS + 2, made)
    for field, value in (
        ("order_lamports_max", wanted.order_lamports_max + 1),
        ("cold_address", TOKEN),
        ("endpoints", wanted.endpoints[:1]),
        ("wallets", (*wanted.wallets, COLD)),
        ("genesis_hash", MAINNET_GENESIS),
    ):
        assert not is_sealed(KEY, replace(wanted, **{field: value}), 4, NOW_NS, NOW_NS + 1, made)


def test_the_mandate_in_the_threat_model_is_one() -> None:
    page = (Path(__file__).parents[4] / "docs" / "threat-model.md").read_text(encoding="utf-8")
    shown = page.split("```toml\n")[1].split("```")[0]
    shown = shown.replace("YOUR_WALLET", WALLET).replace("YOUR_COLD_ADDRESS", COLD)
    assert parse_mandate(shown.encode()).network is Network.LIVE
