# Two commands matter: `make run` and `make test`. Each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run test coverage lint format bench results launch-study congestion noise crash cluster arbitrage tracing soak clients conformance redteam bundle examples screenshots docs lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## Virtual environment, locked packages, the page's bundle
	@$(PYTHON) scripts/set_up.py run

setup-test:
	@$(PYTHON) scripts/set_up.py test

run: setup ## Start the daemon: shared memory, paper trading, the page (ARGS="--feed synthetic" ...)
	@exec $(BIN)/memmcp serve $(ARGS)

test: setup-test ## All gates: lint, types, floors, tests, the page's tests
	@$(PYTHON) scripts/run_tests.py

coverage: setup-test ## The tests once more with branch coverage, child processes included
	@$(PYTHON) scripts/run_tests.py --coverage

lint: setup-test ## ruff, import-linter, mypy --strict, tsc
	@$(BIN)/ruff check . && $(BIN)/ruff format --check -q .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

format: setup-test ## Put the code into the house's form
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

bench: setup-test ## All benchmarks, or ONLY=bridge|journal|...; tables into docs/benchmarks.md
	@$(BIN)/pytest -q -m bench
	@$(BIN)/python -m benchmarks.run $(ONLY)

results: setup-test ## Walk-forward, rotation and recall (MARKET=folder of *USDT_1h.csv.gz), fee levels, the scale table (MARKET_5M=of *USDT_5m), into docs/results.md
	@$(BIN)/python -m scripts.walk_forward $(or $(MARKET),$(MEMMCP_MARKET_DIR)/ohlcv_1h)
	@$(BIN)/python -m scripts.rotation_study $(or $(MARKET),$(MEMMCP_MARKET_DIR)/ohlcv_1h)
	@$(BIN)/python -m scripts.recall_ablation $(or $(MARKET),$(MEMMCP_MARKET_DIR)/ohlcv_1h)
	@$(BIN)/python -m scripts.fee_levels
	@$(BIN)/python -m scripts.scale_table $(or $(MARKET_5M),$(MEMMCP_MARKET_DIR)/ohlcv_5m)

launch-study: setup-test ## The launch scanner on recorded launches, into docs/results.md (MARKET=folder of them)
	@$(BIN)/python -m scripts.launch_study $(or $(MARKET),$(MEMMCP_MARKET_DIR)/dex)

congestion: setup-test ## How long exits take while the chain is congested, into docs/results.md
	@$(BIN)/python -m scripts.congestion_study

noise: setup-test ## Whole searches on noise and on a planted edge: what the gates of promotion let through, into docs/results.md
	@$(BIN)/python -m scripts.noise

crash: setup-test ## The kill matrices of memory in a file and on PostgreSQL, of live execution and of the phone, an outage of the index (RUNS=100 SEED=1 STATE=file)
	@$(BIN)/python -m benchmarks.crash --runs $(or $(RUNS),100) --seed $(or $(SEED),1) --control
	@$(BIN)/python -m benchmarks.crash --runs $(or $(RUNS),100) --seed $(or $(SEED),1) --control --database postgresql
	@$(BIN)/python -m benchmarks.outage
	@$(BIN)/python -m benchmarks.outage --database postgresql
	@$(BIN)/python -m benchmarks.crash_phone --runs $(or $(RUNS),50) --seed $(or $(SEED),1)
	@$(BIN)/python -m benchmarks.crash_execution --runs $(or $(RUNS),200) --seed $(or $(SEED),1) $(if $(STATE),--state $(STATE))

cluster: setup-test ## Three daemons and fifty writers on one PostgreSQL, daemons and server killed again and again; ten execution nodes with forty wallets killed, stopped, cut off (RUNS=30 SEED=1 NODES_S=120)
	@$(BIN)/python -m benchmarks.cluster --runs $(or $(RUNS),30) --seed $(or $(SEED),1)
	@$(BIN)/python -m benchmarks.nodes --seconds $(or $(NODES_S),120) --seed $(or $(SEED),1) --control

arbitrage: setup-test ## Trips between the local chain and a loopback exchange through every failure, opportunities planted above and below full cost (RUNS=1000 SEED=1)
	@$(BIN)/python -m benchmarks.arbitrage --runs $(or $(RUNS),1000) --seed $(or $(SEED),1)
	@$(BIN)/python -m benchmarks.transfers --seed $(or $(SEED),1)

tracing: setup-test ## 10,000 whole trades through every fault of a trace receiver, and how soon a daemon ends beside each (DECISIONS=10000)
	@$(BIN)/python -m benchmarks.trace_faults --decisions $(or $(DECISIONS),10000)

soak: setup-test ## 30 days of the whole daemon hastened, with clock jumps and feed outages, then 200 streams for 10 minutes: flat memory, handles, disk (HOURS=72: by the wall, STREAMS_S=600)
	@$(BIN)/python -m benchmarks.soak $(if $(HOURS),--hours $(HOURS),--days $(or $(DAYS),30)) --streams-s $(or $(STREAMS_S),600)

search-crash: setup-test ## A search killed at every commit of its databases, against an undisturbed one (EVERY=1 CHAINS=20)
	@$(BIN)/python -m benchmarks.crash_search --every $(or $(EVERY),1) --chains $(or $(CHAINS),20)

clients: setup-test ## Nine real clients over each transport they have, the table into docs/clients.md
	@$(BIN)/pytest tests/clients -q
	@$(BIN)/python -m scripts.clients

conformance: setup-test ## The official MCP suite (84 and 152 checks), and the rehearsal chain against Surfpool, a Solana node not ours
	@$(BIN)/pytest tests/clients/test_conformance_suite.py tests/system/test_conformance.py tests/system/test_conformance_execution.py -q -rs

redteam: setup-test ## Agents, routers and a shell that try to trade, sign or see what they may not
	@$(BIN)/pytest tests/redteam tests/integration/test_confirming.py tests/integration/test_elicitation.py tests/integration/test_red_team_router.py tests/integration/test_red_team_signer.py tests/system/test_red_team.py -q

bundle: setup-test ## dist/memmcp.mcpb for desktop clients, validated and packed by the official tool
	@$(BIN)/python -m scripts.bundle

examples: setup-test ## Every example against a real daemon, also those with packages of their own
	@MEMMCP_EXAMPLES=1 $(BIN)/pytest tests/clients/test_example.py -q

screenshots: setup-test ## Make docs/images anew from the running page
	@MEMMCP_SCREENSHOTS=1 $(BIN)/pytest tests/browser -q

docs: setup-test ## docs/reference.md, server.json and the schema of a new file from the code
	@$(BIN)/python scripts/new_file.py && $(BIN)/python -m scripts.manifests && $(BIN)/python scripts/reference.py && wc -l docs/reference.md

lock: setup-test ## Resolve the lock files anew
	@$(COMPILE) pyproject.toml --group build -o requirements.lock
	@$(COMPILE) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock

clean: ## Remove what set-up and tests made
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage src/memmcp_server/web/static src/memmcp_server/web/ui/node_modules tests/clients/node_modules tests/bundle/node_modules tests/system/surfpool/node_modules tests/evm/node_modules
