"""The pool program swaps real tokens to the unit of what was computed, and fails as a router's does."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from trading.rehearsal import pools
from trading.rehearsal.cluster import Cluster, Executed, Level
from trading.rehearsal.programs.link import link
from trading.rehearsal.tokens import (
    ATA_PROGRAM,
    NATIVE_MINT,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    associated,
    token_account,
    token_balance,
)

pytestmark = pytest.mark.requirement("T10")

SOURCE = Path(pools.__file__).parent / "programs" / "swap.c"


class Bench:
    """A wallet, a token and a pool of it."""

    def __init__(self, lamports: int = 1_000 * 10**9, units: int = 10**13, fee_bps: int = 25) -> None:
        self.cluster = Cluster("test")
        pools.install(self.cluster)
        self.token = pools.make_token(self.cluster, "one")
        self.pool = pools.make_pool(self.cluster, self.token, lamports, units, fee_bps)
        self.user = Keypair.from_seed(bytes(range(32)))
        self.cluster.airdrop(self.user.pubkey(), 10**12)

    def holds(self, mint: Pubkey, units: int) -> None:
        account = token_account(mint, self.user.pubkey(), units)
        self.cluster.set_account(associated(self.user.pubkey(), mint), account)

    def held(self, mint: Pubkey) -> int:
        found = token_balance(self.cluster.account(associated(self.user.pubkey(), mint)))
        return found.units if found else 0

    def run(self, *instructions: Instruction) -> Executed:
        blockhash = Hash.from_string(self.cluster.newest(Level.CONFIRMED).blockhash)
        message = MessageV0.try_compile(self.user.pubkey(), list(instructions), [], blockhash)
        signature = self.cluster.submit(bytes(VersionedTransaction(message, [self.user])))
        self.cluster.tick()
        return self.cluster.executed[signature]


def test_a_swap_gives_to_the_unit_what_was_quoted_and_both_ways() -> None:
    bench = Bench()
    bench.holds(NATIVE_MINT, 5 * 10**9)
    bench.holds(bench.token, 0)
    quoted = bench.pool.quote(bench.cluster, NATIVE_MINT, 3 * 10**9)
    done = bench.run(bench.pool.instruction(bench.user.pubkey(), NATIVE_MINT, 3 * 10**9, quoted, 0))
    assert done.error is None
    assert bench.held(bench.token) == quoted > 0
    assert bench.held(NATIVE_MINT) == 2 * 10**9
    [change] = [
        each for each in done.tokens if each.owner == str(bench.user.pubkey()) and each.mint == str(bench.token)
    ]
    assert (change.before, change.after, change.decimals) == (0, quoted, 6)
    back = bench.pool.quote(bench.cluster, bench.token, quoted)
    done = bench.run(bench.pool.instruction(bench.user.pubkey(), bench.token, quoted, back, 0))
    assert done.error is None
    assert bench.held(NATIVE_MINT) == 2 * 10**9 + back
    assert back < 3 * 10**9


def test_a_pool_that_moved_fails_with_the_routers_error_and_charges_the_fee() -> None:
    bench = Bench()
    bench.holds(NATIVE_MINT, 5 * 10**9)
    bench.holds(bench.token, 0)
    quoted = bench.pool.quote(bench.cluster, NATIVE_MINT, 10**9)
    done = bench.run(bench.pool.instruction(bench.user.pubkey(), NATIVE_MINT, 10**9, quoted + 1, 0))
    assert done.error == {"InstructionError": [0, {"Custom": 6001}]}
    assert done.before[0] - done.after[0] == 5_000
    assert any("0x1771" in line for line in done.logs)
    assert bench.held(NATIVE_MINT) == 5 * 10**9
    tolerant = bench.run(bench.pool.instruction(bench.user.pubkey(), NATIVE_MINT, 10**9, quoted + 1, 1))
    assert tolerant.error is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 10**16), st.integers(1, 10**18), st.sampled_from([0, 1, 25, 100, 9_999]), st.integers(1, 10**15))
def test_what_is_computed_here_is_what_the_program_gives(lamports: int, units: int, fee_bps: int, amount: int) -> None:
    bench = Bench(lamports, units, fee_bps)
    bench.holds(NATIVE_MINT, amount)
    bench.holds(bench.token, 0)
    quoted = bench.pool.quote(bench.cluster, NATIVE_MINT, amount)
    done = bench.run(bench.pool.instruction(bench.user.pubkey(), NATIVE_MINT, amount, quoted, 0))
    assert done.error is None
    assert bench.held(bench.token) == quoted


@pytest.mark.parametrize("tax_bps", [1, 50, 3_000])
def test_a_token_that_keeps_a_fee_of_transfers_gives_what_is_left_of_both(tax_bps: int) -> None:
    bench = Bench()
    bench.token = pools.make_token(bench.cluster, "taxed", program=TOKEN_2022_PROGRAM, transfer_fee_bps=tax_bps)
    pool = pools.make_pool(bench.cluster, bench.token, 1_000 * 10**9, 10**13)
    place = associated(bench.user.pubkey(), bench.token, TOKEN_2022_PROGRAM)
    empty = token_account(bench.token, bench.user.pubkey(), 0, TOKEN_2022_PROGRAM, withholds=True)
    bench.cluster.set_account(place, empty)
    bench.holds(NATIVE_MINT, 10**9)

    def kept(mint: Pubkey, units: int) -> int:
        return -(-units * tax_bps // 10_000) if mint == bench.token else 0

    user = bench.user.pubkey()
    untaxed = pool.quote(bench.cluster, NATIVE_MINT, 10**9)
    quoted = pool.quote(bench.cluster, NATIVE_MINT, 10**9, kept)
    assert quoted < untaxed
    assert bench.run(pool.instruction(user, NATIVE_MINT, 10**9, untaxed, 0)).error is not None
    assert bench.run(pool.instruction(user, NATIVE_MINT, 10**9, quoted, 0)).error is None
    held = token_balance(bench.cluster.account(place))
    assert held is not None
    assert held.units == quoted
    back = pool.quote(bench.cluster, bench.token, quoted, kept)
    assert bench.run(pool.instruction(user, bench.token, quoted, back, 0)).error is None
    assert bench.held(NATIVE_MINT) == back


def test_wrapping_swapping_and_unwrapping_leave_no_lamport_unaccounted_for() -> None:
    bench = Bench()
    user = bench.user.pubkey()
    wrapped, ata = associated(user, NATIVE_MINT), associated(user, bench.token)
    before = bench.cluster.account(user)
    assert before is not None
    quoted = bench.pool.quote(bench.cluster, NATIVE_MINT, 10**9)

    def opening(account: Pubkey, mint: Pubkey) -> Instruction:
        metas = [AccountMeta(user, True, True), AccountMeta(account, False, True), AccountMeta(user, False, False)]
        metas += [AccountMeta(each, False, False) for each in (mint, Pubkey.default(), TOKEN_PROGRAM)]
        return Instruction(ATA_PROGRAM, b"\x01", metas)

    transfer = Instruction(
        Pubkey.default(),
        (2).to_bytes(4, "little") + (10**9).to_bytes(8, "little"),
        [AccountMeta(user, True, True), AccountMeta(wrapped, False, True)],
    )
    sync = Instruction(TOKEN_PROGRAM, b"\x11", [AccountMeta(wrapped, False, True)])
    close = Instruction(
        TOKEN_PROGRAM,
        b"\x09",
        [AccountMeta(wrapped, False, True), AccountMeta(user, False, True), AccountMeta(user, True, False)],
    )
    swap = bench.pool.instruction(user, NATIVE_MINT, 10**9, quoted, 50)
    done = bench.run(opening(wrapped, NATIVE_MINT), transfer, sync, opening(ata, bench.token), swap, close)
    assert done.error is None
    after = bench.cluster.account(user)
    assert after is not None
    assert before.lamports - after.lamports == 10**9 + 5_000 + 2_039_280
    assert bench.held(bench.token) == quoted


def compiler() -> list[str] | None:
    found = shutil.which("clang")
    if (
        found
        and "bpf" in subprocess.run([found, "--print-targets"], capture_output=True, text=True, check=False).stdout
    ):
        return [found, "-target", "bpf"]
    zig = [found] if (found := shutil.which("zig")) else [sys.executable, "-m", "ziglang"]
    if len(zig) == 1 or importlib.util.find_spec("ziglang") is not None:
        return [*zig, "cc", "-target", "bpfel-freestanding"]
    return None


def test_the_binary_is_what_its_source_makes(tmp_path: Path) -> None:
    command = compiler()
    if command is None:
        pytest.skip("neither a clang with a BPF target nor zig")
    built = tmp_path / "swap.o"
    flags = ["-mcpu=v1", "-O2", "-ffreestanding", "-fno-builtin", "-c", str(SOURCE), "-o", str(built)]
    subprocess.run([*command, *flags], check=True)
    program = link(built.read_bytes())
    bench = Bench()
    bench.cluster.add_program(pools.ROUTER_PROGRAM, program)
    bench.holds(NATIVE_MINT, 10**9)
    bench.holds(bench.token, 0)
    quoted = bench.pool.quote(bench.cluster, NATIVE_MINT, 10**9)
    done = bench.run(bench.pool.instruction(bench.user.pubkey(), NATIVE_MINT, 10**9, quoted, 0))
    assert done.error is None
    assert bench.held(bench.token) == quoted


def test_what_the_linker_does_not_do_it_refuses() -> None:
    with pytest.raises(ValueError, match="no object file"):
        link((SOURCE.parent / "swap.so").read_bytes())
