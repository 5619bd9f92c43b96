"""After the virtual machine ran, the rest of the process computes with fractions as before."""

import platform
import sqlite3
from contextlib import closing

import pytest
from solders.message import MessageV0
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from tests.support.signing import KEY
from tests.support.swap_messages import Market

from trading.rehearsal import registers

pytestmark = pytest.mark.requirement("T10")


def read_by_sqlite(text: str) -> object:
    with closing(sqlite3.connect(":memory:")) as db:
        return db.execute(f"SELECT {text}").fetchone()[0]


def swap() -> None:
    market = Market()
    message = market.message()
    signature = Signature.from_bytes(KEY.sign(message))
    market.cluster.submit(bytes(VersionedTransaction.populate(MessageV0.from_bytes(message[1:]), [signature])))
    market.cluster.tick()
    assert market.cluster.executed[str(signature)].error is None


def test_a_fraction_is_read_as_it_is_after_a_swap() -> None:
    swap()
    assert read_by_sqlite("1.5") == 1.5


@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc", reason="the registers are those of x86"
)
def test_without_it_a_fraction_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registers, "_clear", lambda: None)
    swap()
    assert read_by_sqlite("1.5") != 1.5
