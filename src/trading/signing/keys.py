"""Where keys lie: a folder of encrypted files under one passphrase, whose root may also lie in the system's keyring.

``root.json`` holds 32 random bytes, encrypted with AES-256-GCM under scrypt of the passphrase. Everything else is
derived from them by HKDF with a name of its own: the key of each wallet's file, the key of the mandate's seal, the key
of the audit log. A wallet's file holds a seed, or what a remote signer is reached by, and names the chain that it is
for inside what is authenticated: a rehearsal key that is renamed to a live one does not open.
"""

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from trading.errors import InvalidInput

from .files import read_private, require_private_folder, write_new_private
from .secrets import Passphrase, SecretKey

ROOT_NAME: Final = "root.json"
KEYS_FOLDER: Final = "keys"
FILE_BYTES_MAX: Final = 16_384
KEYS_MAX: Final = 256
PASSPHRASE_BYTES_MIN: Final = 12
SCRYPT_LOG2_N: Final = 17
"""128 MiB and about a third of a second for each guess."""
_LOG2_N_ALLOWED: Final = range(10, 21)
_ROOT_FORMAT: Final = "memmcp signer root 1"
_KEY_FORMAT: Final = "memmcp wallet key 1"
_ROOT_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class WrongPassphrase(InvalidInput):
    """Also what a changed file looks like: which of both it was cannot be told."""

    code = "wrong_passphrase"


class SigningKey(Protocol):
    """A key that signs, wherever it lies."""

    @property
    def address(self) -> str: ...

    @property
    def genesis_hash(self) -> str: ...

    async def signature(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature. Raises: SignerUnavailable."""


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A seed in this process's memory."""

    secret: SecretKey

    @property
    def address(self) -> str:
        return self.secret.address

    @property
    def genesis_hash(self) -> str:
        return self.secret.genesis_hash

    async def signature(self, message: bytes) -> bytes:
        return self.secret.sign(message)


RemoteOpener = Callable[[str, str, Mapping[str, Any]], SigningKey]
"""(address, genesis_hash, configuration) -> a remote key."""


class Root:
    """The unlocked root: what derives every other key. Its printed form tells nothing."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _ROOT_BYTES:
            msg = "the root of the signer has another length than it should"
            raise InvalidInput(msg, field="root")
        self._secret = bytearray(secret)

    def derive(self, name: str, salt: bytes = b"") -> bytes:
        """Return 32 bytes for one purpose. Raises: InvalidInput once wiped."""
        if not self._secret:
            msg = "the signer is locked"
            raise InvalidInput(msg, field="root")
        kdf = HKDF(algorithm=SHA256(), length=32, salt=salt or None, info=b"memmcp signer 1 " + name.encode())
        return kdf.derive(bytes(self._secret))

    def for_keyring(self) -> str:
        return base64.b64encode(bytes(self._secret)).decode()

    def wipe(self) -> None:
        for place in range(len(self._secret)):
            self._secret[place] = 0
        self._secret.clear()

    def __repr__(self) -> str:
        return "Root(...)"


class KeyFolder:
    """The signer's folder, mode 0700. ``log2_n`` is the cost of a new root's passphrase."""

    def __init__(self, folder: Path, *, log2_n: int = SCRYPT_LOG2_N) -> None:
        self.folder = folder
        self._log2_n = log2_n

    @property
    def exists(self) -> bool:
        return (self.folder / ROOT_NAME).exists()

    def create(self, passphrase: Passphrase) -> Root:
        """Make a new root under the passphrase. Raises: InvalidInput where there is one, or the passphrase is short."""
        if len(passphrase) < PASSPHRASE_BYTES_MIN:
            msg = f"the passphrase is shorter than {PASSPHRASE_BYTES_MIN} characters"
            raise InvalidInput(msg, field="passphrase", hint="five random words are a good one")
        require_private_folder(self.folder)
        require_private_folder(self.folder / KEYS_FOLDER)
        secret = os.urandom(_ROOT_BYTES)
        header = {"format": _ROOT_FORMAT, "log2_n": self._log2_n, "r": 8, "p": 1, "salt": os.urandom(16).hex()}
        write_new_private(self.folder / ROOT_NAME, _sealed(_stretched(passphrase, header), header, secret))
        return Root(secret)

    def unlock(self, passphrase: Passphrase) -> Root:
        """Raises: WrongPassphrase; InvalidInput for a file that others may touch, or that is none of ours."""
        header, nonce, content = _parsed(read_private(self.folder / ROOT_NAME, FILE_BYTES_MAX), _ROOT_FORMAT)
        return Root(_opened(_stretched(passphrase, header), header, nonce, content))

    def add_seed(self, root: Root, secret: SecretKey) -> None:
        """Store a wallet's seed, encrypted. Raises: InvalidInput where the wallet is there already."""
        self._add(root, secret.address, secret.genesis_hash, "seed", secret.seed_for_storage())

    def add_remote(self, root: Root, address: str, genesis_hash: str, configuration: Mapping[str, Any]) -> None:
        """Store how a remote signer of a wallet is reached, its token included, encrypted."""
        self._add(root, address, genesis_hash, "remote", json.dumps(configuration).encode())

    def addresses(self) -> tuple[str, ...]:
        """Return the wallets that have a file; what the file says is not looked at."""
        folder = self.folder / KEYS_FOLDER
        return tuple(sorted(each.stem for each in folder.glob("*.json"))) if folder.is_dir() else ()

    def open_keys(self, root: Root, remote: RemoteOpener) -> dict[str, SigningKey]:
        """Return every wallet's key by its address. Raises: InvalidInput for the first that is not as written."""
        require_private_folder(self.folder)
        require_private_folder(self.folder / KEYS_FOLDER)
        addresses = self.addresses()
        if len(addresses) > KEYS_MAX:
            msg = f"{self.folder} holds more than {KEYS_MAX} keys"
            raise InvalidInput(msg, field="keys")
        return {address: self._open(root, address, remote) for address in addresses}

    def _add(self, root: Root, address: str, genesis_hash: str, kind: str, secret: bytes) -> None:
        require_private_folder(self.folder / KEYS_FOLDER)
        salt = os.urandom(16)
        header = {
            "format": _KEY_FORMAT,
            "address": address,
            "genesis_hash": genesis_hash,
            "kind": kind,
            "salt": salt.hex(),
        }
        content = _sealed(root.derive("wallet key", salt), header, secret)
        write_new_private(self.folder / KEYS_FOLDER / f"{address}.json", content)

    def _open(self, root: Root, address: str, remote: RemoteOpener) -> SigningKey:
        path = self.folder / KEYS_FOLDER / f"{address}.json"
        header, nonce, content = _parsed(read_private(path, FILE_BYTES_MAX), _KEY_FORMAT)
        secret = _opened(root.derive("wallet key", bytes.fromhex(header["salt"])), header, nonce, content)
        if header["address"] != address:
            msg = f"{path} is the file of another wallet, {header['address']}"
            raise InvalidInput(msg, field="keys")
        if header["kind"] == "remote":
            return remote(address, header["genesis_hash"], json.loads(secret))
        key = SecretKey(secret, header["genesis_hash"])
        if key.address != address:
            msg = f"{path} holds the key of another wallet, {key.address}"
            raise InvalidInput(msg, field="keys")
        return LocalKey(key)


def _stretched(passphrase: Passphrase, header: Mapping[str, Any]) -> bytes:
    log2_n = header["log2_n"]
    if log2_n not in _LOG2_N_ALLOWED or (header["r"], header["p"]) != (8, 1):
        msg = f"{ROOT_NAME} asks for a key derivation that this version does not do"
        raise InvalidInput(msg, field="root")
    kdf = Scrypt(salt=bytes.fromhex(header["salt"]), length=32, n=1 << log2_n, r=8, p=1)
    return kdf.derive(passphrase.reveal())


def _associated(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _sealed(key: bytes, header: Mapping[str, Any], secret: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    content = AESGCM(key).encrypt(nonce, secret, _associated(header))
    document = {**header, "nonce": nonce.hex(), "content": content.hex()}
    return json.dumps(document, indent=1).encode() + b"\n"


def _opened(key: bytes, header: Mapping[str, Any], nonce: bytes, content: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, content, _associated(header))
    except InvalidTag:
        msg = "the passphrase is wrong, or the file was changed"
        raise WrongPassphrase(msg, field="passphrase") from None


def _parsed(content: bytes, wanted_format: str) -> tuple[dict[str, Any], bytes, bytes]:
    """Return the authenticated header, the nonce and the ciphertext."""
    try:
        document = json.loads(content)
        found = document.pop("format")
        nonce, sealed = bytes.fromhex(document.pop("nonce")), bytes.fromhex(document.pop("content"))
        bytes.fromhex(document["salt"])
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        msg = "this is no key file"
        raise InvalidInput(msg, field="keys") from error
    if found != wanted_format:
        msg = f"the file's format is {str(found)[:60]!r}, and this version reads {wanted_format!r}"
        raise InvalidInput(msg, field="keys", hint="a newer version wrote it, or it is no key file")
    return {"format": found, **document}, nonce, sealed
