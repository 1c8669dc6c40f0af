from __future__ import annotations

import json
import os
import shutil

import pytest
from matplotlib import pyplot as plt

import sigilla as sg

HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd()",
    "mTOR/PI3K inhibitor",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}",
    "x" * 200,
    "ビタミンD受容体",
    "$x_{$",
    "Ингибитор тирозинкиназы",
    "β-αναστολέας & \"two\" 'quotes', &amp; a comma",
]


@pytest.fixture(scope="session")
def hostile():
    """Class names that try to be something else, or that nobody expects."""
    return HOSTILE


@pytest.fixture(scope="session")
def simulated():
    """Ten hostile class names, four perturbagens each, and some signatures without a class."""
    return sg.datasets.simulate_lincs(
        classes=HOSTILE,
        class_sizes=[12] * len(HOSTILE),
        n_genes=25,
        n_unlabelled=6,
        noise=0.3,
        cell_lines=["A375"],
        doses=[1.0, 3.0, 10.0],
        random_state=0,
    )


@pytest.fixture(scope="session")
def fitted(simulated):
    return sg.tl.svqvae(simulated, max_epochs=4, copy=True)


@pytest.fixture(scope="session")
def folder(fitted, tmp_path_factory):
    """A report on hostile names."""
    out = tmp_path_factory.mktemp("report")
    figures = plt.get_fignums()
    paths = sg.report.pcl_correlation(
        fitted, out, n_splits=1, title="<b>A & B</b>", date=None, progress=False
    )
    assert paths == [out / "report.html"]
    assert plt.get_fignums() == figures
    return out


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def chromium(downloads):
    """Debian's Chromium without a screen, or a skip that says what to install."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium comes with the extra test"
    )

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument("--window-size=1280,900")
    options.add_argument("--force-prefers-reduced-motion")  # what is clicked stands still
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium has none for the superuser
    options.add_experimental_option(
        "prefs",
        {"download.default_directory": str(downloads), "download.prompt_for_download": False},
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With the path given, selenium looks for no driver elsewhere.
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def visit(chromium):
    """Opens a page; in the end the browser must have had nothing to say, and nothing to fetch."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get("about:blank")  # a page opened twice in a row may keep what was chosen on it
    for log in ("browser", "performance"):
        chromium.get_log(log)

    def visit_(path):
        chromium.get(path.as_uri())
        return chromium

    yield visit_
    assert chromium.get_log("browser") == []
    messages = [json.loads(m["message"])["message"] for m in chromium.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [s["request"]["url"].partition("#")[0] for s in sent]
    assert any(url.startswith("file:") for url in urls)
    assert {url.partition(":")[0] for url in urls} <= {"file", "data", "blob"}
    assert not [url for url in urls if url.startswith("file:") and not url.endswith(".html")]
