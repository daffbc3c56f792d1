"""Under a tracer every thread that is started runs."""

import os
import subprocess
import sys
from pathlib import Path

# As coverage does it: each thread installs a tracer that first takes itself away.
PROGRAM = """
import sys, threading
import tests.tracer
import filelock

def traced(frame, event, argument):
    sys.settrace(None)
    sys.settrace(lambda *_: None)

sys.setswitchinterval(1e-6)
threading.settrace(traced)
sys.stderr = open("/dev/null", "w")
ran = []
for _ in range(40):
    threads = [threading.Thread(target=ran.append, args=(1,)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(len(ran))
"""


def test_every_thread_that_starts_under_a_tracer_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "MCV_TRACED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "2000\n", done.stderr
