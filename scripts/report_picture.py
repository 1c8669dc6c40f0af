"""Photograph the report on a real plate: summary, heatmap and the first pairs.

``SIGILLA_MIRROR=DIR python scripts/report_picture.py`` writes ``docs/_static/report.png``, in a
minute or two. It needs selenium (extra ``test``) and Debian's ``chromium`` and ``chromium-driver``.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
from PIL import Image
from selenium import webdriver

import sigilla as sg

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT = Path(__file__).parents[1] / "docs/_static/report.png"
PLATE = "lincs/l1000_ljp005_a375_zs.h5ad"
LARGEST = 400_000  # bytes
WIDTH, GAP = 1100, 16
# Parts of the page, from the top of one element to the bottom of another.
PARTS = (
    ("h1", "h1"),
    ("#summary", ".said li:nth-child(6)"),
    ("figure.heatmap img", "figure.heatmap img"),
    ("[data-tools=all-pairs]", "#all-pairs tbody tr:nth-child(5)"),
)


def main() -> None:
    """Fit, report, photograph."""
    mirror = os.environ.get("SIGILLA_MIRROR")
    if not mirror:
        sys.exit(f"set SIGILLA_MIRROR to a folder that holds {PLATE}")
    adata = ad.read_h5ad(Path(mirror) / PLATE)
    # A compound of several mechanisms counts for its first, one of unknown mechanism for none.
    first = adata.obs["moa"].astype(str).str.split("; ").str[0]
    adata.obs["mechanism"] = first.where(first != "unknown").astype("category")
    sg.tl.svqvae(adata, "mechanism")
    with tempfile.TemporaryDirectory() as folder:
        sg.report.pcl_correlation({"LINCS plate LJP005, A375 cells": adata}, folder)
        with browser() as driver:
            driver.get((Path(folder) / "report.html").as_uri())
            picture = stacked([photographed(driver, *part) for part in PARTS])
    picture.save(OUT, optimize=True)
    size = OUT.stat().st_size
    print(f"{OUT}: {picture.width} x {picture.height}, {size / 1000:.0f} kB")
    if size > LARGEST:
        sys.exit(f"more than {LARGEST / 1000:.0f} kB")


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium at a desktop's width."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        sys.exit("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", f"--window-size={WIDTH},900"):
        options.add_argument(argument)
    found = webdriver.Chrome(options, webdriver.ChromeService(executable_path=driver))
    try:
        yield found
    finally:
        found.quit()


def photographed(driver: webdriver.Chrome, top: str, bottom: str) -> Image.Image:
    """The page from the top of one element to the bottom of another."""
    start, end = driver.execute_script(
        "return [...arguments].map((s) => document.querySelector(s).getBoundingClientRect())"
        ".map((box, i) => scrollY + (i ? box.bottom : box.top))",
        top,
        bottom,
    )
    clip = {"x": 0, "y": start, "width": WIDTH, "height": end - start, "scale": 1}
    taken = driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
    )
    return Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")


def stacked(parts: list[Image.Image]) -> Image.Image:
    """One below the other, with white between."""
    height = sum(part.height + GAP for part in parts) + GAP
    whole = Image.new("RGB", (max(part.width for part in parts), height), "white")
    top = GAP
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height + GAP
    return whole


if __name__ == "__main__":
    main()
