"""Loads a server of `shapes` with many clients, and checks every picture against its seed.

    python -m benchmarks.serving
    python -m benchmarks.serving --clients 2 8 32 --seconds 180 --json serving.json

The clients ask for pictures of several seeds and tasks, cancel jobs, leave in the middle, and send
wrong requests. The same pictures are made in a loop first, in a process of their own, which tells
what serving costs.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.turns import machine, write_json

STEPS = {"num_inference_steps": 20, "prior_num_inference_steps": 10}
PROMPTS = ("a red circle on blue", "a green square on white", "a yellow star on black")
SEEDS = range(4)
BATCH_SIZES = "1,2,4"
CLOSE = (
    12  # levels of 255 by which batches of other sizes may change a pixel, far below other seeds
)
PATIENCE = 600.0


@dataclass
class Found:
    """What the clients of one round met."""

    latencies: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: str, seconds: float | None = None) -> None:
        """Count one request."""
        with self.lock:
            self.outcomes[outcome] += 1
            if seconds is not None:
                self.latencies.append(seconds)


@contextmanager
def served() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own."""
    warm = ("text2image", "img2img")
    words = [word for task in warm for word in ("--warm", task)]
    command = [sys.executable, "-m", "kandinsky_cli.main", "serve", "--port", "0", "-q"]
    command += ["--batch-sizes", BATCH_SIZES, "--max-queue", "64", "--drain-delay", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[0]
            with httpx.Client(base_url=url) as client:
                while client.get("/readyz").status_code != 200:
                    time.sleep(0.2)
            yield url, process
        finally:
            process.terminate()


def expected(url: str) -> dict[tuple[str, int], Any]:
    """Ask for each picture alone."""
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        return {
            (prompt, seed): picture(client.post("/v1/images/generations", json=body(prompt, seed)))
            for prompt, seed in itertools.product(PROMPTS, SEEDS)
        }


def body(prompt: str, seed: int) -> dict[str, Any]:
    """A request's fields."""
    return {"prompt": prompt, "seed": seed, **STEPS}


def picture(answer: httpx.Response) -> Any:
    """The pixels of an answer."""
    content = base64.b64decode(answer.json()["data"][0]["b64_json"])
    return np.asarray(Image.open(BytesIO(content)), np.int16)


def client(url: str, until: float, known: dict[Any, Any], found: Found, seed: int) -> None:
    """Ask until the time is over."""
    dice = random.Random(seed)
    kinds = ["ask"] * 14 + ["change", "job", "cancel", "leave", "wrong"]
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        while time.monotonic() < until:
            prompt, own = dice.choice(PROMPTS), dice.choice(SEEDS)
            kind = dice.choice(kinds)
            try:
                _ACTIONS[kind](http, prompt, own, known, found)
            except httpx.HTTPError as error:
                found.add(f"lost: {type(error).__name__}")


def ask(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found) -> None:
    """Ask for a picture and compare it; wait as long as a full queue says."""
    begun = time.monotonic()
    while True:
        answer = http.post("/v1/images/generations", json=body(prompt, seed))
        if answer.status_code != 429:
            break
        found.add("busy")
        time.sleep(min(5.0, float(answer.headers["retry-after"])))
    if answer.status_code != 200:
        found.add(f"status {answer.status_code}")
        return
    near = int(np.abs(picture(answer) - known[prompt, seed]).max()) <= CLOSE
    found.add("right" if near else "another's picture", time.monotonic() - begun)


def change(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found) -> None:
    """Change a picture."""
    held = BytesIO()
    Image.fromarray(known[prompt, seed].astype(np.uint8)).save(held, "PNG")
    files = {"image": ("a.png", held.getvalue(), "image/png")}
    answer = http.post("/v1/images/edits", data={"prompt": prompt, "steps": "10"}, files=files)
    found.add("changed" if answer.status_code == 200 else f"status {answer.status_code}")


def job(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found) -> None:
    """Submit a job and wait for it."""
    answer = http.post("/v1/jobs", json=body(prompt, seed))
    if answer.status_code != 202:
        found.add(f"job status {answer.status_code}")
        return
    where = answer.headers["location"]
    while (state := http.get(where).json()["status"]) not in ("completed", "failed", "cancelled"):
        time.sleep(0.1)
    found.add(f"job {state}")


def cancel(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found) -> None:
    """Submit a job and cancel it."""
    answer = http.post("/v1/jobs", json=body(prompt, seed))
    if answer.status_code == 202:
        done = http.post(f"{answer.headers['location']}/cancel").status_code
        found.add("cancelled" if done in (200, 409) else f"cancel status {done}")


def leave(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found) -> None:
    """Leave before the answer."""
    try:
        http.post("/v1/images/generations", json=body(prompt, seed), timeout=0.05)
    except httpx.TimeoutException:
        found.add("left")


def wrong(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found) -> None:
    """Send a request that is refused."""
    answer = http.post("/v1/images/generations", json={"prompt": prompt, "stepz": seed})
    found.add("refused" if answer.status_code == 400 else f"wrong status {answer.status_code}")


_ACTIONS = {function.__name__: function for function in (ask, change, job, cancel, leave, wrong)}


def in_a_loop(seconds: float) -> float:
    """Pictures a second of the pipeline called in a loop; it runs in a process of its own."""
    from kandinsky_core import AutoPipelineForText2Image

    pipe = AutoPipelineForText2Image.from_pretrained("shapes")
    pipe.set_progress_bar_config(disable=True)
    pipe(PROMPTS[0], seed=[0], **STEPS)
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        pipe(PROMPTS[count % len(PROMPTS)], seed=[count % len(SEEDS)], **STEPS)
        count += 1
    return count / (time.monotonic() - begun)


def figures(url: str, process_id: int) -> dict[str, float]:
    """Compilations so far, and the memory of the server's process in MiB."""
    compiled = 0.0
    for line in httpx.get(f"{url}/metrics").text.splitlines():
        if line.startswith("kandinsky_compilations_total"):
            compiled = float(line.split()[-1])
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return {"compilations": compiled, "memory_mib": pages * resource.getpagesize() / 2**20}


def load(url: str, process_id: int, clients: int, seconds: float) -> dict[str, Any]:
    """Run one round, and return its figures."""
    known, found = expected(url), Found()
    before = figures(url, process_id)
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=client, args=(url, until, known, found, number))
        for number in range(clients)
    ]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.monotonic() - begun
    after = figures(url, process_id)
    cuts = statistics.quantiles(found.latencies, n=100) if len(found.latencies) > 1 else [0.0] * 99
    return {
        "clients": clients,
        "outcomes": dict(found.outcomes),
        "pictures_a_second": (found.outcomes["right"] + found.outcomes["changed"]) / spent,
        "latency": {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]},
        "compilations": after["compilations"] - before["compilations"],
        "memory_mib": [before["memory_mib"], after["memory_mib"]],
    }


def main() -> None:
    """Measure the loop in a child process, then the server under load."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--seconds", type=float, default=180.0, help="of each round (180)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        sys.stdout.write(f"{in_a_loop(min(30.0, options.seconds))}\n")
        return
    words = [
        sys.executable,
        "-m",
        "benchmarks.serving",
        "--loop",
        "--seconds",
        str(options.seconds),
    ]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = {"machine": machine(), "loop": float(done.stdout.split()[-1])}
    sys.stdout.write(f"a loop of calls: {result['loop']:.2f} pictures a second\n")
    with served() as (url, process):
        result["rounds"] = []
        for clients in options.clients:
            found = load(url, process.pid, clients, options.seconds)
            result["rounds"].append(found)
            sys.stdout.write(f"{found}\n")
            sys.stdout.flush()
    result["machine"]["load_after"] = machine()["load"]
    write_json(options.json, result)


if __name__ == "__main__":
    main()
