"""A real daemon that tells a receiver of traces: from its settings to the span, and how it ends beside a bad one."""

import time
from pathlib import Path

import pytest
from tests.support.agents import environment, http_client, until
from tests.support.daemons import served
from tests.support.otlp_receiver import PUBLIC_KEY, SECRET_KEY, OtlpReceiver, attributes_of, free_port, serving_apart

from memmcp_server.daemon.places import Places
from memmcp_server.domain.tracing.spans import span_id_of

pytestmark = pytest.mark.system
END_S_MAX = 40.0
"""Whoever waited for the receiver would wait for its 60 s. A machine that runs other tests too is slow to end anything;
`make tracing` holds a quiet one to 3 s."""


@pytest.mark.requirement("O3")
@pytest.mark.requirement("M11")
def test_a_daemon_tells_what_it_is_told_to_tell_and_ends_beside_a_receiver_that_hangs(tmp_path: Path) -> None:
    port = free_port()
    environ = environment(
        {
            "MEMMCP_LANGFUSE__PUBLIC_KEY": PUBLIC_KEY,
            "MEMMCP_LANGFUSE__SECRET_KEY": SECRET_KEY,
            "MEMMCP_LANGFUSE__BASE_URL": f"http://127.0.0.1:{port}",
            "MEMMCP_LANGFUSE__TIMEOUT_S": "60",
            "MEMMCP_TRACING__CONTENT": "all",
        }
    )
    hanging, well = OtlpReceiver(fault="hanging"), OtlpReceiver()
    with serving_apart(hanging, port), served(tmp_path / "data", environ=environ) as daemon:
        written = http_client(tmp_path / "data").post("/memory/write", {"content": "what is to be told"})
        until(lambda: hanging.met["hanging"] >= 2)  # the memory and the call, both under way
        began_s = time.monotonic()
        daemon.terminate()
        daemon.wait(60)
        assert time.monotonic() - began_s < END_S_MAX

    with serving_apart(well, port), served(tmp_path / "data", environ=environ):
        until(lambda: span_id_of(written["id"], 1) in well.spans and bool(well.named("POST /memory/write")), 60)
        status = http_client(tmp_path / "data").get("/admin/status")
    told = attributes_of(well.spans[span_id_of(written["id"], 1)])
    assert told["langfuse.observation.output"] == "what is to be told"
    assert status["outbox"]["langfuse"]["dead"] == 0
    assert status["spans"]["langfuse"]["dropped"] == 0
    log = Places(tmp_path / "data").log.read_text(encoding="utf-8")
    assert SECRET_KEY not in log
