"""The page in a real browser, with a model that has no networks."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.kandinsky_server.conftest import Serve
from tests.support.fake_engine import FakeEngine, colour_of

selenium = pytest.importorskip("selenium", reason="selenium drives the browser")
BROWSER, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
PATIENCE = 15  # seconds


@pytest.fixture
def browser() -> Iterator[Any]:
    if BROWSER is None or DRIVER is None:
        pytest.skip("Debian's packages chromium and chromium-driver are not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in ("--headless=new", "--no-sandbox", "--window-size=1280,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "INFO"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


class Page:
    """What a person does with the page."""

    def __init__(self, driver: Any, server: Any) -> None:
        self.driver = driver
        self.url = server.url
        driver.get(self.url)
        self.one("#form")

    def until(self, found: Callable[[], Any]) -> Any:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.wait import WebDriverWait

        waiting = WebDriverWait(
            self.driver, PATIENCE, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        return waiting.until(lambda _: found())

    def all(self, selector: str) -> list[Any]:
        shown = self.driver.find_elements("css selector", selector)
        return [element for element in shown if element.is_displayed()]

    def one(self, selector: str) -> Any:
        return self.until(lambda: self.all(selector))[0]

    def press(self, text: str) -> None:
        self.until(lambda: [one for one in self.all("button") if one.text == text])[0].click()

    def choose(self, task: str) -> None:
        self.one(f"#tasks label:has([value={task}])").click()

    def draw(self) -> None:
        """Draw a stroke over the middle of the picture."""
        from selenium.webdriver import ActionChains

        hand = ActionChains(self.driver).move_to_element_with_offset(self.one("canvas"), -40, 0)
        hand.click_and_hold().move_by_offset(40, 20).move_by_offset(40, 0).release().perform()

    def read(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{path}") as answer:
            return bytes(answer.read())

    def newest(self, state: str) -> Any:
        """Wait until the newest job is in a state, and return it."""

        def found() -> Any:
            job = json.loads(self.read("v1/jobs"))["data"][0]
            return job if job["status"] == state else None

        return self.until(found)

    def picture(self, job: Any) -> Image.Image:
        return Image.open(BytesIO(self.read(f"v1/images/{job['id']}/content")))


@pytest.mark.slow(seconds=15)
def test_a_person_makes_pictures(serve: Serve, browser: Any) -> None:
    engine = FakeEngine(step_seconds=0.2)
    page = Page(browser, serve(engine))
    page.one("#create").click()
    assert "Write what the picture should show" in page.one(".problem").text
    page.one("#prompt").send_keys("a blue circle")
    page.one("#create").click()
    page.one("#stage img[src^='data:image/png']")  # a preview
    page.one(".tile.completed")
    first = page.newest("completed")
    assert page.picture(first).getpixel((0, 0)) == colour_of(first["seeds"][0])

    engine.gate.clear()  # the next job waits in its first step, and is cancelled there
    page.one("#create").click()
    page.press("Cancel")
    engine.gate.set()
    page.newest("cancelled")

    page.all(".tile.completed")[0].click()
    page.press("Use as input")
    page.choose("inpaint")
    page.draw()
    page.one("#create").click()
    job = page.newest("completed")
    assert job["task"] == "inpaint"
    mask = Image.open(BytesIO(page.read(f"v1/jobs/{job['id']}/inputs/mask"))).convert("L")
    share = sum(mask.histogram()[128:]) / (mask.width * mask.height)
    assert 0.04 < share < 0.3  # a stroke, and not all of it

    browser.refresh()
    page.until(lambda: len(page.all(".tile.completed")) == 2)
    page.all(".tile.completed")[-1].click()
    page.press("Use seed")
    page.one("#prompt").send_keys("a blue circle")
    page.one("#create").click()
    page.until(lambda: len(page.all(".tile.completed")) == 3)
    again = page.newest("completed")
    assert again["seeds"] == first["seeds"]
    assert page.picture(again).tobytes() == page.picture(first).tobytes()
    assert browser.get_log("browser") == []


@pytest.mark.slow(seconds=8)
def test_adapters_pictures_beside_the_prompt_and_a_full_queue(
    serve: Serve, browser: Any, tmp_path: Path
) -> None:
    engine = FakeEngine()
    page = Page(browser, serve(engine, max_queue=1))
    Image.new("RGB", (16, 16), (9, 8, 7)).save(tmp_path / "a.png")
    page.one("#prompt").send_keys("a cat")
    page.one("[data-param='lora.style'] input").send_keys("0.5")
    page.one("#more summary").click()
    browser.find_element("css selector", "[data-param=ip_images] [type=file]").send_keys(
        str(tmp_path / "a.png")
    )
    page.one("[data-param=ip_images] img")
    engine.gate.clear()
    page.one("#create").click()
    page.one(".tile")
    first = page.newest("running")
    assert (first["lora"], first["inputs"]) == ({"style": 0.5}, {"ip_images": 1})
    page.one("#create").click()  # this one waits, and the next one finds no room
    page.newest("queued")
    page.one("#create").click()
    assert "Sent again in" in page.until(lambda: page.one("#problem").text)
    engine.gate.set()
    page.until(lambda: len(page.all(".tile.completed")) == 3)
    page.all(".tile.completed")[-1].click()
    assert "style 0.5" in page.one("#stage").text
    page.one("[data-param='lora.style'] input").clear()
    page.press("Use all")
    page.until(lambda: page.one("[data-param='lora.style'] input").get_attribute("value") == "0.5")
    refused = [entry for entry in browser.get_log("browser") if "429" not in entry["message"]]
    assert refused == []
