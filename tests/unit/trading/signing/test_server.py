"""The signer over a real socket, in this process: frames, doors, errors."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.signer_parts import SetChain, WordCheck
from tests.support.signing import COLD, KEY, PASSPHRASE, WALLET, SetClock, buy, key_folder, mandate, mandate_toml

from trading.errors import InvalidInput, SignerUnavailable, SigningRefused
from trading.signing.client import SignerSocket, SocketSigner
from trading.signing.core import SignerCore, SignerParts
from trading.signing.frames import FRAME_BYTES_MAX, Connection, NotAllowed
from trading.signing.keys import WrongPassphrase
from trading.signing.remote import LateRemoteKey
from trading.signing.server import Doors, SignerServer, listening

pytestmark = pytest.mark.anyio
ME = os.geteuid()


class Served:
    def __init__(self, path: Path, server: SignerServer) -> None:
        self.server = server
        self.path = path / "signer.sock"
        self.mandate = path / "mandate.toml"
        self.socket = SignerSocket(self.path, ME)
        self.signer = SocketSigner(self.socket)

    async def arm(self) -> dict[str, Any]:
        text = mandate_toml(mandate())
        self.mandate.write_text(text)
        await self.socket.ask("unlock", {"passphrase": PASSPHRASE})
        wish = {"passphrase": PASSPHRASE, "text": text, "source": str(self.mandate)}
        found: dict[str, Any] = await self.socket.ask("arm", wish)
        return found


@asynccontextmanager
async def served(path: Path, doors: Doors | None = None) -> AsyncIterator[Served]:
    folder, _ = key_folder(path)
    clock = SetClock()
    core = SignerCore(SignerParts(folder, WordCheck(), lambda _endpoints: SetChain(), LateRemoteKey, clock))
    wanted = doors or Doors(frozenset({ME}), frozenset({ME}))
    try:
        server = SignerServer(core, wanted, clock)
        async with listening(path / "signer.sock", server, wanted):
            yield Served(path, server)
    finally:
        await core.aclose()


async def test_a_desk_gets_its_signature_over_the_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        assert (await here.arm())["armed"]["network"] == "rehearsal"
        assert await here.signer.wallets() == [WALLET]
        assert await here.signer.sign(buy()) == KEY.sign(buy().message)
        assert here.path.stat().st_mode & 0o777 == 0o600
        assert (await here.signer.disarm("enough"))["why_not"] == "disarmed"
    assert not here.path.exists()


async def test_a_refusal_comes_back_with_every_reason(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        with pytest.raises(SigningRefused) as locked:
            await here.signer.sign(buy())
        assert locked.value.reasons == ("locked",)
        await here.arm()
        with pytest.raises(SigningRefused) as refused:
            await here.signer.sign(buy(out_mint=COLD, message=b"steal"))
        assert refused.value.reasons == ("mint", "unparseable")
        with pytest.raises(WrongPassphrase):
            await here.socket.ask("unlock", {"passphrase": "wrong wrong wrong"})


async def test_a_desks_user_does_not_get_through_the_operators_door(tmp_path: Path) -> None:
    async with served(tmp_path, Doors(frozenset({ME}), frozenset({ME + 1}))) as here:
        assert (await here.signer.status())["is_unlocked"] is False
        for op in ("unlock", "arm", "lock", "passkey_begin", "passkey_waiting", "passkey_confirm", "passkey_remove"):
            with pytest.raises(NotAllowed):
                await here.socket.ask(op, {"passphrase": PASSPHRASE})


async def test_a_user_of_neither_door_gets_no_answer(tmp_path: Path) -> None:
    async with served(tmp_path, Doors(frozenset({ME + 1}), frozenset({ME + 2}))) as here:
        with pytest.raises(SignerUnavailable, match="gave no answer to user"):
            await here.signer.status()


async def test_a_socket_of_another_user_is_not_believed(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        with pytest.raises(SignerUnavailable, match="not the signer's user"):
            await SignerSocket(here.path, ME + 1).ask("unlock", {"passphrase": PASSPHRASE})
        assert (await here.signer.status())["is_unlocked"] is False


async def test_no_signer_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(SignerUnavailable) as refused:
        await SignerSocket(tmp_path / "none.sock", ME).ask("status")
    assert "signer run" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("op", "body", "told"),
    [
        ("nonsense", {}, "no such request"),
        (["arm"], {}, "no such request"),
        (None, {}, "no such request"),
        ("sign", {}, "intent_id"),
        ("sign", {"intent_id": "x" * 301}, "intent_id"),
        ("status", {"more": 1}, "more"),
        ("unlock", {"passphrase": 5}, "passphrase"),
        ("arm", {"passphrase": "secret!", "text": "x", "source": "relative"}, "source"),
        ("approval_refuse", {"id": "../../etc"}, "id"),
        ("disarm", [], "body"),
    ],
)
async def test_what_is_no_request_is_refused_without_repeating_it(
    tmp_path: Path, op: Any, body: Any, told: str
) -> None:
    async with served(tmp_path) as here:
        connection = Connection(*await asyncio.open_unix_connection(here.path))
        await connection.send({"op": op, "body": body})
        answer = await connection.receive()
        await connection.aclose()
    assert answer is not None
    assert answer["error"]["code"] == "invalid_input"
    assert told in answer["error"]["message"]
    assert "secret!" not in str(answer)


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xff",
        struct.pack(">I", FRAME_BYTES_MAX + 1) + b"{",
        struct.pack(">I", 3) + b"[1]",
        struct.pack(">I", 3) + b"{1}",
        struct.pack(">I", 40_000) + b"[" * 40_000,
        struct.pack(">I", 2) + b"\xff\xfe",
    ],
)
async def test_what_is_no_frame_ends_its_connection_and_no_other(tmp_path: Path, sent: bytes) -> None:
    async with served(tmp_path) as here:
        reader, writer = await asyncio.open_unix_connection(here.path)
        writer.write(sent)
        async with asyncio.timeout(5):
            assert b"error" in await reader.read()
        writer.close()
        _, writer = await asyncio.open_unix_connection(here.path)
        writer.write(struct.pack(">I", 100) + b"{")  # and goes away in the middle
        writer.close()
        assert (await here.signer.status())["is_unlocked"] is False


async def test_too_many_connections_are_told_so(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        held = [Connection(*await asyncio.open_unix_connection(here.path)) for _ in range(32)]
        for each in held:  # answered, so it was taken in
            await each.send({"op": "status"})
            await each.receive()
        with pytest.raises(SignerUnavailable, match="too many"):
            await here.signer.status()
        for each in held:
            await each.aclose()


async def test_a_second_signer_does_not_take_the_socket_over(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        with pytest.raises(SignerUnavailable, match="another signer"):
            async with listening(here.path, None, Doors(frozenset(), frozenset())):  # type: ignore[arg-type]
                raise NotImplementedError


async def test_a_folder_that_others_write_to_is_no_place_for_the_socket(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(InvalidInput, match="others"):
        async with listening(folder / "s.sock", None, Doors(frozenset(), frozenset())):  # type: ignore[arg-type]
            raise NotImplementedError


async def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("precious")
    with pytest.raises(InvalidInput, match="is no socket"):
        async with listening(tmp_path / "s.sock", None, Doors(frozenset(), frozenset())):  # type: ignore[arg-type]
            raise NotImplementedError
    assert (tmp_path / "s.sock").read_text() == "precious"
