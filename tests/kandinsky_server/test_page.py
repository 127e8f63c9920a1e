"""The page's files: what is served, how large they are, and that nothing leads out of them."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

import kandinsky_server
from kandinsky_server.requests.fields import FIELDS
from kandinsky_server.requests.picture_request import TASKS
from kandinsky_server.server import KandinskyServer
from kandinsky_server.settings import ServerSettings
from tests.support.fake_engine import FakeEngine

FOLDER = Path(kandinsky_server.__file__).parent / "page"
NAMES = sorted(path.name for path in FOLDER.iterdir())


def ask(
    server: Any, path: str, method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, Any, bytes]:
    """Send a path as it is, which a client of a library would tidy up first."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_the_page_is_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in NAMES) < 60_000


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """One server for all tests here, with a key."""
    settings = ServerSettings(port=0, models={"fake": "fake"}, api_keys=("right",), max_pixels=4096)
    with KandinskyServer(settings, lambda _: {"fake": FakeEngine()}) as running:
        yield running


KEY = {"Authorization": "Bearer right"}


def test_all_files_are_served_and_kept_by_browsers(server: Any) -> None:
    kinds = {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "svg": "image/svg+xml",
    }
    for path, name in [("/", "index.html"), *((f"/static/{name}", name) for name in NAMES)]:
        status, headers, content = ask(server, path)  # without a key: the page asks for it
        assert (status, content) == (200, (FOLDER / name).read_bytes())
        assert headers["Content-Type"].split(";")[0] == kinds[name.rpartition(".")[2]]
        assert headers["Cache-Control"] == "no-cache"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        again = ask(server, path, **{"If-None-Match": f'"other", W/{headers["ETag"]}'})
        assert (again[0], again[2]) == (304, b"")
    assert ask(server, "/", "HEAD")[0] == 200
    assert ask(server, "/favicon.ico")[1]["Content-Type"] == "image/svg+xml"
    assert ask(server, "/v1/capabilities")[0] == 401


def test_no_path_leads_out_of_the_page(server: Any) -> None:
    for path in (
        "/static/../settings.py",
        "/static/..%2fsettings.py",
        "/static/%2e%2e/settings.py",
        "/static/..%5csettings.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/style.css%00.js",
        "/static/./style.css",
        "/static/",
    ):
        status, _, content = ask(server, path)
        assert status == 404, path
        assert json.loads(content)["error"]["code"] == "not_found"


class Resources(HTMLParser):
    """Collects what a page refers to, and what a strict policy for scripts forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.forbidden: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [str(given[name]) for name in ("src", "href") if name in given]
        self.ids += [str(given["id"])] if "id" in given else []
        self.forbidden += [f"{tag} {name}" for name in given if name[:2] == "on" or name == "style"]
        self.forbidden += [tag] if tag == "style" else []
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "script" and data.strip():
            self.forbidden.append(data)


def test_the_page_needs_nothing_from_elsewhere_and_nothing_inline() -> None:
    page = Resources()
    page.feed((FOLDER / "index.html").read_text())
    assert page.forbidden == []
    assert all(name.removeprefix("static/") in NAMES for name in page.found)
    assert len(page.ids) == len(set(page.ids))
    imported = set()
    for path in FOLDER.glob("*.js"):
        script = path.read_text()
        imported |= set(re.findall(r'from "\./([^"]+)"', script))
        assert not re.search(r"innerHTML|outerHTML|\beval\(|new Function|https?://", script), path
        used = set(re.findall(r'\$\("#([a-z-]+)', script))
        assert used <= set(page.ids), path
    assert imported | {"main.js"} == {name for name in NAMES if name.endswith(".js")}


def test_the_page_has_words_for_all_tasks_and_options() -> None:
    script = (FOLDER / "words.js").read_text()
    tasks, options = (
        re.findall(r"^\t(\w+):", part, re.M)
        for part in re.findall(r"export const [A-Z]+ = \{\n(.*?)\n\};", script, re.S)
    )
    assert sorted(tasks) == sorted(TASKS)
    shown = {name for name, field in FIELDS.items() if field.option} | {"ip_scale"}
    assert sorted(options) == sorted(shown)


def test_a_job_returns_the_pictures_that_it_starts_from(server: Any) -> None:
    held = BytesIO()
    Image.new("RGB", (16, 8), (9, 8, 7)).save(held, "PNG")
    body = {"prompt": "a", "image": base64.b64encode(held.getvalue()).decode()}
    job = json.loads(ask(server, "/v1/jobs", "POST", body, **KEY)[2])
    assert job["inputs"] == {"image": 1}
    path = f"/v1/jobs/{job['id']}/inputs"
    status, headers, content = ask(server, f"{path}/image?index=0", **KEY)
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert Image.open(BytesIO(content)).getpixel((3, 3)) == (9, 8, 7)
    for wrong in ("image?index=1", "image?index=-1", "mask", "prompt"):
        assert ask(server, f"{path}/{wrong}", **KEY)[0] == 404
    assert ask(server, f"{path}/image")[0] == 401


def test_capabilities_tell_the_largest_picture(server: Any) -> None:
    found = json.loads(ask(server, "/v1/capabilities", **KEY)[2])
    assert found["models"]["fake"]["max_pixels"] == 4096
