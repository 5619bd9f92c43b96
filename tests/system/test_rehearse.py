"""``memmcp-trade rehearse`` as a person runs it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

pytestmark = [pytest.mark.system, pytest.mark.requirement("T10")]

WALLET = "11111111111111111111111111111112"


def test_a_rehearsal_serves_the_tokens_of_the_generated_market_until_it_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trading", "rehearse", "--folder", str(tmp_path), "--ports", "0", "0"]
    command += ["--slot-ms", "20", "--fund", WALLET, "--sol", "3", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            text = ""
            for line in process.stdout:
                text += line
                if line == "}\n":
                    break
            told = json.loads(text)
            assert sorted(told["tokens"]) == [f"sim:{each}" for each in ("ALFA", "BIRCH", "COMET", "DELTA", "EMBER")]
            call = {"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": [WALLET]}
            answer = httpx2.post(told["endpoints"][0]["url"], json=call, trust_env=False).json()
            assert answer["result"]["value"] == 3 * 10**9
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert (tmp_path / "chain.json.gz").exists()
