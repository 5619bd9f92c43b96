"""An agent with a shell under the operator's user, which tries everything it can think of. Standard library only.

``shell_agent.py`` reads what it knows as JSON on standard input and writes what came of each try as JSON. A try returns
what it got hold of, "" for nothing; what it means is for the test to judge, from the signer's own record.
"""

import base64
import contextlib
import ctypes
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KNOWN: dict[str, Any] = json.load(sys.stdin)
SOCKET = KNOWN["socket"]
FOLDER = Path(KNOWN["folder"])
MANDATE = Path(KNOWN["mandate"])
PID = int(KNOWN["pid"])
GOOD: dict[str, Any] = KNOWN["good"]
TRIES: list[Callable[[], Any]] = []


def attempt(function: Callable[[], Any]) -> Callable[[], Any]:
    TRIES.append(function)
    return function


def ask(op: Any, body: Any = None) -> dict[str, Any]:
    text = json.dumps({"op": op, "body": {} if body is None else body}).encode()
    return sent(struct.pack(">I", len(text)) + text)


def sent(raw: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(10)
        wire.connect(SOCKET)
        wire.sendall(raw)
        head = wire.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return {}
        answer: dict[str, Any] = json.loads(wire.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))
        return answer


def sign(**changes: Any) -> dict[str, Any]:
    return ask("sign", {**GOOD, **changes})


def message(text: bytes) -> str:
    return base64.b64encode(text).decode()


def got(answer: dict[str, Any]) -> Any:
    return answer.get("result", "")


# -- the operator's door


@attempt
def arm_with_guessed_passphrases() -> Any:
    text = MANDATE.read_text().replace("order_lamports_max = 1", "order_lamports_max = 9")
    guesses = ("", "password", "correct horse", "hunter2hunter2", "memmcp-signer")
    return [got(ask("arm", {"passphrase": each, "text": text, "source": str(MANDATE)})) for each in guesses]


@attempt
def arm_without_a_passphrase() -> Any:
    return got(ask("arm", {"text": MANDATE.read_text(), "source": str(MANDATE)}))


@attempt
def arm_as_root_by_saying_so() -> Any:
    return got(ask("arm", {"passphrase": "x", "text": "x", "source": "/x", "uid": 0}))


@attempt
def unlock_with_a_guess() -> Any:
    return got(ask("unlock", {"passphrase": "password"}))


@attempt
def lock_the_signer() -> Any:
    return got(ask("lock"))


@attempt
def begin_a_passkey() -> Any:
    return got(ask("passkey_begin", {"passphrase": "password"}))


@attempt
def look_for_a_waiting_passkey() -> Any:
    return got(ask("passkey_waiting"))


@attempt
def confirm_a_passkey() -> Any:
    return got(ask("passkey_confirm", {"passphrase": "password", "fingerprint": "0000 0000 0000 0000"}))


@attempt
def remove_a_passkey() -> Any:
    return got(ask("passkey_remove", {"passphrase": "password", "fingerprint": "0000 0000 0000 0000"}))


@attempt
def spell_the_operators_requests_otherwise() -> Any:
    names = (" arm", "ARM", "arm\0", ["arm"], {"arm": 1}, None, "_arm", "__class__")
    return [got(ask(each, {"passphrase": "x", "text": "x", "source": "/x"})) for each in names]


# -- passkeys and approvals


@attempt
def guess_the_code_of_a_registration() -> Any:
    return [got(ask("passkey_options", {"code": f"AAAA-AAAA-AAA{each}"})) for each in range(2, 10)]


@attempt
def register_a_passkey_without_a_code() -> Any:
    return got(ask("passkey_register", {"code": "", "credential": {"id": "AAAA"}}))


def order(**changes: Any) -> dict[str, Any]:
    wish = {name: GOOD[name] for name in ("intent_id", "wallet", "in_mint", "out_mint", "amount_in", "min_out")}
    ends = time.time_ns() + 600_000_000_000
    return {**wish, "fee_lamports_max": GOOD["fee_lamports_max"], "expires_ns": ends, **changes}


@attempt
def approve_with_an_invented_credential() -> Any:
    asked = got(ask("approval_ask", order(intent_id="mine")))
    ask("approval_challenge", {"id": asked["id"]})
    data = base64.urlsafe_b64encode(json.dumps({"type": "webauthn.get", "challenge": "AA"}).encode()).decode()
    credential = {
        "id": "AAAA",
        "rawId": "AAAA",
        "type": "public-key",
        "response": {"clientDataJSON": data, "authenticatorData": "AAAA", "signature": "AAAA"},
    }
    return got(ask("approval_approve", {"id": asked["id"], "credential": credential}))


@attempt
def approve_without_a_challenge() -> Any:
    asked = got(ask("approval_ask", order(intent_id="mine too")))
    return got(ask("approval_approve", {"id": asked["id"], "credential": {}}))


@attempt
def say_that_an_order_is_approved() -> Any:
    return got(ask("approval_ask", {**order(intent_id="third"), "state": "approved"}))


@attempt
def have_an_order_above_every_limit_approved() -> Any:
    return got(ask("approval_ask", order(intent_id="large", amount_in=10**15)))


@attempt
def have_an_approval_that_lasts() -> Any:
    return got(ask("approval_ask", order(intent_id="long", expires_ns=2**62)))


@attempt
def replay_the_answer_to_another_order() -> Any:
    asked = got(ask("approval_ask", order(intent_id="replay")))
    ask("approval_challenge", {"id": asked["id"]})
    again = {"id": asked["id"], "credential": KNOWN["credential"]}
    return [got(ask("approval_approve", again)), got(ask("approval_approve", {**again, "id": KNOWN["approved"]}))]


@attempt
def use_an_approval_for_another_intent() -> Any:
    return got(sign(intent_id="not the approved one", **KNOWN["approved_figures"]))


@attempt
def use_an_approval_at_a_worse_price() -> Any:
    return got(sign(**{**KNOWN["approved_figures"], "intent_id": KNOWN["approved_intent"], "min_out": 1}))


@attempt
def fill_the_queue_of_approvals() -> Any:
    answers = [ask("approval_ask", order(intent_id=f"flood {each}")) for each in range(40)]
    return [] if any("error" in each for each in answers) else "endless"


# -- signatures


@attempt
def sign_a_larger_order() -> Any:
    return got(sign(intent_id="a", amount_in=GOOD["amount_in"] * 1_000))


@attempt
def sign_above_the_approval_threshold() -> Any:
    return got(sign(intent_id="b", amount_in=KNOWN["needs_approval"]))


@attempt
def sign_for_another_wallet() -> Any:
    return got(sign(intent_id="c", wallet=KNOWN["stranger"]))


@attempt
def sign_for_another_token() -> Any:
    return got(sign(intent_id="d", out_mint=KNOWN["stranger"]))


@attempt
def sign_a_plain_transfer() -> Any:
    return got(sign(intent_id="e", message_base64=KNOWN["transfer"]))


@attempt
def sign_a_transfer_called_an_exit() -> Any:
    wish = {"in_mint": GOOD["out_mint"], "out_mint": GOOD["in_mint"], "is_exit": True}
    return got(sign(intent_id="f", message_base64=KNOWN["transfer"], **wish))


@attempt
def sign_text() -> Any:
    return got(sign(intent_id="g", message_base64=message(b"I, the wallet, agree")))


@attempt
def sign_a_higher_fee() -> Any:
    return got(sign(intent_id="h", fee_lamports_max=10**12))


@attempt
def sign_with_a_negative_amount() -> Any:
    return got(sign(intent_id="i", amount_in=-1))


@attempt
def send_what_is_no_frame() -> Any:
    with contextlib.suppress(OSError):
        for raw in (b"\xff" * 64, struct.pack(">I", 2**31) + b"x", struct.pack(">I", 2) + b"{}"):
            if "result" in sent(raw):
                return "an answer"
    return ""


# -- files


@attempt
def read_the_keys() -> Any:
    found = []
    for path in (FOLDER, FOLDER / "keys", FOLDER / "root.json", FOLDER / "audit.jsonl", FOLDER / "head.json"):
        with contextlib.suppress(OSError):
            found.append([str(each) for each in path.iterdir()] if path.suffix == "" else path.read_text()[:20])
    return found


@attempt
def write_into_the_record() -> Any:
    with contextlib.suppress(OSError), (FOLDER / "audit.jsonl").open("a") as file:
        file.write("{}\n")
        return "written"
    return ""


@attempt
def roll_the_record_back() -> Any:
    with contextlib.suppress(OSError):
        os.truncate(FOLDER / "audit.jsonl", 0)
        return "cut"
    return ""


@attempt
def put_another_root_in_place() -> Any:
    mine = MANDATE.parent / "root.json"
    mine.write_text("{}")
    with contextlib.suppress(OSError):
        mine.replace(FOLDER / "root.json")
        return "replaced"
    return ""


@attempt
def swap_the_folder_for_a_link() -> Any:
    with contextlib.suppress(OSError):
        FOLDER.rename(FOLDER.with_name("away"))
        return "moved"
    return ""


@attempt
def link_a_key_to_a_place_of_mine() -> Any:
    with contextlib.suppress(OSError):
        os.link(FOLDER / "root.json", MANDATE.parent / "mine.json")
        return "linked"
    return ""


@attempt
def put_a_socket_of_mine_in_place() -> Any:
    with contextlib.suppress(OSError):
        Path(SOCKET).unlink()
        return "removed"
    return ""


# -- the process


@attempt
def trace_the_signer() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    return "attached" if libc.ptrace(16, PID, None, None) == 0 else ""


@attempt
def read_the_signers_memory() -> Any:
    found = []
    for name in ("mem", "environ", "maps", "fd/0", "stack"):
        with contextlib.suppress(OSError), Path(f"/proc/{PID}/{name}").open("rb") as file:
            found.append(file.read(16).hex())
    return [each for each in found if each]


@attempt
def make_the_signer_dump() -> Any:
    for number in (3, 6, 11):
        with contextlib.suppress(OSError):
            os.kill(PID, number)
            return "signalled"
    return ""


@attempt
def change_the_signers_limits() -> Any:
    import resource

    with contextlib.suppress(OSError, PermissionError):
        resource.prlimit(PID, resource.RLIMIT_CORE, (1, 1))  # type: ignore[attr-defined]
        return "changed"
    return ""


@attempt
def set_the_clock_back() -> Any:
    with contextlib.suppress(OSError):
        time.clock_settime(time.CLOCK_REALTIME, 1_000_000_000)
        return "set"
    return ""


@attempt
def become_the_signers_user() -> Any:
    for uid in (KNOWN["signer_uid"], 0):
        with contextlib.suppress(OSError):
            os.setuid(uid)
            return f"user {uid}"
    return ""


# -- the command line


def command(*words: str, text: str, more: dict[str, str] | None = None) -> str:
    if not KNOWN["command"]:
        return ""
    environment = {**os.environ, **(more or {})}
    done = subprocess.run(
        [*KNOWN["command"], *words, "--socket", SOCKET, "--signer-user", str(KNOWN["signer_uid"])],
        input=text,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""


@attempt
def pipe_a_passphrase_into_the_command_line() -> Any:
    return command("signer", "unlock", text=KNOWN["passphrase_of_another"] + "\n")


@attempt
def put_a_passphrase_into_the_environment() -> Any:
    names = ("MEMMCP_PASSPHRASE", "MEMMCP_SIGNER_PASSPHRASE", "TRADING_SIGNER__PASSPHRASE")
    more = dict.fromkeys(names, KNOWN["passphrase_of_another"])
    return command("signer", "unlock", text="", more=more)


@attempt
def give_a_passphrase_as_an_argument() -> Any:
    return command("signer", "unlock", "--passphrase", KNOWN["passphrase_of_another"], text="")


# -- what is no swap: to other addresses than the mandate's


def kept_up(**changes: Any) -> Any:
    return got(ask("sign", {**KNOWN["sweep"], **changes}))


@attempt
def sweep_to_an_address_of_mine() -> Any:
    return kept_up(intent_id="s1", message_base64=KNOWN["transfer"], to_address=KNOWN["stranger"])


@attempt
def sweep_to_an_address_of_mine_that_is_said_to_be_cold() -> Any:
    return kept_up(intent_id="s2", message_base64=KNOWN["transfer"])


@attempt
def sweep_more_than_a_day_allows() -> Any:
    return kept_up(intent_id="s3")


@attempt
def drain_the_wallet_as_a_closing_of_accounts() -> Any:
    wish = {"kind": "close_accounts", "to_address": "", "amount_in": 0, "accounts": [KNOWN["their_account"]]}
    return [
        kept_up(intent_id="s4", message_base64=KNOWN["transfer"], **wish),
        kept_up(intent_id="s5", message_base64=KNOWN["closing"], **wish),
    ]


# -- two messages of one intent, and the day's sum; then the mandate's file, which ends the arming


@attempt
def sign_two_messages_of_one_intent() -> Any:
    first = got(sign(intent_id="twice", message_base64=KNOWN["small"][0], **KNOWN["small_figures"]))
    second = got(sign(intent_id="twice", message_base64=KNOWN["small"][1], **KNOWN["small_figures"]))
    return second if first else "the first was not signed"


@attempt
def sign_two_messages_with_a_last_block_that_is_past() -> Any:
    lie = {**KNOWN["small_figures"], "last_valid_block_height": 1}
    first = got(sign(intent_id="liar", message_base64=KNOWN["small"][0], **lie))
    second = got(sign(intent_id="liar", message_base64=KNOWN["small"][1], **lie))
    return second if first else "the first was not signed"


@attempt
def spend_more_than_a_day_allows() -> Any:
    signed = 0
    for number in range(60):
        signed += bool(got(sign(intent_id=f"day {number}", message_base64=KNOWN["small"][0], **KNOWN["small_figures"])))
    spent = got(ask("status"))["day"]["spent_lamports"]
    return "" if signed and spent <= KNOWN["day_lamports_max"] else f"{signed} signed, {spent} spent"


@attempt
def raise_a_limit_in_the_mandates_file() -> Any:
    text = MANDATE.read_text()
    hashed = hashlib.sha256(text.encode()).hexdigest()
    raised = "\n".join(
        line.split("=")[0] + "= 900000000000" if line.startswith(("order_lam", "day_lam", "approval_above")) else line
        for line in text.splitlines()
    )
    MANDATE.write_text(raised)
    answer = got(sign(intent_id="raised", amount_in=KNOWN["needs_approval"]))
    MANDATE.write_text(text)
    assert hashed == hashlib.sha256(MANDATE.read_bytes()).hexdigest()
    return answer


@attempt
def put_the_old_file_back_and_go_on() -> Any:
    return got(sign(intent_id="after"))


@attempt
def put_a_link_to_another_mandate_in_place() -> Any:
    other = MANDATE.with_name("other.toml")
    other.write_text(MANDATE.read_text().replace("day_lamports_max = 1", "day_lamports_max = 9"))
    MANDATE.unlink()
    MANDATE.symlink_to(other)
    answer = got(sign(intent_id="linked"))
    return [answer, got(ask("status"))["armed"] or ""]


def main() -> None:
    results = {}
    for each in TRIES:
        try:
            results[each.__name__] = each()
        except (OSError, KeyError, TypeError, ValueError, subprocess.SubprocessError) as error:
            results[each.__name__] = {"raised": f"{type(error).__name__}: {error}"}
    json.dump(results, sys.stdout)


main()
