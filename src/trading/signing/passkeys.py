"""Passkeys: which credentials the operator gave, and whether an answer to a challenge is one of theirs.

Registering needs a one-time code that the signer shows on the operator's terminal, and a second look there: a new
credential counts only once the operator has compared its fingerprint. The relying party is ``localhost``; the origin
is the exact one of the page, so that a page of another program on this machine gets no answer that counts.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from trading.errors import InvalidInput

from .book import Passkey

RP_ID: Final = "localhost"
CODE_CHARACTERS: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LEN: Final = 12
CODE_TRIES_MAX: Final = 5
CODE_LIFE_NS: Final = 10 * 60 * 1_000_000_000
PASSKEYS_MAX: Final = 8
_USER_ID: Final = b"memmcp operator"


@dataclass(slots=True)
class _Registration:
    code_sha256: str
    ends_ns: int
    tries: int = 0
    challenge: bytes = b""
    waiting: Passkey | None = None


class PasskeyDesk:
    """One registration at a time, in memory only: a restart ends it. ``origins`` are exact, with scheme and port."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = list(origins)
        self._open: _Registration | None = None

    def begin(self, now_ns: int) -> str:
        """Return a new one-time code, for the operator's terminal; an older one is good for nothing any more."""
        code = "".join(secrets.choice(CODE_CHARACTERS) for _ in range(CODE_LEN))
        self._open = _Registration(_code_hash(code), now_ns + CODE_LIFE_NS)
        return "-".join(code[place : place + 4] for place in range(0, CODE_LEN, 4))

    def options(self, code: str, known: Sequence[Passkey], now_ns: int) -> dict[str, Any]:
        """Return what ``navigator.credentials.create`` takes. Raises: InvalidInput for a code that is not the one."""
        found = self._with_code(code, now_ns)
        found.challenge = secrets.token_bytes(32)
        made = generate_registration_options(
            rp_id=RP_ID,
            rp_name="memMCP signer",
            user_id=_USER_ID,
            user_name="operator",
            challenge=found.challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=base64url_to_bytes(each.id)) for each in known],
        )
        options: dict[str, Any] = json.loads(options_to_json(made))
        return options

    def register(self, code: str, credential: Mapping[str, Any], label: str, now_ns: int) -> Passkey:
        """Return the credential, which waits for the operator. Raises: InvalidInput: the code, or the answer."""
        found = self._with_code(code, now_ns)
        challenge, found.challenge = found.challenge, b""
        if not challenge:
            msg = "ask for the options of this registration first; each of them is good once"
            raise InvalidInput(msg, field="credential")
        try:
            seen = verify_registration_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=RP_ID,
                expected_origin=self._origins,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as error:
            msg = f"this is no answer to that registration: {type(error).__name__}"
            raise InvalidInput(msg, field="credential") from error
        public = seen.credential_public_key
        found.waiting = Passkey(
            id=bytes_to_base64url(seen.credential_id),
            public_key=bytes_to_base64url(public),
            fingerprint=fingerprint_of(public),
            label=label[:64],
            sign_count=seen.sign_count,
            added_ns=now_ns,
        )
        return found.waiting

    def waiting(self, now_ns: int) -> Passkey | None:
        """Return the credential that the operator has to compare, None while there is none."""
        return self._open.waiting if self._open and now_ns < self._open.ends_ns else None

    def confirm(self, fingerprint: str, now_ns: int) -> Passkey:
        """Return the credential to pin, and end the registration. Raises: InvalidInput."""
        waiting = self.waiting(now_ns)
        if waiting is None or not hmac.compare_digest(waiting.fingerprint, fingerprint):
            msg = "no credential with this fingerprint waits to be confirmed"
            raise InvalidInput(msg, field="fingerprint")
        self._open = None
        return waiting

    def give_up(self) -> None:
        self._open = None

    def check(self, credential: Mapping[str, Any], challenge: bytes, known: Mapping[str, Passkey]) -> tuple[str, int]:
        """Return (credential id, its new count) of an answer that is good. Raises: InvalidInput."""
        key = known.get(str(credential.get("id", "")))
        if key is None:
            msg = "this passkey is not one that the operator gave to the signer"
            raise InvalidInput(msg, field="credential")
        try:
            seen = verify_authentication_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=RP_ID,
                expected_origin=self._origins,
                credential_public_key=base64url_to_bytes(key.public_key),
                credential_current_sign_count=key.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as error:
            msg = f"this is no answer of that passkey to this challenge: {type(error).__name__}"
            raise InvalidInput(msg, field="credential") from error
        return key.id, seen.new_sign_count

    def _with_code(self, code: str, now_ns: int) -> _Registration:
        found = self._open
        if found is None or now_ns >= found.ends_ns or found.tries >= CODE_TRIES_MAX:
            self._open = None
            msg = "no registration is open; the operator begins one with `memmcp-trade signer passkey add`"
            raise InvalidInput(msg, field="code")
        if found.waiting is not None:
            msg = "a credential waits for the operator's word on the terminal already"
            raise InvalidInput(msg, field="code")
        if not hmac.compare_digest(_code_hash(code), found.code_sha256):
            found.tries += 1
            msg = "the code is wrong"
            raise InvalidInput(msg, field="code")
        return found


def challenge_options(challenge: bytes, known: Sequence[Passkey]) -> dict[str, Any]:
    """Return what ``navigator.credentials.get`` takes."""
    made = generate_authentication_options(
        rp_id=RP_ID,
        challenge=challenge,
        allow_credentials=[PublicKeyCredentialDescriptor(id=base64url_to_bytes(each.id)) for each in known],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    options: dict[str, Any] = json.loads(options_to_json(made))
    return options


def fingerprint_of(public_key: bytes) -> str:
    """Return 16 characters in groups of four, for a person to compare."""
    digits = hashlib.sha256(b"memmcp passkey 1\0" + public_key).hexdigest()[:16]
    return " ".join(digits[place : place + 4] for place in range(0, 16, 4))


def _code_hash(code: str) -> str:
    plain = code.strip().upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(plain.encode()).hexdigest()
