"""Keys that never come here: remote signers behind the interface of ``solana-keychain``."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, Final

import anyio
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from solana_keychain import SignerError, SolanaSigner, create_keychain_signer
from solders.pubkey import Pubkey

from trading.errors import InvalidInput, SignerUnavailable

TIMEOUT_S: Final = 10.0
BACKENDS: Final[Mapping[str, tuple[str, str]]] = {
    "vault": ("solana_keychain.vault", "VaultSignerConfig"),
    "turnkey": ("solana_keychain.turnkey", "TurnkeySignerConfig"),
    "privy": ("solana_keychain.privy", "PrivySignerConfig"),
}
"""Those that sign bytes as given: one that rewrites or sends a transaction itself would undo what was checked."""


class RemoteKey:
    """One wallet's key behind a remote signer. What comes back is believed only as far as it verifies."""

    def __init__(self, address: str, genesis_hash: str, signer: SolanaSigner, timeout_s: float = TIMEOUT_S) -> None:
        self.address: Final = address
        self.genesis_hash: Final = genesis_hash
        self._signer = signer
        self._timeout_s = timeout_s
        self._public = Ed25519PublicKey.from_public_bytes(bytes(Pubkey.from_string(address)))

    async def signature(self, message: bytes) -> bytes:
        """Raises: SignerUnavailable: no answer in time, a refusal, or a signature that is not of this message."""
        try:
            with anyio.fail_after(self._timeout_s):
                signed = bytes(await self._signer.sign_message(message))
            self._public.verify(signed, message)
        except TimeoutError as error:
            msg = f"the remote signer of {self.address} gave no answer in {self._timeout_s:g} s"
            raise SignerUnavailable(msg) from error
        except SignerError as error:
            msg = f"the remote signer of {self.address} refused: {error.code.value}"
            raise SignerUnavailable(msg) from error
        except InvalidSignature as error:
            msg = f"the remote signer of {self.address} gave a signature that is not of this message and wallet"
            raise SignerUnavailable(msg) from error
        return signed

    def __repr__(self) -> str:
        return f"RemoteKey({self.address})"


class LateRemoteKey:
    """A remote key that connects when it is first asked to sign, so that an unreachable one keeps nobody waiting."""

    def __init__(self, address: str, genesis_hash: str, configuration: Mapping[str, Any]) -> None:
        self.address: Final = address
        self.genesis_hash: Final = genesis_hash
        self._backend, self._config = _configured(address, configuration)
        self._key: RemoteKey | None = None

    async def signature(self, message: bytes) -> bytes:
        if self._key is None:
            try:
                with anyio.fail_after(TIMEOUT_S):
                    signer = await create_keychain_signer(self._backend, self._config)
            except (SignerError, TimeoutError) as error:
                msg = f"the remote signer of {self.address} cannot be reached ({type(error).__name__})"
                raise SignerUnavailable(msg) from error
            if str(signer.pubkey) != self.address:
                msg = f"the remote signer holds {signer.pubkey}, not {self.address}"
                raise SignerUnavailable(msg)
            self._key = RemoteKey(self.address, self.genesis_hash, signer)
        return await self._key.signature(message)

    def __repr__(self) -> str:
        return f"LateRemoteKey({self.address})"


def _configured(address: str, configuration: Mapping[str, Any]) -> tuple[str, Any]:
    given = dict(configuration)
    backend = given.pop("backend", None)
    if backend not in BACKENDS:
        msg = f"backend: {str(backend)[:40]!r} is not one of {', '.join(sorted(BACKENDS))}"
        raise InvalidInput(msg, field="backend")
    module, name = BACKENDS[backend]
    kind = getattr(importlib.import_module(module), name)
    fields = {field.name for field in dataclasses.fields(kind)} - {"http_client"}
    if unknown := sorted(set(given) - fields):
        msg = f"{', '.join(unknown)}: unknown to {backend}; it takes {', '.join(sorted(fields))}"
        raise InvalidInput(msg, field="backend")
    if "public_key" in fields:
        given["public_key"] = address
    try:
        return backend, kind(**given)
    except TypeError as error:
        missing = sorted(fields - set(given))
        msg = f"{backend} needs more: {', '.join(missing)}"
        raise InvalidInput(msg, field="backend") from error
