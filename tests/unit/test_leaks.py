"""What looks for keys finds each form of one, wherever it stands, and nothing where there is none."""

import base64
import hashlib
import json

import pytest
from solders.keypair import Keypair
from tests.support.leaks import forms_of_key, forms_of_text, found_in

SEED = hashlib.sha256(b"a planted key").digest()
KEY = Keypair.from_seed(SEED)
FORMS = forms_of_key(SEED)
PLANTED = {
    "base58": str(KEY).encode(),
    "JSON of a key file": KEY.to_json().encode(),
    "JSON with spaces": json.dumps(list(bytes(KEY))).encode(),
    "hex": bytes(KEY).hex().encode(),
    "hex of the seed": SEED.hex().upper().encode(),
    "raw": bytes(KEY),
    "an object of Python": repr(SEED).encode(),
    **{f"base64 behind {n} bytes": base64.b64encode(b"x" * n + bytes(KEY) + b"y") for n in range(4)},
    **{f"base64 for addresses behind {n} bytes": base64.urlsafe_b64encode(b"x" * n + SEED + b"yz") for n in range(4)},
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_key_is_found_in_each_of_its_forms(name: str) -> None:
    assert found_in(b"before " + PLANTED[name] + b" behind", FORMS)


def test_what_is_public_is_no_leak() -> None:
    public = bytes(KEY.pubkey())
    shown = [str(KEY.pubkey()).encode(), public, public.hex().encode(), base64.b64encode(public), repr(KEY).encode()]
    assert found_in(b" ".join(shown), FORMS) == []


@pytest.mark.parametrize("wide", ["utf-8", "utf-16-le"])
def test_a_planted_word_is_found(wide: str) -> None:
    word = "a passphrase of several words"
    assert found_in(b"x" + word.encode(wide) + b"y", forms_of_text(word))
    assert found_in(base64.b64encode(b"xy" + word.encode() + b"z"), forms_of_text(word))
    assert found_in(word[:-1].encode(), forms_of_text(word)) == []
