"""A server without networks in a process of its own, which tests kill.

    python -m tests.support.fake_server STATE_DIR STEP_SECONDS

It prints its address.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kandinsky_server.server import KandinskyServer
from kandinsky_server.settings import ServerSettings
from tests.support.fake_engine import FakeEngine

if __name__ == "__main__":
    folder, step_seconds = Path(sys.argv[1]), float(sys.argv[2])
    settings = ServerSettings(
        port=0, models={"fake": "fake"}, state_dir=folder, drain_delay=0.3, batch_sizes=(1, 2)
    )
    server = KandinskyServer(settings, lambda _: {"fake": FakeEngine(step_seconds)})
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    server.run()
