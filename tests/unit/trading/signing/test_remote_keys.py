"""Remote signers: the memory body of the common interface, and a server on this machine that answers like Vault."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from solana_keychain import MemorySigner
from solders.pubkey import Pubkey
from tests.support.signing import KEY, REHEARSAL_GENESIS, WALLET

from trading.errors import InvalidInput, SignerUnavailable
from trading.signing.remote import LateRemoteKey, RemoteKey

TOKEN = "hvs.a-token-of-the-vault"


class VaultServer(ThreadingHTTPServer):
    """Signs with ``KEY`` at /v1/transit/sign/desk; ``mood`` says how it misbehaves."""

    mood = "well"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: VaultServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = base64.b64decode(asked["input"])
        if self.headers["x-vault-token"] != TOKEN or self.path != "/v1/transit/sign/desk":
            return self._answer(403, {"errors": ["permission denied"]})
        if self.server.mood == "sealed":
            return self._answer(503, {"errors": ["Vault is sealed"]})
        if self.server.mood == "swapped":
            message = b"another message"
        signature = base64.b64encode(KEY.sign(message)).decode()
        return self._answer(200, {"data": {"signature": f"vault:v1:{signature}"}})

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def vault() -> Iterator[VaultServer]:
    server = VaultServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def vault_key(server: VaultServer, **changes: str) -> LateRemoteKey:
    wish = {"backend": "vault", "api_base_url": f"http://127.0.0.1:{server.server_port}", "token": TOKEN}
    return LateRemoteKey(WALLET, REHEARSAL_GENESIS, {**wish, "key_name": "desk", **changes})


@pytest.mark.anyio
async def test_the_vault_signs_as_the_wallet(vault: VaultServer) -> None:
    signed = await vault_key(vault).signature(b"message")
    Ed25519PublicKey.from_public_bytes(bytes(Pubkey.from_string(WALLET))).verify(signed, b"message")


@pytest.mark.anyio
@pytest.mark.parametrize("mood", ["sealed", "swapped"])
async def test_a_vault_that_does_not_sign_this_message_is_unavailable(vault: VaultServer, mood: str) -> None:
    vault.mood = mood
    with pytest.raises(SignerUnavailable) as refused:
        await vault_key(vault).signature(b"message")
    assert TOKEN not in str(refused.value)


@pytest.mark.anyio
async def test_a_wrong_token_is_unavailable_and_not_repeated(vault: VaultServer) -> None:
    with pytest.raises(SignerUnavailable) as refused:
        await vault_key(vault, token="hvs.wrong").signature(b"message")
    assert "hvs.wrong" not in str(refused.value)


@pytest.mark.anyio
async def test_the_memory_signer_signs_behind_the_same_interface() -> None:
    signer = MemorySigner.from_bytes(KEY.seed_for_storage())
    assert await RemoteKey(WALLET, REHEARSAL_GENESIS, signer).signature(b"m") == KEY.sign(b"m")


@pytest.mark.anyio
async def test_a_remote_signer_of_another_wallet_is_not_believed() -> None:
    signer = MemorySigner.from_bytes(bytes([9]) * 32)
    with pytest.raises(SignerUnavailable, match="not of this message and wallet"):
        await RemoteKey(WALLET, REHEARSAL_GENESIS, signer).signature(b"m")


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"backend": "memory"}, "is not one of"),
        ({"backend": "fireblocks"}, "is not one of"),
        ({"backend": "vault", "password": "x"}, "unknown to vault"),
        ({"backend": "vault"}, "needs more"),
    ],
)
def test_a_wrong_configuration_is_named(wish: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        LateRemoteKey(WALLET, REHEARSAL_GENESIS, wish)
