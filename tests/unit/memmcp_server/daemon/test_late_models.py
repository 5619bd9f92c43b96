"""Which models a daemon makes ready, and when."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys, threading
from memmcp_server.daemon.late_models import make_models_late
print(make_models_late())
import mcp_types._v2026_07_28 as protocol
from pydantic import BaseModel
mine = [each for each in vars(protocol).values() if isinstance(each, type) and issubclass(each, BaseModel)]
print(len(mine) > 50, sum(each.__pydantic_complete__ for each in mine) * 10 < len(mine))

class Inner(BaseModel):
    number: int

class Outer(BaseModel):
    inner: Inner
    anything: object = None

together = threading.Barrier(8)
def use():
    together.wait(10)
    made.append(Outer.model_validate({"inner": {"number": "7"}, "anything": Inner.model_construct(number=8)}))

made = []
threads = [threading.Thread(target=use) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
print({each.model_dump_json() for each in made})
"""


@pytest.mark.requirement("Q6")
def test_a_model_is_made_ready_when_it_is_first_used_also_by_many_threads_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["True", "True True", """{'{"inner":{"number":7},"anything":{"number":8}}'}"""]
