"""The numbers of the requirements and how far each is true. ``test_requirements`` holds tests against this table.

``done``: true in full, so at least one test must carry the number. ``partly``: a first form stands and is tested; what
is missing is said. ``planned``: nothing stands yet, so no test may claim it.
"""

from typing import Literal, NamedTuple


class Requirement(NamedTuple):
    text: str
    state: Literal["done", "partly", "planned"]
    missing: str = ""


REQUIREMENTS: dict[str, Requirement] = {
    "M1": Requirement("Any agent writes over MCP, HTTP or the CLI; every other agent finds it at once", "done"),
    "M2": Requirement("Acknowledged means durable; after kill -9 nothing is lost and nothing is there twice", "done"),
    "M3": Requirement("Idempotency keys, given or derived: a repeat changes nothing and returns the same id", "done"),
    "M4": Requirement("Dense and lexical search, filters, as_of", "done"),
    "M5": Requirement("Namespaces, provenance, trust", "done"),
    "M6": Requirement("Trajectories of sessions and trades, closed with an outcome", "done"),
    "M7": Requirement("Digests, written by the desk at the end of a window and at a change of tier", "done"),
    "M8": Requirement("Lifecycle: update, supersede, forget, pin, expiry, decay, merge", "done"),
    "M9": Requirement("Export, import, back-up, rebuild of the index", "done"),
    "M10": Requirement("Several stdio clients share one memory and one loop", "done"),
    "M11": Requirement("Outbox to Qdrant and Langfuse with retries and dead letters", "done"),
    "M12": Requirement("Secrets are refused or redacted; stored text is marked as data", "done"),
    "M13": Requirement("Outcome credit", "done"),
    "M14": Requirement("News that reaches the model", "done"),
    "M15": Requirement("Receipts, budget, nothing where nothing is relevant", "done"),
    "M16": Requirement("Golden queries, also before a migration; one that lowers recall is refused", "done"),
    "M17": Requirement("Validity in time", "done"),
    "M18": Requirement("Summaries", "done"),
    "T1": Requirement("One engine for backtest, paper and live; replay byte for byte", "partly", "live"),
    "T2": Requirement("Profiles switchable at run time", "done"),
    "T3": Requirement("Tiers by equity", "partly", "several wallets"),
    "T4": Requirement("Strategies", "partly", "holders and liquidity locks of the public market, arbitrage"),
    "T5": Requirement("Anti-DCA and rapid rotation", "done"),
    "T6": Requirement("Sizing", "done"),
    "T7": Requirement("Risk gate, limits, states", "partly", "more than one wallet"),
    "T8": Requirement("Buckets whose sum is the wallet", "done"),
    "T9": Requirement("Realistic fills", "done"),
    "T10": Requirement(
        "Live execution on Solana", "partly", "several wallets, Jito, the report of exits under congestion"
    ),
    "T11": Requirement("Evolution", "done"),
    "T12": Requirement("Rotation of capital", "done"),
    "T13": Requirement("Memory-driven decisions", "done"),
    "T14": Requirement("Sidecar", "done"),
    "T15": Requirement(
        "Arbitrage",
        "partly",
        "with real money: deposits at the exchange and transfers to the EVM chain by hand, no command answers an "
        "intent on the EVM chain that needs review; never run on a public network",
    ),
    "T16": Requirement("Execution nodes", "partly", "nodes: strategies do not hand their orders to them"),
    "T17": Requirement("Drift meter", "partly", "live"),
    "T18": Requirement("Ranking and forecasts", "done"),
    "T19": Requirement("Why, and why not", "done"),
    "T20": Requirement(
        "Money that moves by itself",
        "partly",
        "tokens that nobody bought are not remembered over a restart; a ban list on paper",
    ),
    "T21": Requirement("Records in SOL and USD, tax export", "done"),
    "A1": Requirement("The agents' tools", "done"),
    "A2": Requirement("Resources and prompts", "done"),
    "A3": Requirement("stdio, Streamable HTTP, SSE", "done"),
    "A4": Requirement("Ready configuration for each client", "done"),
    "A5": Requirement("Orders by agents", "done"),
    "A6": Requirement("Agent tasks", "done"),
    "A7": Requirement("One reservation for two agents", "done"),
    "O1": Requirement("The HTTP routes", "done"),
    "O2": Requirement("Every signal, cycle and module in memory and telemetry", "done"),
    "O3": Requirement("Langfuse", "done"),
    "O4": Requirement("Alerts", "done"),
    "O5": Requirement(
        "Authentication, guards, limits, audit",
        "partly",
        "quotas on the plain HTTP routes but memory's, audit of reads",
    ),
    "O6": Requirement("A CLI for operators", "done"),
    "O7": Requirement("Outside engines", "done"),
    "O8": Requirement("Bad night", "done"),
    "D1": Requirement("Queue statistics and health", "done"),
    "D2": Requirement("Trading snapshot", "done"),
    "D3": Requirement("Compounding tracker", "done"),
    "D4": Requirement("History", "done"),
    "D5": Requirement("Strategy heatmap", "done"),
    "D6": Requirement("Memory browser", "done"),
    "D7": Requirement("Risk", "done"),
    "D8": Requirement("Execution", "partly", "more nodes than the local one"),
    "D9": Requirement("Alerts on the page", "done"),
    "D10": Requirement("Action pad", "done"),
    "D11": Requirement("Keyboard, phone, dark and light, no outside host", "done"),
    "D12": Requirement("Insights", "done"),
    "Q1": Requirement("make run and make test", "done"),
    "Q2": Requirement("Tests of routes, CLI, page and a smoke run", "partly", "grows with each part"),
    "Q3": Requirement("Benchmarks against the peers", "partly", "grows with each part"),
    "Q4": Requirement("Fault tests", "partly", "grows with each part"),
    "Q5": Requirement("Scale by configuration alone", "partly", "a real Qdrant server, which no registry has"),
    "Q6": Requirement("Soak", "partly", "72 hours of wall time by hand"),
}
