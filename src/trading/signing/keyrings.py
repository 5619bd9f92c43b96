"""The signer's root in the system's keyring: unlocked by the login of its user instead of a passphrase."""

import base64
import binascii
from pathlib import Path
from typing import Final

import keyring
import keyring.errors
from keyring.backend import KeyringBackend

from trading.errors import InvalidInput, SignerUnavailable

from .keys import Root

SERVICE: Final = "memmcp-signer"
_PRIORITY_MIN: Final = 1
"""Below 1 a backend calls itself not recommended: nothing is there, or it stores plain text."""


class KeyringRoot:
    """Raises everywhere: SignerUnavailable where the system has no keyring that may hold a key."""

    def __init__(self, folder: Path, backend: KeyringBackend | None = None) -> None:
        self._name = str(folder.absolute())
        self._backend = backend or keyring.get_keyring()

    def store(self, root: Root) -> None:
        self._require_safe()
        try:
            self._backend.set_password(SERVICE, self._name, root.for_keyring())
        except keyring.errors.KeyringError as error:
            raise _unavailable(error) from error

    def unlock(self) -> Root:
        """Raises: InvalidInput where nothing was stored, or something that is no root."""
        self._require_safe()
        try:
            found = self._backend.get_password(SERVICE, self._name)
        except keyring.errors.KeyringError as error:
            raise _unavailable(error) from error
        if found is None:
            msg = f"the keyring holds nothing for {self._name}"
            raise InvalidInput(msg, field="keyring", hint="`memmcp-trade signer keyring` stores it")
        try:
            return Root(base64.b64decode(found, validate=True))
        except binascii.Error:
            msg = "what the keyring holds is no root of a signer"
            raise InvalidInput(msg, field="keyring") from None

    def forget(self) -> None:
        try:
            self._backend.delete_password(SERVICE, self._name)
        except keyring.errors.KeyringError as error:
            raise _unavailable(error) from error

    def _require_safe(self) -> None:
        kind = type(self._backend)
        if float(self._backend.priority) < _PRIORITY_MIN or "Plain" in kind.__name__:
            msg = (
                f"the system has no keyring for this: {kind.__module__}.{kind.__name__} does not protect what it holds"
            )
            raise SignerUnavailable(msg, hint="unlock with the passphrase")


def _unavailable(error: keyring.errors.KeyringError) -> SignerUnavailable:
    # The error's own text may quote what was being stored.
    return SignerUnavailable(f"the keyring refused: {type(error).__name__}")
