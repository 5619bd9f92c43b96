"""The signer itself, without the socket: locked until the operator unlocks it, then it signs what the mandate allows.

Order of effects: judge, write the entry down durably, then sign. A crash in between counts an amount that was never
signed, which is the safe side.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread

from trading.errors import InvalidInput, NotArmed, SignerUnavailable, SigningRefused, Unavailable, WrongChain
from trading.model.chain import SignWanted
from trading.model.mandate import Mandate

from .approvals import ApprovalDesk
from .audit import AuditLog
from .book import DAY_NS, Arming, Book, Signed
from .chain_view import ChainView
from .files import read_bounded
from .keys import KeyFolder, RemoteOpener, Root, SigningKey, WrongPassphrase
from .mandate import FILE_BYTES_MAX, parse_mandate, seal
from .passkeys import PasskeyDesk
from .policy import armed_problem, judge
from .secrets import Passphrase

NS_PER_S: Final = 1_000_000_000


class MessageCheck(Protocol):
    """Reads the message that is to be signed, whatever its asker says about it."""

    async def violations(self, wanted: SignWanted, mandate: Mandate, chain: ChainView) -> tuple[str, ...]:
        """Return everything about the message that is not the swap it is said to be. Raises: ChainUnavailable."""


@dataclass(frozen=True, slots=True)
class SignerLimits:
    """``signs_max`` messages within any ``signs_window_s``. After ``passphrase_tries_max`` wrong passphrases in a row
    none is tried for ``passphrase_pause_s``, twice as long each time, up to 64 times that."""

    signs_max: int = 120
    signs_window_s: int = 60
    passphrase_tries_max: int = 5
    passphrase_pause_s: int = 60
    refusals_noted_max: int = 60


@dataclass(frozen=True, slots=True)
class SignerParts:
    """What the signer is made of. ``chain`` makes a view from a mandate's endpoints."""

    folder: KeyFolder
    check: MessageCheck
    chain: Callable[[tuple[str, ...]], ChainView]
    remote: RemoteOpener
    now_ns: Callable[[], int]
    origins: tuple[str, ...] = ()
    limits: SignerLimits = SignerLimits()


@dataclass(slots=True)
class _Unlocked:
    root: Root
    keys: dict[str, SigningKey]
    book: Book
    approvals: ApprovalDesk
    seal_key: bytes


class SignerCore:
    """One folder of keys. Methods of a locked signer raise SigningRefused("locked") or NotArmed."""

    def __init__(self, parts: SignerParts) -> None:
        self._parts = parts
        self._log = AuditLog(parts.folder.folder, parts.now_ns)
        self._passkeys = PasskeyDesk(parts.origins)
        self._open: _Unlocked | None = None
        self._view: ChainView | None = None
        self._lock = anyio.Lock()
        self._signs: deque[int] = deque()
        self._refusals: deque[int] = deque()
        self._wrong_tries = 0
        self._closed_until_ns = 0
        self._disarmed_locked = False

    @property
    def is_unlocked(self) -> bool:
        return self._open is not None

    @property
    def passkeys(self) -> PasskeyDesk:
        return self._passkeys

    async def aclose(self) -> None:
        await self.lock()
        self._log.close()

    # -- the operator's part

    async def unlock(self, passphrase: Passphrase) -> None:
        """Raises: WrongPassphrase, InvalidInput (a file is not as it was), AuditAltered (the record is not)."""
        root = await self._proven(passphrase)
        await self.unlock_with(root)

    async def unlock_with(self, root: Root) -> None:
        """Unlock with a root that was proven already (by the passphrase, or the system's keyring)."""
        seal_key = root.derive("mandate seal")
        lines = self._log.unlock(root.derive("audit log"))
        try:
            keys = self._parts.folder.open_keys(root, self._parts.remote)
            book = Book.of(seal_key, lines)
        except BaseException:
            self._log.lock()
            raise
        await self._close_view()
        self._open = _Unlocked(root, keys, book, ApprovalDesk(book, self._log, self._passkeys), seal_key)
        self._disarmed_locked = False
        self._note("unlocked", {"wallets": sorted(keys)})

    async def lock(self) -> None:
        """Forget every key. Nothing is signed until the next unlock."""
        if self._open is None:
            return
        self._note("locked", {})
        self._open.root.wipe()
        self._open = None
        self._log.lock()
        self._passkeys.give_up()
        await self._close_view()

    async def arm(self, passphrase: Passphrase, text: bytes, source: Path, evidence: Sequence[str] = ()) -> Arming:
        """Arm a mandate, whose file is ``source`` and says ``text``; it ends by itself.

        Raises: WrongPassphrase; InvalidInput: the mandate is wrong, has no key here, or its file says otherwise;
        WrongChain: an endpoint is of another chain than the mandate; ChainUnavailable.
        """
        await self._proven(passphrase)
        state = self._unlocked()
        mandate = parse_mandate(text)
        now_ns = self._parts.now_ns()
        if now_ns >= mandate.expires_ns:
            msg = "expires: lies in the past"
            raise InvalidInput(msg, field="mandate")
        if now_ns < state.book.newest_ns:
            msg = "the clock stands before the newest line of the signer's record"
            raise InvalidInput(msg, field="clock", hint="set the clock right, then arm")
        self._require_keys(state, mandate)
        if read_bounded(source, FILE_BYTES_MAX) != text:
            msg = f"{source} does not say what is to be armed"
            raise InvalidInput(msg, field="mandate")
        await self._require_genesis(mandate)
        number = state.book.armings + 1
        ends_ns = min(mandate.expires_ns, now_ns + mandate.armed_s_max * NS_PER_S)
        self._note(
            "armed",
            {
                "number": number,
                "text": text.decode(),
                "source": str(source),
                "armed_ns": now_ns,
                "ends_ns": ends_ns,
                "sha256": mandate.sha256,
                "evidence": list(evidence),
                "seal": seal(state.seal_key, mandate, number, now_ns, ends_ns),
            },
        )
        await self._close_view()
        assert state.book.arming is not None
        return state.book.arming

    def disarm(self, why: str) -> None:
        """End the arming. Anybody may: it only makes the desk safer."""
        state = self._open
        if state is None:
            if not self._disarmed_locked:
                self._disarmed_locked = True
                self._note("disarmed", {"why": why[:200]})
        elif state.book.arming is not None and not state.book.is_disarmed:
            self._note("disarmed", {"why": why[:200]})

    async def begin_passkey(self, passphrase: Passphrase) -> str:
        """Return the one-time code of a registration, for the operator's terminal."""
        await self._proven(passphrase)
        self._unlocked()
        if not self._parts.origins:
            msg = "the signer was started without the page's origin"
            raise InvalidInput(msg, field="origin", hint="signer run --origin http://localhost:PORT")
        self._note("passkey_begun", {})
        return self._passkeys.begin(self._parts.now_ns())

    async def confirm_passkey(self, passphrase: Passphrase, fingerprint: str) -> None:
        """Pin the credential that waits. Raises: InvalidInput where none with this fingerprint does."""
        await self._proven(passphrase)
        self._unlocked()
        key = self._passkeys.confirm(fingerprint, self._parts.now_ns())
        self._note("passkey_added", {"passkey": asdict(key)})

    async def remove_passkey(self, passphrase: Passphrase, fingerprint: str) -> None:
        await self._proven(passphrase)
        state = self._unlocked()
        for key in list(state.book.passkeys.values()):
            if key.fingerprint == fingerprint:
                self._note("passkey_removed", {"id": key.id})
                return
        msg = "no passkey has this fingerprint"
        raise InvalidInput(msg, field="fingerprint")

    # -- the desk's part

    def wallets(self) -> list[str]:
        return sorted(self._unlocked().keys)

    def approvals(self) -> ApprovalDesk:
        return self._unlocked().approvals

    def book(self) -> Book:
        """Return what is remembered. Raises: SigningRefused while locked."""
        return self._unlocked().book

    def mandate(self) -> Mandate:
        """Return the armed mandate. Raises: NotArmed."""
        state = self._unlocked()
        problem = self._armed_problem(state)
        if problem or state.book.arming is None:
            msg = f"real money is not armed ({problem})"
            raise NotArmed(msg)
        return state.book.arming.mandate

    async def sign(self, wanted: SignWanted) -> bytes:
        """Return the 64 bytes of the signature.

        Raises: SigningRefused with every reason; SignerUnavailable: the chain cannot be seen, or the key is remote
        and does not answer. Then nothing was signed.
        """
        state = self._unlocked()
        self._require_rate()
        arming = state.book.arming
        if arming is None:
            raise self._refused(wanted, ("not_armed",))
        key = state.keys.get(wanted.wallet)
        if key is None:
            raise self._refused(wanted, ("wallet",))
        if key.genesis_hash != arming.mandate.genesis_hash:
            raise self._refused(wanted, ("key_of_another_chain",))
        view = self._chain(arming.mandate)
        try:
            heights = await view.heights()
            violations = await self._parts.check.violations(wanted, arming.mandate, view)
        except (Unavailable, WrongChain) as error:
            msg = f"the signer cannot see the chain: {error.message}"
            raise SignerUnavailable(msg) from error
        async with self._lock:
            if self._open is not state or state.book.arming is not arming:
                raise self._refused(wanted, ("mandate_changed",))
            self._armed_problem(state)
            verdict = judge(wanted, state.book, self._parts.now_ns(), self._file_problem(arming), heights)
            refusals = tuple(dict.fromkeys([*verdict.refusals, *violations]))
            if refusals:
                raise self._refused(wanted, refusals)
            if verdict.entry is not None:
                self._note("signed", entry_body(verdict.entry))
        return await key.signature(wanted.message)

    def status(self) -> dict[str, Any]:
        """Return what may be told to anybody who may ask: no key material, no passphrase."""
        state = self._open
        if state is None:
            return {"is_unlocked": False, "armed": None, "why_not": "locked", "wallets": [], "passkeys": []}
        now_ns = self._parts.now_ns()
        problem = self._armed_problem(state)
        spent, fees = state.book.spent_since(now_ns - DAY_NS)
        arming = state.book.arming
        return {
            "is_unlocked": True,
            "armed": None if arming is None or problem else _arming_body(arming),
            "why_not": problem,
            "wallets": [
                {"address": key.address, "genesis_hash": key.genesis_hash}
                for key in sorted(state.keys.values(), key=lambda each: each.address)
            ],
            "day": {
                "spent_lamports": spent,
                "fee_lamports": fees,
                "swept_lamports": state.book.swept_since(now_ns - DAY_NS),
            },
            "ramp_left": 0 if arming is None else max(0, arming.mandate.ramp_trades - state.book.buys_of_arming()),
            "passkeys": [
                {"fingerprint": each.fingerprint, "label": each.label} for each in state.book.passkeys.values()
            ],
            "origins": list(self._parts.origins),
        }

    # -- inside

    def _unlocked(self) -> _Unlocked:
        if self._open is None:
            msg = "the signer is locked"
            raise SigningRefused(msg, reasons=("locked",))
        return self._open

    async def _proven(self, passphrase: Passphrase) -> Root:
        """Return the root that the passphrase opens. A wrong one is written down, and many of them cost time."""
        limits, now_ns = self._parts.limits, self._parts.now_ns()
        if now_ns < self._closed_until_ns:
            msg = "too many wrong passphrases; wait"
            raise InvalidInput(msg, field="passphrase")
        try:
            root = await anyio.to_thread.run_sync(self._parts.folder.unlock, passphrase)
        except WrongPassphrase:
            self._wrong_tries += 1
            over = self._wrong_tries - limits.passphrase_tries_max
            if over >= 0:
                self._closed_until_ns = now_ns + limits.passphrase_pause_s * NS_PER_S * (1 << min(over, 6))
            self._note("passphrase_refused", {"in_a_row": self._wrong_tries})
            raise
        finally:
            passphrase.wipe()
        self._wrong_tries = 0
        return root

    def _note(self, kind: str, body: Mapping[str, Any]) -> None:
        line = self._log.append(kind, body)
        if self._open is not None:
            self._open.book.take(line)

    def _armed_problem(self, state: _Unlocked) -> str:
        """Return why buys are not armed. A changed file disarms for good: put back, it is still to be armed anew."""
        arming = state.book.arming
        file_problem = "" if arming is None or state.book.is_disarmed else self._file_problem(arming)
        problem = armed_problem(state.book, self._parts.now_ns(), file_problem)
        if problem == "mandate_changed":
            self._note("disarmed", {"why": f"mandate_changed: {file_problem}"})
        return problem

    def _file_problem(self, arming: Arming) -> str:
        try:
            same = read_bounded(Path(arming.source), FILE_BYTES_MAX) == arming.text.encode()
        except InvalidInput as error:
            return error.message
        return "" if same else f"{arming.source} does not say what was armed"

    def _require_rate(self) -> None:
        limits, now_ns = self._parts.limits, self._parts.now_ns()
        while self._signs and self._signs[0] <= now_ns - limits.signs_window_s * NS_PER_S:
            self._signs.popleft()
        if len(self._signs) >= limits.signs_max:
            msg = f"more than {limits.signs_max} messages in {limits.signs_window_s} s"
            raise SigningRefused(msg, reasons=("rate",))
        self._signs.append(now_ns)

    def _refused(self, wanted: SignWanted, reasons: tuple[str, ...]) -> SigningRefused:
        """Write the refusal down, as many as the limit allows in a window: nobody fills the disk by asking."""
        limits, now_ns = self._parts.limits, self._parts.now_ns()
        while self._refusals and self._refusals[0] <= now_ns - limits.signs_window_s * NS_PER_S:
            self._refusals.popleft()
        if len(self._refusals) < limits.refusals_noted_max:
            self._refusals.append(now_ns)
            asked = {"intent_id": wanted.intent_id, "wallet": wanted.wallet, "amount_in": wanted.amount_in}
            self._note("refused", {**asked, "reasons": list(reasons)})
        return SigningRefused(f"not signed: {', '.join(reasons)}", reasons=reasons)

    def _require_keys(self, state: _Unlocked, mandate: Mandate) -> None:
        problems = []
        for wallet in mandate.wallets:
            key = state.keys.get(wallet)
            if key is None:
                problems.append(f"{wallet}: the signer has no key of this wallet")
            elif key.genesis_hash != mandate.genesis_hash:
                problems.append(f"{wallet}: its key is for the chain {key.genesis_hash}")
        if problems:
            raise InvalidInput("; ".join(problems), field="wallets")

    async def _require_genesis(self, mandate: Mandate) -> None:
        view = self._parts.chain(mandate.endpoints)
        try:
            found = await view.genesis_hash()
        finally:
            await view.aclose()
        if found != mandate.genesis_hash:
            msg = f"the endpoints are of the chain {found}, the mandate is for {mandate.genesis_hash}"
            raise WrongChain(msg)

    def _chain(self, mandate: Mandate) -> ChainView:
        if self._view is None:
            self._view = self._parts.chain(mandate.endpoints)
        return self._view

    async def _close_view(self) -> None:
        view, self._view = self._view, None
        if view is not None:
            await view.aclose()


def entry_body(entry: Signed) -> dict[str, Any]:
    """Return what the record says about a message that is signed."""
    body = asdict(entry)
    del body["ts_ns"]
    return {**body, "side": entry.side.value if entry.side else "", "kind": entry.kind.value}


def _arming_body(arming: Arming) -> dict[str, Any]:
    mandate = arming.mandate
    return {
        "number": arming.number,
        "armed_ns": arming.armed_ns,
        "ends_ns": arming.ends_ns,
        "sha256": mandate.sha256,
        "source": arming.source,
        "network": mandate.network.value,
        "name": mandate.name,
        "order_lamports_max": mandate.order_lamports_max,
        "day_lamports_max": mandate.day_lamports_max,
        "fee_lamports_max": mandate.fee_lamports_max,
        "fee_day_lamports_max": mandate.fee_day_lamports_max,
        "ramp_lamports_max": mandate.ramp_lamports_max,
        "approval_above_lamports": mandate.approval_above_lamports,
        "cold_address": mandate.cold_address,
        "sweep_day_lamports_max": mandate.sweep_day_lamports_max,
        "mints": list(mandate.mints),
        "wallets": list(mandate.wallets),
    }
