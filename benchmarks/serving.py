"""Loads a server of `shapes` with many clients, and checks every picture against its seed.

    python -m benchmarks.serving
    python -m benchmarks.serving --clients 2 8 32 --seconds 180 --json serving.json

The clients ask for pictures of several seeds, sizes and tasks (text, change, inpainting, mix),
stream them, submit jobs, cancel some, leave in the middle, and send wrong requests. Each picture is
compared with what its seed gave alone.

Before that the same pictures are made in a loop of calls, in a process of its own, and for two
clients that ask for nothing else, several times in turns. What they get less is what serving costs.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
SIZES = ("64x64", "96x64")  # both are compiled before the server is ready
WARM = ("text2image", "text2image@96x64", "img2img", "inpaint", "interpolate")
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
    words = [word for task in WARM for word in ("--warm", task)]
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


def expected(url: str) -> dict[Any, Any]:
    """Ask for each picture alone, by the kind of request, its prompt and its seed."""
    known: dict[Any, Any] = {}
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        for size, prompt, seed in itertools.product(SIZES, PROMPTS, SEEDS):
            answer = client.post("/v1/images/generations", json=body(prompt, seed, size))
            known[size, prompt, seed] = picture(answer)
        for kind, prompt, seed in itertools.product(EDITS, PROMPTS, SEEDS):
            known[kind, prompt, seed] = picture(EDITS[kind](client, prompt, seed, known))
    return known


def body(prompt: str, seed: int, size: str = SIZES[0]) -> dict[str, Any]:
    """A request's fields."""
    return {"prompt": prompt, "seed": seed, "size": size, **STEPS}


def picture(answer: httpx.Response) -> Any:
    """The pixels of an answer."""
    if answer.status_code != 200:
        raise httpx.HTTPError(f"{answer.status_code}: {answer.text[:200]}")
    return opened(answer.json()["data"][0]["b64_json"])


def opened(content: str) -> Any:
    """The pixels of a picture."""
    return np.asarray(Image.open(BytesIO(base64.b64decode(content))), np.int16)


def client(url: str, until: float, known: dict[Any, Any], found: Found, seed: int) -> None:
    """Ask until the time is over."""
    dice = random.Random(seed)
    kinds = ["ask"] * 10 + ["change", "inpaint", "mix", "stream"]
    kinds += ["job", "job", "cancel", "leave", "leave", "wrong"]
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        while time.monotonic() < until:
            prompt, own = dice.choice(PROMPTS), dice.choice(SEEDS)
            kind = dice.choice(kinds)
            try:
                if kind in EDITS:
                    edit(http, kind, prompt, own, known, found)
                else:
                    _ACTIONS[kind](http, prompt, own, known, found, dice.choice(SIZES))
            except httpx.HTTPError as error:
                found.add(f"lost: {type(error).__name__}")


def ask(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found, size: str) -> None:
    """Ask for a picture and compare it; wait as long as a full queue says."""
    begun = time.monotonic()
    answer = patiently(
        found, lambda: http.post("/v1/images/generations", json=body(prompt, seed, size))
    )
    judge(answer, known[size, prompt, seed], found, time.monotonic() - begun)


def patiently(found: Found, send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send a request until the queue has room."""
    while (answer := send()).status_code == 429:
        found.add("busy")
        time.sleep(min(5.0, float(answer.headers["retry-after"])))
    return answer


def judge(answer: httpx.Response, wanted: Any, found: Found, seconds: float | None = None) -> None:
    """Count an answer by whether it is the picture of its seed."""
    if answer.status_code != 200:
        found.add(f"status {answer.status_code}")
        return
    found.add("right" if near(picture(answer), wanted) else "another's picture", seconds)


def near(given: Any, wanted: Any) -> bool:
    """Tell whether two pictures are the same but for the batch that they were made in."""
    return given.shape == wanted.shape and int(np.abs(given - wanted).max()) <= CLOSE


def edit(http: httpx.Client, kind: str, prompt: str, seed: int, known: Any, found: Found) -> None:
    """Change, inpaint or mix pictures, and compare the result."""
    answer = patiently(found, lambda: EDITS[kind](http, prompt, seed, known))
    judge(answer, known[kind, prompt, seed], found)


def png(pixels: Any) -> str:
    """A data URL of pixels."""
    held = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(held, "PNG")
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def change(http: httpx.Client, prompt: str, seed: int, known: Any) -> httpx.Response:
    """Change a picture."""
    image = png(known[SIZES[0], prompt, seed])
    fields = {**body(prompt, seed), "image": image, "num_inference_steps": 10}
    return http.post("/v1/images/edits", json=fields)


def inpaint(http: httpx.Client, prompt: str, seed: int, known: Any) -> httpx.Response:
    """Make the left half of a picture anew."""
    image = known[SIZES[0], prompt, seed]
    mask = np.zeros_like(image)
    mask[:, : mask.shape[1] // 2] = 255
    fields = {**body(prompt, seed), "image": png(image), "mask": png(mask)}
    return http.post("/v1/images/edits", json=fields)


def mix(http: httpx.Client, prompt: str, seed: int, known: Any) -> httpx.Response:
    """Mix a text and a picture."""
    entries = [{"text": prompt, "weight": 0.6}, {"image": 0, "weight": 0.4}]
    fields = {**body(prompt, seed), "mix": entries, "image": png(known[SIZES[0], prompt, seed])}
    del fields["prompt"]
    return http.post("/v1/images/edits", json=fields)


EDITS = {function.__name__: function for function in (change, inpaint, mix)}


def stream(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found, size: str) -> None:
    """Follow a picture as it forms; every fifth client leaves after the first preview."""
    fields = {**body(prompt, seed, size), "stream": True, "partial_images": 2}
    with http.stream("POST", "/v1/images/generations", json=fields) as answer:
        if answer.status_code != 200:
            found.add("busy" if answer.status_code == 429 else f"status {answer.status_code}")
            return
        for line in answer.iter_lines():
            if not line.startswith("data: "):
                continue
            event = json.loads(line.removeprefix("data: "))
            if event.get("type", "").endswith("completed"):
                pixels = opened(event["b64_json"])
                right = near(pixels, known[size, prompt, seed])
                found.add("right" if right else "another's picture")
                return
            if seed == 0:
                found.add("left")
                return
    found.add("a stream without its picture")


def job(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found, size: str) -> None:
    """Submit a job, wait for it, and compare its picture."""
    answer = patiently(found, lambda: http.post("/v1/jobs", json=body(prompt, seed, size)))
    if answer.status_code != 202:
        found.add(f"job status {answer.status_code}")
        return
    where = answer.headers["location"]
    while (state := http.get(where).json()["status"]) not in ("completed", "failed", "cancelled"):
        time.sleep(0.1)
    if state != "completed":
        found.add(f"job {state}")
        return
    content = http.get(f"/v1/images/{where.rpartition('/')[2]}/content").content
    pixels = np.asarray(Image.open(BytesIO(content)), np.int16)
    found.add("job right" if near(pixels, known[size, prompt, seed]) else "another's picture")


def cancel(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found, size: str) -> None:
    """Submit a job and cancel it."""
    answer = http.post("/v1/jobs", json=body(prompt, seed))
    if answer.status_code == 202:
        done = http.post(f"{answer.headers['location']}/cancel").status_code
        found.add("cancelled" if done in (200, 409) else f"cancel status {done}")


def leave(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found, size: str) -> None:
    """Leave before the answer."""
    try:
        http.post("/v1/images/generations", json=body(prompt, seed), timeout=0.05)
    except httpx.TimeoutException:
        found.add("left")


def wrong(http: httpx.Client, prompt: str, seed: int, known: Any, found: Found, size: str) -> None:
    """Send a request that is refused."""
    answer = http.post("/v1/images/generations", json={"prompt": prompt, "stepz": seed})
    found.add("refused" if answer.status_code == 400 else f"wrong status {answer.status_code}")


_ACTIONS = {function.__name__: function for function in (ask, stream, job, cancel, leave, wrong)}


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


def plain(url: str, clients: int, seconds: float) -> float:
    """Pictures a second of clients that ask for what the loop makes, and for nothing else."""
    counts = [0] * clients
    until = time.monotonic() + seconds

    def ask_on(number: int) -> None:
        with httpx.Client(base_url=url, timeout=PATIENCE) as http:
            while True:
                count = counts[number]
                wanted = PROMPTS[count % len(PROMPTS)], SEEDS[count % len(SEEDS)]
                http.post("/v1/images/generations", json=body(*wanted)).raise_for_status()
                if time.monotonic() > until:
                    return
                counts[number] += 1

    threads = [threading.Thread(target=ask_on, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def cost(url: str, turns: int, seconds: float) -> dict[str, Any]:
    """Let the loop and two plain clients take turns, while the other side does nothing."""
    words = [sys.executable, "-m", "benchmarks.serving", "--loop", "--seconds", str(seconds)]
    plain(url, 2, 2.0)
    found: dict[str, Any] = {"loop": [], "plain": []}
    for _ in range(turns):
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        found["loop"].append(float(done.stdout.split()[-1]))
        found["plain"].append(plain(url, 2, seconds))
    shares = [asked / alone for alone, asked in zip(found["loop"], found["plain"], strict=True)]
    found["share"] = statistics.median(shares)
    for name, rates in (("a loop of calls", found["loop"]), ("two clients", found["plain"])):
        sys.stdout.write(f"{name}: {', '.join(f'{rate:.2f}' for rate in rates)} pictures/s\n")
    sys.stdout.write(f"so two clients get {found['share']:.0%} of the loop, by the median\n")
    return found


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
        "pictures_a_second": (found.outcomes["right"] + found.outcomes["job right"]) / spent,
        "latency": {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]},
        "compilations": after["compilations"] - before["compilations"],
        "memory_mib": [before["memory_mib"], after["memory_mib"]],
    }


def main() -> None:
    """Measure the loop in a child process, then the server under load."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--clients",
        type=int,
        nargs="*",
        default=[2, 8, 32],
        help="of each round; none measures only what serving costs (2 8 32)",
    )
    parser.add_argument("--seconds", type=float, default=180.0, help="of each round (180)")
    parser.add_argument("--turns", type=int, default=3, help="of loop and two clients (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turns < 1:
        parser.error(f"--turns {options.turns}: give at least 1")
    if options.loop:
        sys.stdout.write(f"{in_a_loop(options.seconds)}\n")
        return
    result: dict[str, Any] = {"machine": machine()}
    with served() as (url, process):
        result |= cost(url, options.turns, min(30.0, options.seconds))
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
