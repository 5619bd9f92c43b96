"""A local EVM (anvil, npm, Linux x86-64) with Uniswap's contracts as they were deployed, out of their own packages."""

import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any, Final

import anyio
import httpx2
import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trading.adapters.evm.endpoint import EvmEndpoint
from trading.adapters.evm.nodes import EvmNodes
from trading.adapters.solana.endpoint import RpcEndpoint
from trading.config import ChainSection, EndpointSection
from trading.rehearsal.loopback import bound, served

HOME: Final = Path(__file__).parents[1] / "evm"
MODULES: Final = HOME / "node_modules"
ANVIL: Final = MODULES / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
CHAIN_ID: Final = 31_337
START_S: Final = 20
STARTS_MAX: Final = 3
OUR_KEY: Final = "0x" + "4c" * 32
OUR_ADDRESS: Final = "0xdB00079cad3e665853Bf766eFe26F4C38cdbdCDA"
FEE_V3: Final = 3_000
SPACING: Final = 60
_GAS: Final = 12_000_000
_V2_BYTES: Final = "bytecode"
_PERIPHERY: Final = "@uniswap/v3-periphery/artifacts/contracts"
_ARTIFACTS: Final = {
    "v2_factory": "@uniswap/v2-core/build/UniswapV2Factory.json",
    "token": "@uniswap/v2-core/build/ERC20.json",
    "v3_factory": "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
    "positions": f"{_PERIPHERY}/NonfungiblePositionManager.sol/NonfungiblePositionManager.json",
    "router": "@uniswap/swap-router-contracts/artifacts/contracts/SwapRouter02.sol/SwapRouter02.json",
}


def code_of(name: str) -> bytes:
    text: str = json.loads((MODULES / _ARTIFACTS[name]).read_text("utf-8"))[_V2_BYTES]
    return bytes.fromhex(text.removeprefix("0x"))


def call_data(signature: str, *arguments: Any) -> bytes:
    inside = signature[signature.index("(") + 1 : -1]
    return keccak(text=signature)[:4] + encode(_split(inside), arguments)


def _split(types: str) -> list[str]:
    found, level, at = [], 0, 0
    for place, letter in enumerate(types):
        level += (letter == "(") - (letter == ")")
        if letter == "," and level == 0:
            found.append(types[at:place])
            at = place + 1
    return [*found, types[at:]] if types else []


@dataclass
class Evm:
    """A running node: what tests do to it is done through here, what is tested asks it by ``url``."""

    url: str
    http: httpx2.Client
    owner: str = ""
    router: str = ""
    v2_factory: str = ""
    v3_factory: str = ""
    positions: str = ""
    token_0: str = ""
    token_1: str = ""
    pair: str = ""
    pool: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**9)))

    def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self.numbers), "method": method, "params": list(params)}
        told = self.http.post(self.url, json=body).json()
        assert "error" not in told, (method, told["error"])
        return told["result"]

    def send(self, to: str | None, data: bytes, sender: str = "", value: int = 0) -> dict[str, Any]:
        """Send a transaction of an account of the node's own, mine it, and return its receipt."""
        wanted = {"from": sender or self.owner, "data": "0x" + data.hex(), "gas": hex(_GAS), "value": hex(value)}
        sent = self.rpc("eth_sendTransaction", wanted | ({"to": to} if to else {}))
        receipt: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", sent)
        if receipt is None:  # the node mines when it is told to
            self.mine()
            receipt = self.rpc("eth_getTransactionReceipt", sent)
        assert receipt is not None
        assert receipt["status"] == "0x1", receipt
        return receipt

    def deploy(self, code: bytes, types: tuple[str, ...] = (), *arguments: Any) -> str:
        address: str = self.send(None, code + encode(types, arguments))["contractAddress"]
        return address

    def ask(self, to: str, signature: str, *arguments: Any, returns: tuple[str, ...] = ("uint256",)) -> Any:
        told = self.rpc("eth_call", {"to": to, "data": "0x" + call_data(signature, *arguments).hex()}, "latest")
        found = decode(returns, bytes.fromhex(told[2:]))
        return found[0] if len(found) == 1 else found

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def balance(self, token: str, owner: str = OUR_ADDRESS) -> int:
        return int(self.ask(token, "balanceOf(address)", owner))

    def add_liquidity(self, lower: int, upper: int, amount: int) -> None:
        """Put up to ``amount`` of both tokens between two ticks of the concentrated pool."""
        kind = "(address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256)"
        wanted = (self.token_0, self.token_1, FEE_V3, lower, upper, amount, amount, 0, 0, self.owner, 2**40)
        self.send(self.positions, call_data(f"mint({kind})", wanted))

    def swap_pool(self, amount_in: int, *, gives_0: bool) -> int:
        """Swap in the concentrated pool as somebody else does; return what came out."""
        given, taken = (self.token_0, self.token_1) if gives_0 else (self.token_1, self.token_0)
        had = self.balance(taken, self.owner)
        kind = "(address,address,uint24,address,uint256,uint256,uint160)"
        wanted = (given, taken, FEE_V3, self.owner, amount_in, 0, 0)
        self.send(self.router, call_data(f"exactInputSingle({kind})", wanted))
        return self.balance(taken, self.owner) - had

    def swap_pair(self, amount_in: int, *, gives_0: bool) -> int:
        path = [self.token_0, self.token_1] if gives_0 else [self.token_1, self.token_0]
        had = self.balance(path[1], self.owner)
        signature = "swapExactTokensForTokens(uint256,uint256,address[],address)"
        self.send(self.router, call_data(signature, amount_in, 0, path, self.owner))
        return self.balance(path[1], self.owner) - had

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens to the chain inside is taken back at the end."""
        number = self.rpc("evm_snapshot")
        try:
            yield
        finally:
            assert self.rpc("evm_revert", number) is True
            self.rpc("evm_setAutomine", True)


@contextmanager
def evm_running() -> Iterator[Evm]:
    """Run a node with two pools of two tokens; skip where it is not installed."""
    if not ANVIL.exists():
        pytest.skip("no local EVM (npm, Linux x86-64): make setup-test")
    with httpx2.Client(trust_env=False, verify=False, timeout=20) as http:
        for _ in range(STARTS_MAX):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            evm = Evm(f"http://127.0.0.1:{port}", http)
            names = "--silent", "--port", str(port), "--chain-id", str(CHAIN_ID), "--slots-in-an-epoch", "4"
            with subprocess.Popen([ANVIL, *names], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                try:
                    if _is_up(evm, process):
                        _furnish(evm)
                        yield evm
                        return
                finally:
                    process.kill()
    pytest.fail("the local EVM does not come up")


def _is_up(evm: Evm, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until the node answers; False where somebody else took its port, whose chain it would be then."""
    until = monotonic() + START_S
    while monotonic() < until and process.poll() is None:
        try:
            assert evm.rpc("eth_chainId") == hex(CHAIN_ID)
        except httpx2.TransportError:
            sleep(0.02)
        else:
            sleep(0.05)  # whoever does not get its port ends within that time
            return process.poll() is None
    return False


def _furnish(evm: Evm) -> None:
    evm.owner = evm.rpc("eth_accounts")[0]
    evm.rpc("anvil_setBalance", OUR_ADDRESS, hex(10**20))
    first, second = (evm.deploy(code_of("token"), ("uint256",), 10**30) for _ in range(2))
    evm.token_0, evm.token_1 = sorted((first, second), key=lambda each: int(each, 16))
    nobody = "0x" + "11" * 20
    evm.v2_factory = evm.deploy(code_of("v2_factory"), ("address",), evm.owner)
    evm.v3_factory = evm.deploy(code_of("v3_factory"))
    evm.positions = evm.deploy(code_of("positions"), ("address",) * 3, evm.v3_factory, nobody, nobody)
    evm.router = evm.deploy(code_of("router"), ("address",) * 4, evm.v2_factory, evm.v3_factory, evm.positions, nobody)
    for token in (evm.token_0, evm.token_1):
        for spender in (evm.router, evm.positions):
            evm.send(token, call_data("approve(address,uint256)", spender, 2**256 - 1))
        evm.send(token, call_data("transfer(address,uint256)", OUR_ADDRESS, 10**24))
    evm.send(evm.v2_factory, call_data("createPair(address,address)", evm.token_0, evm.token_1))
    evm.pair = evm.ask(evm.v2_factory, "getPair(address,address)", evm.token_0, evm.token_1, returns=("address",))
    for token, amount in ((evm.token_0, 5 * 10**21), (evm.token_1, 8 * 10**21 + 7)):
        evm.send(token, call_data("transfer(address,uint256)", evm.pair, amount))
    evm.send(evm.pair, call_data("mint(address)", evm.owner))
    evm.send(evm.v3_factory, call_data("createPool(address,address,uint24)", evm.token_0, evm.token_1, FEE_V3))
    evm.pool = evm.ask(
        evm.v3_factory, "getPool(address,address,uint24)", evm.token_0, evm.token_1, FEE_V3, returns=("address",)
    )
    evm.send(evm.pool, call_data("initialize(uint160)", 100_213_500_000_000_000_000_000_000_000))
    evm.add_liquidity(-887_220, 887_220, 10**21)
    evm.add_liquidity(3_600, 6_000, 3 * 10**20)
    evm.add_liquidity(4_620, 4_740, 10**20)
    evm.add_liquidity(-1_200, 4_200, 2 * 10**20)
    evm.add_liquidity(8_040, 30_000, 2 * 10**20)


class ShiftedClock:
    """Wall time and so many seconds more."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s

    def now_ns(self) -> int:
        return time_ns() + round(self.ahead_s * 10**9)


@asynccontextmanager
async def nodes_of(
    *urls: str, chain_id: int = CHAIN_ID, stale_s_max: float = 3_600, ahead_s: float = 0.0, timeout_s: float = 20.0
) -> AsyncIterator[EvmNodes]:
    clock = ShiftedClock(ahead_s)
    bounds = ChainSection(timeout_s=timeout_s, backoff_base_s=0.001, backoff_cap_s=0.002)
    endpoints = [
        EvmEndpoint(
            RpcEndpoint(f"node-{n}", EndpointSection(url=SecretStr(url), calls_per_second=100_000), bounds, clock)
        )
        for n, url in enumerate(urls, 1)
    ]
    nodes = EvmNodes(endpoints, chain_id, stale_s_max, clock)
    try:
        await nodes.pin()
        yield nodes
    finally:
        await nodes.aclose()


class Liar:
    """A node between us and the true one: ``answer(method, params, result)`` returns what is told instead."""

    def __init__(self, url: str) -> None:
        self.true_url = url
        self.url = ""
        self.answer: Callable[[str, list[Any], Any], Any] = lambda _method, _params, result: result
        self.fails_after: set[str] = set()
        """Methods that are done, and whose answer is lost."""
        self.delay_s = 0.0
        self.http: httpx2.AsyncClient | None = None

    async def handle(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        await anyio.sleep(self.delay_s)
        assert self.http is not None
        told = (await self.http.post(self.true_url, json=asked)).json()
        if asked["method"] in self.fails_after:
            return Response("lost", status_code=502)
        if "result" in told:
            told["result"] = self.answer(asked["method"], asked["params"], told["result"])
        return Response(json.dumps(told), media_type="application/json")


@asynccontextmanager
async def lying(evm: Evm) -> AsyncIterator[Liar]:
    liar = Liar(evm.url)
    app = Starlette(routes=[Route("/", liar.handle, methods=["POST"])])
    async with (
        bound(0) as listening,
        served(app, listening),
        httpx2.AsyncClient(trust_env=False, verify=False) as liar.http,
    ):
        liar.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield liar
