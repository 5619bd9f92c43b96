"""Named tokens in ``tokens.json`` of the data directory: private, by their hashes alone.

A token is 256 random bits, so a plain SHA-256 of it cannot be guessed back. The file is written whole and moved into
place; a daemon notices the next one by itself.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from memmcp_server.domain.grants import NAME_PATTERN, Grant, parse_scopes
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.errors import DataDirectoryError, InvalidInput, NotFound

FILE_NAME: Final = "tokens.json"
PREFIX: Final = "mmt_"
FORMAT: Final = 1
TOKENS_MAX: Final = 256
FILE_BYTES_MAX: Final = 1_048_576
DAY_S: Final = 86_400
GRACE_S_MAX: Final = 7 * DAY_S
_NAME: Final = re.compile(NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class NamedToken:
    """``expires_ns`` 0: never. ``before_sha256``: the one before the last rotation, good until ``before_until_ns``."""

    name: str
    scopes: tuple[str, ...]
    sha256: str
    created_ns: int
    agent: str = ""
    expires_ns: int = 0
    before_sha256: str = ""
    before_until_ns: int = 0

    def is_expired(self, now_ns: int) -> bool:
        return bool(self.expires_ns) and now_ns >= self.expires_ns

    @property
    def grant(self) -> Grant:
        return Grant(self.name, parse_scopes(self.scopes), self.agent)


class TokenFile:
    """Raises everywhere: DataDirectoryError where the file cannot be used."""

    def __init__(self, data_dir: Path, now_ns: Callable[[], int]) -> None:
        self._path = data_dir / FILE_NAME
        self._now_ns = now_ns
        self._seen: tuple[int, int, int] | None = None
        self._tokens: list[NamedToken] = []

    @property
    def has_any(self) -> bool:
        return bool(self.listed())

    def listed(self) -> Sequence[NamedToken]:
        """Return every token's description, by name."""
        self._refresh()
        return self._tokens

    def find(self, token: str) -> Grant | None:
        """Return what a token allows, None for one that is unknown, replaced or expired."""
        self._refresh()
        given, now_ns, found = _hash(token), self._now_ns(), None
        for each in self._tokens:  # all of them: the time taken tells nothing of which
            is_this = hmac.compare_digest(each.sha256, given)
            is_before = hmac.compare_digest(each.before_sha256 or "0" * 64, given) and now_ns < each.before_until_ns
            if (is_this or is_before) and not each.is_expired(now_ns):
                found = each
        return None if found is None else found.grant

    def add(self, name: str, scopes: Sequence[str], agent: str = "", days: int = 0) -> str:
        """Make a token and return it; it is shown this once. Raises: InvalidInput."""
        if not _NAME.match(name):
            msg = f"name: {name[:80]!r} must match {NAME_PATTERN}"
            raise InvalidInput(msg, field="name")
        parse_scopes(scopes)
        if not 0 <= days <= 3_650:
            msg = f"days is {days}; allowed: 0 (for ever) to 3650"
            raise InvalidInput(msg, field="days")
        token = PREFIX + secrets.token_urlsafe(32)
        now_ns = self._now_ns()
        with self._changing() as tokens:
            if any(each.name == name for each in tokens):
                msg = f"name: there is a token {name} already"
                raise InvalidInput(msg, field="name", hint="memmcp token rotate replaces it, remove takes it away")
            if len(tokens) >= TOKENS_MAX:
                msg = f"there are {len(tokens)} tokens; at most {TOKENS_MAX} are allowed"
                raise InvalidInput(msg, field="name")
            expires_ns = now_ns + days * DAY_S * NS_PER_S if days else 0
            tokens.append(NamedToken(name, tuple(sorted(set(scopes))), _hash(token), now_ns, agent, expires_ns))
        return token

    def rotate(self, name: str, grace_s: int) -> str:
        """Replace a token, return the new one; the old one works ``grace_s`` more. Raises: InvalidInput, NotFound."""
        if not 0 <= grace_s <= GRACE_S_MAX:
            msg = f"grace_s is {grace_s}; allowed: 0 to {GRACE_S_MAX}"
            raise InvalidInput(msg, field="grace_s")
        token = PREFIX + secrets.token_urlsafe(32)
        with self._changing() as tokens:
            at = _place(tokens, name)
            until_ns = self._now_ns() + grace_s * NS_PER_S
            before = tokens[at].sha256
            tokens[at] = replace(tokens[at], sha256=_hash(token), before_sha256=before, before_until_ns=until_ns)
        return token

    def remove(self, name: str) -> None:
        """Take a token away; it opens nothing from now on. Raises: NotFound."""
        with self._changing() as tokens:
            del tokens[_place(tokens, name)]

    @contextmanager
    def _changing(self) -> Iterator[list[NamedToken]]:
        """Hold the file's lock, and write what the block made of its tokens."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._path.with_name(f"{FILE_NAME}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        try:
            _lock(lock)
            self._refresh()
            tokens = list(self._tokens)
            yield tokens
            self._write(sorted(tokens, key=lambda each: each.name))
        finally:
            os.close(lock)

    def _write(self, tokens: Sequence[NamedToken]) -> None:
        document = {"format": FORMAT, "tokens": [asdict(each) for each in tokens]}
        draft = self._path.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._unusable(error.strerror or str(error)) from error
        self._seen = None

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            self._seen, self._tokens = None, []
            return
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        if seen == self._seen:
            return
        if state.st_mode & 0o077:
            raise self._unusable("others on this machine can read it: chmod 600")
        if state.st_size > FILE_BYTES_MAX:
            raise self._unusable(f"it is larger than {FILE_BYTES_MAX} bytes")
        try:
            document = json.loads(self._path.read_bytes())
            if document["format"] != FORMAT:
                raise ValueError("a newer version wrote it")
            self._tokens = [_token_of(each) for each in document["tokens"]]
        except (OSError, ValueError, KeyError, TypeError, InvalidInput) as error:
            raise self._unusable(f"it cannot be read ({error})"[:200]) from error
        self._seen = seen

    def _unusable(self, why: str) -> DataDirectoryError:
        msg = f"{self._path}: {why}"
        return DataDirectoryError(msg, field="tokens.json", hint="mend it, or remove it and make the tokens anew")


def _token_of(held: dict[str, Any]) -> NamedToken:
    token = NamedToken(**{**held, "scopes": tuple(held["scopes"])})
    parse_scopes(token.scopes)
    return token


def _place(tokens: Sequence[NamedToken], name: str) -> int:
    for at, each in enumerate(tokens):
        if each.name == name:
            return at
    names = ", ".join(each.name for each in tokens) or "none"
    msg = f"there is no token {name[:64]}; there are: {names}"
    raise NotFound(msg, field="name")


def _lock(handle: int) -> None:
    """Wait for the file's lock; closing the file gives it up. On Windows the last of two that write at once wins."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
