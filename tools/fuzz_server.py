"""Sends a server thousands of requests that its OpenAPI document allows, and as many others.

    pip install "schemathesis>=4"
    python -m tools.fuzz_server --requests 10000

Schemathesis makes the requests. A server of `shapes` in a process of its own answers them. None may
be answered with status 500 or late, and the process may not grow. At the end it makes the picture
that it made at the start, to the last bit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

__all__ = ["Findings", "fuzz", "main", "served"]

LATEST = 60.0
"""Seconds after which an answer is missing."""
GROWTH_MIB = 200.0
"""What the process may grow by. Jobs and their pictures stay for a day, so it does grow."""
_FEW = 2  # steps of each picture, as what is tried is not the network
_AT_ONCE = 4
_MOST_ATTEMPTS = 200
_STEPS = ("num_inference_steps", "steps", "prior_num_inference_steps", "prior_steps")
_PICTURE = {"prompt": "a red circle on blue", "seed": 7, "num_inference_steps": 10}


@dataclass
class Findings:
    """What the requests met.

    Attributes:
        statuses: How often each status was answered.
        failures: What must not be, each with the request that shows it.
        slowest: Seconds of the slowest answer.
        less: Where fewer requests were made than wanted, and why.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    less: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int | None, seconds: float, request: Callable[[], str]) -> None:
        """Count an answer; None is one that never came."""
        with self.lock:
            self.statuses[status or 0] += 1
            self.slowest = max(self.slowest, seconds)
            if status is None or status == 500 or status > 504:
                self.failures.append(f"{status}: {request()[:2000]}")


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    """A server of `shapes`: its address, and its process."""
    command = [sys.executable, "-m", "kandinsky_cli.main", "serve", "--port", "0", "-q"]
    command += ["--drain-delay", "0", "--cold-shapes", "reject"]
    for task in ("text2image", "img2img", "interpolate"):
        command += ["--warm", task]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[0]
            while httpx.get(f"{url}/readyz").status_code != 200:
                time.sleep(0.2)
            yield url, process.pid
        finally:
            process.terminate()


def fuzz(url: str, requests: int, seed: int = 0) -> Findings:
    """Send so many requests, divided among the document's operations.

    Args:
        url: The server's address.
        requests: How many.
        seed: Another one makes other requests.
    """
    import schemathesis
    from schemathesis.generation import GenerationMode

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    # What takes a body has far more to try than what takes an id.
    weights = [8 if list(operation.body) else 1 for operation in operations]
    todo = []
    for operation, weight in zip(operations, weights, strict=True):
        modes = [GenerationMode.POSITIVE]
        if list(operation.body) or list(operation.query):  # any text is an id
            modes.append(GenerationMode.NEGATIVE)
        share = requests * weight // (len(modes) * sum(weights)) + 1
        todo += [(operation, mode, share) for mode in modes]
    findings = Findings()
    jobs = iter(todo)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                found = next(jobs, None)
            if found is None:
                return
            _send_all(url, *found, seed, findings)

    threads = [threading.Thread(target=work) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return findings


def _send_all(url: str, operation: Any, mode: Any, share: int, seed: int, found: Findings) -> None:
    """Send so many requests of an operation, or say why there are fewer."""
    from hypothesis.errors import HypothesisException

    sent, why = 0, ""
    for attempt in range(_MOST_ATTEMPTS):
        count = _Counted(url, found)
        try:
            _generate(operation, mode, share - sent, seed * _MOST_ATTEMPTS + attempt, count)
        except (HypothesisException, ValueError) as error:  # Schemathesis cannot write this one
            why = str(error)
        sent += count.sent
        if sent >= share:
            return
    found.less.append(f"{operation.method} {operation.path}, {mode.value}: {why}"[:200])


@dataclass
class _Counted:
    """Sends cases, and counts them."""

    url: str
    found: Findings
    sent: int = 0

    def __call__(self, case: Any) -> None:
        """Send a case."""
        _with_few_steps(case)
        begun = time.monotonic()
        try:
            status = case.call(base_url=self.url, timeout=LATEST).status_code
        except OSError:  # of `requests`, late answers among them
            status = None
        self.sent += 1
        self.found.add(status, time.monotonic() - begun, lambda: str(case.as_curl_command()))


def _generate(
    operation: Any, mode: Any, count: int, seed: int, send: Callable[[Any], None]
) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    @seeded(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        send(case)

    one()


def _with_few_steps(case: Any) -> None:
    """Keep the work of an allowed request small; what is forbidden stays as it is."""
    body = case.body
    if not isinstance(body, dict) or "prompt" not in body:
        return
    for name in _STEPS:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 200:
            body[name] = min(value, _FEW)
    if not set(_STEPS[:2]) & set(body):
        body[_STEPS[0]] = _FEW


def figures(process_id: int) -> dict[str, int]:
    """MiB of memory, open files and threads of a process."""
    folder = Path(f"/proc/{process_id}")
    words = {
        name: value
        for name, _, value in (
            line.partition(":") for line in (folder / "status").read_text().splitlines()
        )
    }
    return {
        "memory_mib": int(words["VmRSS"].split()[0]) >> 10,
        "open_files": len(list((folder / "fd").iterdir())),
        "threads": int(words["Threads"]),
    }


def picture(url: str) -> str:
    """The picture of a fixed request."""
    answer = httpx.post(f"{url}/v1/images/generations", json=_PICTURE, timeout=LATEST)
    answer.raise_for_status()
    return str(answer.json()["data"][0]["b64_json"])


def _judged(findings: Findings, before: dict[str, int], after: dict[str, int]) -> list[str]:
    problems = list(findings.failures)
    if after["memory_mib"] - before["memory_mib"] > GROWTH_MIB:
        problems.append("the process grew")
    if after["open_files"] - before["open_files"] > 10:
        problems.append("files stay open")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fuzzer.

    Returns:
        0 when every request was answered as it must be, 1 when one was not, 2 without Schemathesis.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz_server", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--requests", type=int, default=10_000, help="about how many (10000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other requests")
    options = parser.parse_args(arguments)
    if find_spec("schemathesis") is None:
        sys.stderr.write('Schemathesis is not installed: pip install "schemathesis>=4"\n')
        return 2
    with served() as (url, process_id):
        first, before = picture(url), figures(process_id)
        findings = fuzz(url, options.requests, options.seed)
        problems = _judged(findings, before, after := figures(process_id))
        if picture(url) != first:
            problems.append("the server makes another picture than before")
    statuses = dict(sorted(findings.statuses.items()))
    for name, value in itertools.chain(
        {"requests": findings.statuses.total(), "statuses": statuses}.items(),
        {"slowest": round(findings.slowest, 2), "before": before, "after": after}.items(),
        {"less": findings.less}.items(),
    ):
        sys.stdout.write(f"{name}: {json.dumps(value)}\n")
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
