# SPDX-License-Identifier: MIT
"""Does the supervisor survive whatever clients do, and does it keep nothing of what they leave behind?"""

import sys
from pathlib import Path

from tests.supervisor.conftest import Run

HERE = Path(__file__).parent


def test_ten_thousand_fuzzed_calls_get_the_kernel_s_answers(run: Run) -> None:
    outcome = run(sys.executable, str(HERE / "fuzzer.py"), "1", "10000")
    assert (outcome.code, outcome.err) == (0, "")
    counts = {name: int(count) for name, count in (word.split(":") for word in outcome.out.split())}
    assert sum(counts.values()) >= 10_000
    assert {"0", "EINVAL", "EFAULT", "ENOENT", "ENXIO", "EBADF", "ENOTTY", "ENOMEM", "EALREADY"} <= set(counts)


def test_nothing_stays_of_a_hundred_clients_killed_at_random_moments(run: Run) -> None:
    outcome = run(sys.executable, str(HERE / "mortal.py"), "1", "100")
    assert (outcome.code, outcome.err) == (0, "")
    before, after = outcome.out.removeprefix("before: ").split(" after: ")
    assert after == f"{before} memory: free\n"


def test_a_program_out_of_descriptors_is_told_so(run: Run) -> None:
    script = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
files = []
try:
    while True:
        files.append(os.open("/dev/dri/renderD128", os.O_RDWR))
except OSError as error:
    print(error.errno, len(files) > 10)
"""
    outcome = run(python=script)
    assert (outcome.code, outcome.out, outcome.err) == (0, "24 True\n", "")


def test_many_clients_at_once(run: Run) -> None:
    fuzzer = HERE / "fuzzer.py"
    outcome = run(
        "sh", "-c", f"for n in 1 2 3 4; do {sys.executable} {fuzzer} $n 1000 >/dev/null || echo $n & done; wait"
    )
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
