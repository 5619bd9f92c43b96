"""Who is logged in on the page: sessions behind a cookie, and the one-time codes that begin them.

In memory, by the hash of what the browser holds: no session outlives the daemon, and nothing here opens one.
"""

import hashlib
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from memmcp_server.domain.grants import Grant, Scope
from memmcp_server.errors import InvalidInput, TooManyCalls, Unauthorized
from memmcp_server.ports import Clock

Role = Literal["viewer", "operator"]
"""A viewer reads all that an agent may read, and changes nothing."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)
CODE_S: Final = 300.0
CODES_MAX: Final = 32
IDLE_S: Final = 12 * 3_600.0
AGE_S: Final = 7 * 86_400.0
SESSIONS_MAX: Final = 64
FAILURES_MAX: Final = 10
FAILURES_S: Final = 60.0
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Login:
    """``grant``: what it is bounded by, None for an operator's. ``is_steward``: whether it was begun with this
    machine's own secret, and not with the token that agents are given. Times by the monotonic clock, in seconds."""

    id: str
    role: Role
    name: str
    grant: Grant | None
    is_steward: bool
    ends_s: float
    idle_ends_s: float
    token: str = field(default="", repr=False)
    """What it was begun with, where that was a token: the session ends with it."""


@dataclass(slots=True)
class _Code:
    role: Role
    ends_s: float
    is_steward: bool


@dataclass
class Logins:
    """Bounded in number and in time; the oldest session makes room for a new one."""

    clock: Clock
    _sessions: OrderedDict[str, Login] = field(default_factory=OrderedDict)
    _codes: OrderedDict[str, _Code] = field(default_factory=OrderedDict)
    _failed_at_s: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES_MAX))

    def new_code(self, role: str, *, is_steward: bool = False) -> tuple[Role, str, float]:
        """Return the role, a code that begins one session of it, and for how many seconds it does.

        ``is_steward``: whether who asks is one; a code never makes more of somebody than its maker is.

        Raises: InvalidInput.
        """
        known = next((each for each in ROLES if each == role), None)
        if known is None:
            msg = f"role is {role[:40]!r}; allowed are {', '.join(ROLES)}"
            raise InvalidInput(msg, field="role")
        code = secrets.token_urlsafe(SECRET_BYTES)
        self._codes[_hashed(code)] = _Code(known, self.clock.monotonic_s() + CODE_S, is_steward)
        while len(self._codes) > CODES_MAX:
            self._codes.popitem(last=False)
        return known, code, CODE_S

    def redeem(self, code: str) -> tuple[Role, bool] | None:
        """Return the role that a one-time code is for and whether its maker was a steward; None where it is none, was
        used, or has expired."""
        found = self._codes.pop(_hashed(code), None)
        return None if found is None or found.ends_s <= self.clock.monotonic_s() else (found.role, found.is_steward)

    def begin(self, role: Role, name: str, *, is_steward: bool = False, token: str = "") -> str:
        """Begin a session and return the secret of its cookie."""
        secret, now_s = secrets.token_urlsafe(SECRET_BYTES), self.clock.monotonic_s()
        grant = None if role == "operator" else Grant(name, frozenset({Scope.MEMORY_READ}))
        key = _hashed(secret)
        self._sessions[key] = Login(key[:16], role, name, grant, is_steward, now_s + AGE_S, now_s + IDLE_S, token)
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return secret

    def find(self, secret: str) -> Login | None:
        """Return the session of a cookie, which is no longer idle then; None where there is none any more."""
        key, now_s = _hashed(secret), self.clock.monotonic_s()
        found = self._sessions.get(key)
        if found is None:
            return None
        if min(found.ends_s, found.idle_ends_s) <= now_s:
            del self._sessions[key]
            return None
        self._sessions[key] = found = replace(found, idle_ends_s=now_s + IDLE_S)
        return found

    def is_alive(self, login: Login) -> bool:
        """Say whether a session that was found has neither been ended nor grown too old since."""
        there = any(each.id == login.id for each in self._sessions.values())
        return there and login.ends_s > self.clock.monotonic_s()

    def end(self, secret: str) -> bool:
        return self._sessions.pop(_hashed(secret), None) is not None

    def end_all(self) -> int:
        """End every session and spoil every code; return how many sessions there were."""
        ended = len(self._sessions)
        self._sessions.clear()
        self._codes.clear()
        return ended

    def require_patience(self) -> None:
        """Raises: TooManyCalls where too many tries have failed lately."""
        if len(self._failed_at_s) < FAILURES_MAX:
            return
        wait_s = self._failed_at_s[0] + FAILURES_S - self.clock.monotonic_s()
        if wait_s > 0:
            msg = f"{FAILURES_MAX} tries to log in have failed within {FAILURES_S:.0f} s"
            raise TooManyCalls(msg, retry_after_s=wait_s, hint="the command line works meanwhile")

    def failed(self) -> Unauthorized:
        """Count a failed try; return what to raise."""
        self._failed_at_s.append(self.clock.monotonic_s())
        return Unauthorized(
            "this code or token is unknown, used or expired", field="secret", hint="make a code with: memmcp login"
        )


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
