"""The report in a browser: headless Chromium, at the width of a phone and of a desk, in the light and in the dark."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import website

from luckmatters.report.gather import Material

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")

# Loads page after page in a frame of some width, and writes what is wrong with it.
HARNESS = """<!doctype html><meta charset="utf-8"><pre id="found">not finished</pre><script>
const [width, names] = PLAN, found = {};
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
function ground(element) {
  for (let one = element; one; one = one.parentElement) {
    const color = parse(getComputedStyle(one).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color;
  }
  return [255, 255, 255];
}
function weak(document) {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), low = [];
  for (let node; (node = walker.nextNode()); ) {
    const around = node.parentElement, style = getComputedStyle(around);
    if (!node.data.trim() || ["SCRIPT", "OPTION"].includes(around.tagName) || !around.getClientRects().length) continue;
    const text = parse(around instanceof around.ownerDocument.defaultView.SVGElement ? style.fill : style.color);
    const [a, b] = [luminance(text), luminance(ground(around))].sort((x, y) => x - y);
    if ((b + 0.05) / (a + 0.05) < 4.5) low.push(node.data.trim().slice(0, 30) + " " + text + " on " + ground(around));
  }
  return low;
}
async function visit(name) {
  const frame = document.body.appendChild(document.createElement("iframe"));
  Object.assign(frame.style, { width: width + "px", height: "800px", border: 0 });
  await new Promise((done) => { frame.onload = done; frame.src = name; });
  const page = frame.contentDocument, faults = [];
  for (const one of page.querySelectorAll("details")) one.open = true;
  for (const image of page.images) {
    image.loading = "eager";
    await image.decode().catch(() => {});
    if (!image.naturalWidth) faults.push("picture does not load: " + image.src);
  }
  const root = page.documentElement;
  if (root.scrollWidth > width) {
    const wide = [...page.body.querySelectorAll("*")].filter((one) => one.getBoundingClientRect().right > width + 1
      && !one.closest(".scroll, pre"));
    faults.push("scrolls sideways: " + wide.slice(0, 3).map((one) => one.tagName + "." + one.className).join(", "));
  }
  faults.push(...weak(page).slice(0, 3).map((text) => "contrast: " + text));
  const explorer = page.querySelector(".explorer");
  if (explorer) {
    const form = explorer.querySelector("form"), lines = () => explorer.querySelectorAll("path").length;
    const all = lines(), box = form.querySelector("input[name=layer]");
    if (explorer.hidden || !all) faults.push("explorer: draws nothing");
    box.click();
    if (!(lines() < all)) faults.push("explorer: a layer is not hidden");
    box.click();
    form.elements.scale.value = "log";
    form.dispatchEvent(new Event("change"));
    if (lines() !== all) faults.push("explorer: the logarithmic scale loses lines");
    form.elements.seed.selectedIndex = 1;
    form.dispatchEvent(new Event("change"));
    if (!explorer.querySelector("path.on")) faults.push("explorer: no seed is chosen");
  }
  const filter = page.querySelector(".filters input");
  if (filter) {
    const shown = () => [...page.querySelectorAll("tr.claim")].filter((row) => row.getClientRects().length).length;
    const before = shown(), count = Number(filter.parentElement.querySelector("b").textContent);
    filter.click();
    if (shown() !== before - count) faults.push("filter: " + before + " rows, " + shown() + " without " + count);
  }
  if (matchMedia("(prefers-color-scheme: dark)").matches) faults.push("is dark");
  frame.remove();
  return faults;
}
(async () => {
  for (const name of names) found[name] = await visit(name);
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


def visited(folder: Path, width: int, *, dark: bool = False, changes: dict[str, str] | None = None) -> dict:
    """Faults by page, and under ``console`` what the browser's console says."""
    names = [name for name in website.pages(folder) if name != "harness.html"]
    (folder / "harness.html").write_text(HARNESS.replace("PLAN", json.dumps([width, names])), encoding="utf-8")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--dump-dom",
        "--timeout=120000",
    ]
    options += [
        "--virtual-time-budget=600000",
        "--window-size=1400,900",
        *["--blink-settings=preferredColorScheme=0"] * dark,
    ]
    try:
        with website.served(folder) as address:
            command = [CHROMIUM, *options, f"{address}/harness.html"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    finally:
        (folder / "harness.html").unlink()
    (content,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    found = json.loads(html.unescape(content))
    modes = {"is dark" in faults for faults in found.values()}
    assert modes == {dark}, "the browser is not in the mode that was asked for"
    found = {name: [fault for fault in faults if fault != "is dark"] for name, faults in found.items()}
    return found | {"console": re.findall(r"CONSOLE.*", done.stderr)}


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1280, False), (360, True)])
def test_every_page_is_whole_in_a_browser(report: tuple[Path, Material], width: int, dark: bool) -> None:
    """No console error, every picture, no sideways scrolling, contrast AA, explorer and filters at work."""
    found = visited(report[0], width, dark=dark)
    assert {name: faults for name, faults in found.items() if faults} == {}
    assert len(found) > 40


def test_the_browser_finds_faults(report: tuple[Path, Material], tmp_path: Path) -> None:
    """A page with one of each: too wide, too pale, a picture that is not there, a script that fails."""
    (tmp_path / "bad.html").write_text(
        '<body style="background:#fff"><p style="color:#999">pale</p><div style="width:500px">wide</div>'
        '<img src="none.png"><script>missing()</script>'
    )
    found = visited(tmp_path, 360)
    words = " ".join(found["bad.html"])
    assert all(part in words for part in ("scrolls sideways: DIV", "contrast: pale", "picture does not load"))
    assert any("missing is not defined" in line for line in found["console"])
