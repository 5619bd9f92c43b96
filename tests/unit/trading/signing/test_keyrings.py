"""The root in a keyring, over a keyring that lives in memory."""

from pathlib import Path

import keyring.backends.fail
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from trading.errors import InvalidInput, SignerUnavailable
from trading.signing.keyrings import KeyringRoot
from trading.signing.keys import Root


class MemoryKeyring(KeyringBackend):
    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise KeyringLocked("secret hint")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.is_locked:
            raise KeyringLocked(password)
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


def test_a_root_comes_back_from_the_keyring(tmp_path: Path) -> None:
    backend = MemoryKeyring()
    root = Root(bytes(range(32)))
    KeyringRoot(tmp_path, backend).store(root)
    assert KeyringRoot(tmp_path, backend).unlock().derive("seal") == root.derive("seal")
    KeyringRoot(tmp_path, backend).forget()
    with pytest.raises(InvalidInput, match="holds nothing"):
        KeyringRoot(tmp_path, backend).unlock()


def test_a_keyring_that_protects_nothing_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(SignerUnavailable, match="does not protect"):
        KeyringRoot(tmp_path, keyring.backends.fail.Keyring()).store(Root(bytes(32)))


def test_a_locked_keyring_is_an_error_that_quotes_nothing(tmp_path: Path) -> None:
    backend = MemoryKeyring()
    backend.is_locked = True
    root = Root(bytes(range(32)))
    with pytest.raises(SignerUnavailable) as refused:
        KeyringRoot(tmp_path, backend).store(root)
    assert root.for_keyring() not in refused.value.message
    with pytest.raises(SignerUnavailable):
        KeyringRoot(tmp_path, backend).unlock()


@pytest.mark.parametrize("found", ["", "AAAA", "not base64!"])
def test_what_is_no_root_is_refused(tmp_path: Path, found: str) -> None:
    backend = MemoryKeyring()
    backend.kept["memmcp-signer", str(tmp_path)] = found
    with pytest.raises(InvalidInput):
        KeyringRoot(tmp_path, backend).unlock()
