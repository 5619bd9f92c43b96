"""A key's printed forms, and how it cannot leave."""

import copy
import logging
import pickle

import pytest
from tests.support.signing import KEY, REHEARSAL_GENESIS

from trading.errors import InvalidInput
from trading.model.mandate import MAINNET_GENESIS, Network
from trading.signing.secrets import Passphrase, SecretKey

SEED = bytes(range(32))


def test_a_key_prints_as_its_public_key_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("desk").debug("signing with %s, %r", KEY, KEY)
    texts = [str(KEY), repr(KEY), f"{KEY}", f"{KEY:>60}", repr([KEY]), repr({"key": KEY}), caplog.text]
    for text in texts:
        assert KEY.address in text
        assert SEED.hex() not in text
        assert "00, 01" not in text
        assert r"\x01\x02\x03" not in text


def test_a_key_is_neither_pickled_nor_copied() -> None:
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leave(KEY)


def test_a_key_of_a_wrong_length_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidInput) as refused:
        SecretKey(b"hunter2", REHEARSAL_GENESIS)
    assert "hunter2" not in refused.value.message


def test_a_key_signs_as_its_public_key() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from solders.pubkey import Pubkey

    public = Ed25519PublicKey.from_public_bytes(bytes(Pubkey.from_string(KEY.address)))
    public.verify(KEY.sign(b"message"), b"message")


def test_only_the_main_networks_key_is_a_live_key() -> None:
    assert SecretKey(SEED, MAINNET_GENESIS).network is Network.LIVE
    assert SecretKey(SEED, REHEARSAL_GENESIS).network is Network.REHEARSAL


def test_generated_keys_differ() -> None:
    assert SecretKey.generate(REHEARSAL_GENESIS).address != SecretKey.generate(REHEARSAL_GENESIS).address


def test_a_passphrase_prints_as_nothing_and_can_be_wiped() -> None:
    typed = Passphrase("correct horse")
    assert "horse" not in f"{typed} {typed!r} {typed:>30}"
    with pytest.raises(TypeError):
        pickle.dumps(typed)
    typed.wipe()
    assert typed.reveal() == b""
