"""The encrypted folder of keys: what opens it, and everything that does not."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.signing import KEY, PASSPHRASE, REHEARSAL_GENESIS, WALLET, key_folder

from trading.errors import InvalidInput
from trading.model.mandate import MAINNET_GENESIS
from trading.signing.keys import KeyFolder, LocalKey, Root, WrongPassphrase
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file to another user")


def rewrite(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **changes}))


def wallet_file(folder: KeyFolder) -> Path:
    return folder.folder / "keys" / f"{WALLET}.json"


def open_all(folder: KeyFolder) -> dict[str, Any]:
    return dict(folder.open_keys(folder.unlock(Passphrase(PASSPHRASE)), LateRemoteKey))


def test_the_passphrase_opens_what_it_closed(tmp_path: Path) -> None:
    folder, _ = key_folder(tmp_path)
    keys = open_all(KeyFolder(folder.folder))
    assert list(keys) == [WALLET]
    assert isinstance(keys[WALLET], LocalKey)
    assert keys[WALLET].genesis_hash == REHEARSAL_GENESIS
    assert keys[WALLET].secret.seed_for_storage() == KEY.seed_for_storage()


def test_another_passphrase_opens_nothing(tmp_path: Path) -> None:
    folder, _ = key_folder(tmp_path)
    with pytest.raises(WrongPassphrase):
        folder.unlock(Passphrase(PASSPHRASE + "."))


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="shorter"):
        KeyFolder(tmp_path / "signer", log2_n=10).create(Passphrase("hunter2"))
    assert not (tmp_path / "signer").exists()


def test_no_file_holds_the_seed_and_all_are_private(tmp_path: Path) -> None:
    folder, _ = key_folder(tmp_path)
    files = [path for path in folder.folder.rglob("*") if path.is_file()]
    assert len(files) == 2
    for path in files:
        content = path.read_bytes()
        assert KEY.seed_for_storage() not in content
        assert KEY.seed_for_storage().hex().encode() not in content
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o700 | 0o040])
def test_a_key_that_others_may_touch_is_not_opened(tmp_path: Path, mode: int) -> None:
    folder, root = key_folder(tmp_path)
    wallet_file(folder).chmod(mode)
    with pytest.raises(InvalidInput, match="others"):
        folder.open_keys(root, LateRemoteKey)


@pytest.mark.parametrize("name", ["root.json", f"keys/{WALLET}.json"])
def test_a_symbolic_link_is_not_followed(tmp_path: Path, name: str) -> None:
    folder, _ = key_folder(tmp_path)
    moved = tmp_path / "elsewhere.json"
    (folder.folder / name).rename(moved)
    (folder.folder / name).symlink_to(moved)
    with pytest.raises(InvalidInput, match="cannot be opened") as refused:
        open_all(folder)
    assert refused.value.hint == "a symbolic link is not followed"


def test_a_second_name_of_a_key_file_is_refused(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    (tmp_path / "copy.json").hardlink_to(wallet_file(folder))
    with pytest.raises(InvalidInput, match="second name"):
        folder.open_keys(root, LateRemoteKey)


def test_a_pipe_in_the_place_of_a_key_holds_nobody_up(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    wallet_file(folder).unlink()
    os.mkfifo(wallet_file(folder), 0o600)
    with pytest.raises(InvalidInput, match="no plain file"):
        folder.open_keys(root, LateRemoteKey)


@ROOT_ONLY
def test_the_file_of_another_user_is_refused(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    os.chown(wallet_file(folder), 12345, 12345)
    with pytest.raises(InvalidInput, match="belongs to user 12345"):
        folder.open_keys(root, LateRemoteKey)


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    folder.folder.chmod(0o770)
    with pytest.raises(InvalidInput, match="nobody else"):
        folder.open_keys(root, LateRemoteKey)


def test_a_rehearsal_key_cannot_be_renamed_to_a_live_one(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    rewrite(wallet_file(folder), genesis_hash=MAINNET_GENESIS)
    with pytest.raises(WrongPassphrase, match="changed"):
        folder.open_keys(root, LateRemoteKey)


@pytest.mark.parametrize(
    "change", [{"kind": "remote"}, {"content": "00" * 48}, {"nonce": "00" * 12}, {"salt": "00" * 16}, {"more": 1}]
)
def test_a_changed_key_file_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder, root = key_folder(tmp_path)
    rewrite(wallet_file(folder), **change)
    with pytest.raises(WrongPassphrase):
        folder.open_keys(root, LateRemoteKey)


def test_the_file_of_one_wallet_is_not_taken_for_another(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    wallet_file(folder).rename(folder.folder / "keys" / "11111111111111111111111111111111.json")
    with pytest.raises(InvalidInput, match="another wallet"):
        folder.open_keys(root, LateRemoteKey)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": "memmcp wallet key 2", "salt": ""}'])
def test_what_is_no_key_file_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    folder, root = key_folder(tmp_path)
    wallet_file(folder).write_text(text)
    with pytest.raises(InvalidInput, match="no key file"):
        folder.open_keys(root, LateRemoteKey)


def test_the_format_of_a_newer_version_is_named(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    rewrite(wallet_file(folder), format="memmcp wallet key 2")
    with pytest.raises(InvalidInput, match="wallet key 2"):
        folder.open_keys(root, LateRemoteKey)


@pytest.mark.parametrize("change", [{"log2_n": 9}, {"log2_n": 40}, {"r": 1}, {"p": 99}, {"log2_n": "17"}])
def test_a_key_derivation_of_other_cost_is_not_done(tmp_path: Path, change: dict[str, Any]) -> None:
    folder, _ = key_folder(tmp_path)
    rewrite(folder.folder / "root.json", **change)
    with pytest.raises(InvalidInput, match="key derivation"):
        folder.unlock(Passphrase(PASSPHRASE))


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    before = wallet_file(folder).read_bytes()
    with pytest.raises(InvalidInput, match="there already"):
        folder.add_seed(root, KEY)
    with pytest.raises(InvalidInput, match="there already"):
        folder.create(Passphrase(PASSPHRASE))
    assert wallet_file(folder).read_bytes() == before
    assert [path.name for path in folder.folder.rglob(".*")] == []


def test_a_root_derives_different_keys_for_different_purposes_and_none_when_wiped() -> None:
    root = Root(bytes(32))
    assert len({root.derive("seal"), root.derive("audit"), root.derive("seal", b"salt")}) == 3
    root.wipe()
    with pytest.raises(InvalidInput, match="locked"):
        root.derive("seal")


def test_a_remote_signers_token_lies_encrypted_and_comes_back(tmp_path: Path) -> None:
    folder, root = key_folder(tmp_path)
    address = "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"
    wish = {"backend": "vault", "api_base_url": "https://vault.example", "token": "hvs.secret", "key_name": "desk"}
    folder.add_remote(root, address, REHEARSAL_GENESIS, wish)
    assert b"hvs.secret" not in (folder.folder / "keys" / f"{address}.json").read_bytes()
    key = folder.open_keys(root, LateRemoteKey)[address]
    assert (key.address, key.genesis_hash) == (address, REHEARSAL_GENESIS)
    assert "hvs.secret" not in repr(key)
