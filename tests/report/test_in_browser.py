"""Pages as Chromium shows them, without a network."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.report.benchmark import benchmark_page
from benchmark_records import confusions, every_kind, examples, suspects
from browser import Browser
from pages import HOSTILE

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

# Every text that is drawn, its colour and that of what is behind it, and how they differ by WCAG's formula.
UNREADABLE = """
(() => {
  const channels = (colour) => (colour.match(/[0-9.]+/g) || []).map(Number);
  const luminance = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = channels(colour).map((channel) => linear(channel / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const clear = (colour) => channels(colour).length === 4 && channels(colour)[3] === 0;
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!clear(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("style, defs") || !element.getClientRects().length) continue;
    seen += 1;
    const style = getComputedStyle(element);
    const ink = luminance(element.closest("svg") ? style.fill : style.color);
    const paper = luminance(behind(element));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (!(contrast >= 4.5)) found.push([walker.currentNode.data.trim(), contrast]);
  }
  return { seen, found };
})()
"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Tables that are wider than the page, and are not in a box of their own.
OUTSIDE = """
[...document.querySelectorAll("table")].filter((table) => {
  const box = table.closest(".scroll");
  return !box || getComputedStyle(box).overflowX !== "auto" || box.getBoundingClientRect().right > innerWidth;
}).map((table) => table.textContent.slice(0, 60))
"""
UNSEEN = "[...document.images].filter((image) => !image.complete || !image.naturalWidth).length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(str(CHROMIUM), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report with usual names, and one with all that are hostile."""
    folder = tmp_path_factory.mktemp("reports")
    texts = {
        "usual": benchmark_page([*every_kind(), *suspects()], examples(), confusions()),
        "hostile": benchmark_page(
            [*every_kind(HOSTILE[5:9], HOSTILE[::-1]), *suspects(HOSTILE[5:9])],
            examples(HOSTILE[5:], HOSTILE[::-1]),
            confusions(HOSTILE[5:9], HOSTILE),
        ),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_a_report_is_shown_whole(
    browser: Browser, written: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    browser.open(written[name], width, scheme)
    assert browser.value(OVERFLOW) == 0
    assert browser.value(OUTSIDE) == []
    assert browser.value("document.images.length") == 6
    assert browser.value(UNSEEN) == 0
    contrast = browser.value(UNREADABLE)
    assert contrast["seen"] > 300
    assert contrast["found"] == []
    said = [event for event in browser.events if event.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled")]
    assert not said
    requests = [event for event in browser.events if event.get("method") == "Network.requestWillBeSent"]
    addresses = {event["params"]["request"]["url"].partition(":")[0] for event in requests}
    assert addresses <= {"file", "data"}
    assert browser.value("document.scripts.length") == 0


@pytest.mark.parametrize(("scheme", "darkest"), [("light", False), ("dark", True)])
def test_the_colours_follow_the_reader(browser: Browser, written: dict[str, Path], scheme: str, darkest: bool) -> None:
    browser.open(written["usual"], 1280, scheme)
    picture = np.asarray(Image.open(io.BytesIO(browser.screenshot())).convert("L"))
    assert picture.shape[1] == 1280
    assert picture.shape[0] > 3000
    assert (np.median(picture) < 60) == darkest
    assert picture.std() > 10
