"""The page in a real browser: it does what it says, shows names as they are, and asks nobody."""

from __future__ import annotations

import base64
import time

import pandas as pd
import pytest

import sigilla as sg

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit, folder):
    """The report, opened anew."""
    return visit(folder / "report.html")


def cells(page, column, table="all-pairs"):
    """What a reader sees in a column, of the rows that are shown."""
    return page.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
        ".filter((row) => row.checkVisibility())"
        ".map((row) => row.cells[arguments[1]].textContent)",
        table,
        column,
    )


def heads(page, table="all-pairs"):
    return page.find_elements("css selector", f"#{table} thead th")


def column(page, name, table="all-pairs"):
    return [h.get_attribute("data-name") for h in heads(page, table)].index(name)


def sort_by(page, name, table="all-pairs"):
    head = heads(page, table)[column(page, name, table)]
    head.find_element("tag name", "button").click()
    return head.get_attribute("aria-sort")


def tools(page, kind, table="all-pairs"):
    return page.find_element("css selector", f"[data-tools={table}] {kind}")


def choose(page, value):
    tools(page, f"option[value='{value}']").click()


def downloaded(downloads, name):
    """The file once it is whole; and gone from there, so that the next is not taken for it."""
    path = downloads / name
    for _ in range(100):
        if path.exists() and not list(downloads.glob("*.crdownload")):
            break
        time.sleep(0.1)
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "pairs.csv")


@pytest.mark.parametrize("name", ["r", "pvalue", "n_a"])
def test_numbers_sort_by_value_both_ways_with_the_missing_last(page, table, name):
    choose(page, "")
    at = column(page, name)
    shown = {"r": "{:.2f}".format, "n_a": "{:,}".format}
    first = sort_by(page, name)
    assert first == ("ascending" if name == "pvalue" else "descending")
    for ascending in (first == "ascending", first != "ascending"):
        expected = table[name].sort_values(ascending=ascending)
        texts = cells(page, at)
        assert len(texts) == len(table)
        if name in shown:
            assert [t.replace("\N{MINUS SIGN}", "-") for t in texts] == [
                shown[name](v) for v in expected
            ]
        else:
            assert [t == "–" for t in texts] == expected.isna().tolist()
            values = [float(t) for t in texts if t[0].isdigit()]
            assert values == sorted(values, reverse=not ascending)
        sort_by(page, name)


def test_names_sort_as_text_and_one_column_at_a_time(page, hostile):
    choose(page, "")
    assert sort_by(page, "class_a") == "ascending"
    names = cells(page, 0)
    groups = [n for i, n in enumerate(names) if i == 0 or names[i - 1] != n]
    assert len(groups) == len(set(groups)) == len(hostile) - 1
    assert sort_by(page, "class_a") == "descending"
    assert cells(page, 0)[0] == groups[-1]
    sort_by(page, "r")
    assert sum(h.get_attribute("aria-sort") is not None for h in heads(page)) == 1


def test_yes_comes_first(page):
    choose(page, "")
    sort_by(page, "nearest")
    answers = cells(page, column(page, "nearest"))
    assert answers == sorted(answers, reverse=True)
    assert {"yes", "no"} == set(answers)


def test_the_page_opens_with_the_telling_pairs_and_shows_others_when_asked(page, table):
    telling = table["significant"] | table["nearest"] | (table.index < 20)
    assert len(cells(page, 0)) == telling.sum() < len(table)
    for kind, rows in {
        "significant": table["significant"],
        "tested": table["qvalue"].notna(),
        "": table["r"].notna(),
    }.items():
        choose(page, kind)
        assert len(cells(page, 0)) == rows.sum()
        assert tools(page, "[role=status]").text == f"{rows.sum()} of {len(table)} rows"


def test_a_class_leads_to_its_genes_though_a_search_has_hidden_them(page, hostile):
    link = page.find_element("css selector", "#all-pairs tbody tr td a")
    name, anchor = link.get_attribute("textContent"), link.get_attribute("hash")[1:]
    other = next(n for n in hostile if n != name)
    tools(page, "input", "class-genes").send_keys(other)
    assert cells(page, 0, "class-genes") == [other]
    link.click()
    row = page.find_element("id", anchor)
    assert row.is_displayed()
    assert row.find_element("tag name", "th").get_attribute("textContent") == name
    assert page.execute_script(
        "const box = arguments[0].getBoundingClientRect();"
        "return box.top >= 0 && box.bottom <= innerHeight",
        row,
    )


def test_searching_keeps_the_rows_with_the_words_whatever_their_case(page, hostile):
    choose(page, "")
    for name in ("<SCRIPT>ALERT(1)", "тирозинкиназы", "D受容体", "\"two\" 'quotes'", "&amp;"):
        search = tools(page, "input")
        search.clear()
        search.send_keys(name)
        found = list(zip(cells(page, 0), cells(page, 1), strict=True))
        assert len(found) == len(hostile) - 1
        assert all(name.lower() in f"{a} {b}".lower() for a, b in found)


def test_a_search_among_few_rows_tells_of_the_others(page, table):
    choose(page, "significant")
    tools(page, "input").send_keys("=cmd()")
    has_it = (table[["class_a", "class_b"]] == "'=cmd()").any(axis=1)
    shown, hidden = (has_it & table["significant"]).sum(), (has_it & ~table["significant"]).sum()
    assert tools(page, "[role=status]").text == (
        f"{shown} of {len(table)} rows" + (f"; {hidden} more among all" if hidden else "")
    )


def test_links_of_the_page_lead_to_their_place(page):
    for link in page.find_elements("css selector", "nav a"):
        target = link.get_attribute("href").partition("#")[2]
        page.execute_script("scrollTo(0, 0)")
        link.click()
        assert page.execute_script("return location.hash") == f"#{target}"
        box = page.execute_script(
            "return document.getElementById(arguments[0]).getBoundingClientRect().toJSON()", target
        )
        assert -1 < box["top"] < 900


def test_the_rows_shown_are_saved_as_the_file_beside_the_page(page, folder, downloads):
    choose(page, "")
    tools(page, ".save").click()
    assert downloaded(downloads, "pairs.csv") == (folder / "pairs.csv").read_bytes()


def test_only_the_rows_shown_are_saved_in_their_order(page, downloads, table):
    choose(page, "")
    tools(page, "input").send_keys("mTOR/PI3K")
    sort_by(page, "r")
    tools(page, ".save").click()
    (downloads / "kept.csv").write_bytes(downloaded(downloads, "pairs.csv"))
    kept = pd.read_csv(downloads / "kept.csv")
    expected = table[(table[["class_a", "class_b"]] == "mTOR/PI3K inhibitor").any(axis=1)]
    expected = expected.sort_values("r", ascending=False, ignore_index=True)
    pd.testing.assert_frame_equal(kept, expected)


def test_classes_are_saved_with_no_name_a_formula(page, downloads, hostile):
    tools(page, ".save", "classes").click()
    (downloads / "kept.csv").write_bytes(downloaded(downloads, "classes.csv"))
    kept = pd.read_csv(downloads / "kept.csv")
    assert set(kept["class"]) == {"'" + n if n == "=cmd()" else n for n in hostile}
    assert kept["class"].tolist() == [
        "'" + n if n == "=cmd()" else n for n in cells(page, 0, "classes")
    ]


def test_names_are_shown_as_they_are_and_none_acts(page, hostile):
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        page.switch_to.alert.text  # noqa: B018 - reading it raises
    assert page.title.startswith("<b>A & B</b>")
    assert page.find_element("tag name", "h1").text == "<b>A & B</b>"
    for table in ("classes", "class-genes"):
        assert set(cells(page, 0, table)) == set(hostile)
    choose(page, "")
    assert set(cells(page, 0)) | set(cells(page, 1)) == set(hostile)
    assert len(page.find_elements("tag name", "script")) == 1
    assert (
        page.execute_script("return document.querySelectorAll('main b, img:not([alt])').length")
        == 0
    )
    widths = page.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    assert len(widths) == 5
    assert min(widths) > 100


def test_all_can_be_done_from_the_keyboard_with_the_focus_in_sight(page):
    from selenium.webdriver.common.keys import Keys

    def press(key):
        page.switch_to.active_element.send_keys(key)

    seen = []
    page.find_element("tag name", "body").send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "Skip to the summary"
    for _ in range(200):
        here = page.switch_to.active_element
        if here.tag_name == "body":
            break
        outline = page.execute_script(
            "const style = getComputedStyle(arguments[0]);"
            "return [style.outlineStyle, parseFloat(style.outlineWidth)]",
            here,
        )
        assert outline[0] != "none", here.get_attribute("outerHTML")
        assert outline[1] >= 1
        name = here.accessible_name.strip()
        assert name, here.get_attribute("outerHTML")
        seen.append((here.tag_name, name))
        press(Keys.TAB)
    controls = ("input", "Search"), ("select", "Show"), ("button", "q"), ("a", "pairs.csv")
    assert set(controls) <= set(seen), seen

    head = heads(page)[column(page, "r")]
    page.execute_script("arguments[0].focus()", head.find_element("tag name", "button"))
    press(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    press(Keys.SPACE)
    assert head.get_attribute("aria-sort") == "ascending"


def test_in_print_the_tables_are_whole_and_the_tools_gone(page):
    pdf = base64.b64decode(page.print_page())
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 30_000
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        visible = page.execute_script(
            "return [...document.querySelectorAll('.tools, nav')]"
            ".filter((e) => e.checkVisibility()).length"
        )
        cut = page.execute_script(
            "return [...document.querySelectorAll('.wrap')]"
            ".filter((e) => e.scrollHeight > e.clientHeight + 1).length"
        )
        assert (visible, cut) == (0, 0)
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_on_a_phone_the_page_is_no_wider_than_the_screen(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
    )
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390


def test_the_index_of_a_job_leads_to_reports_whose_long_tables_open_in_part(visit, tmp_path):
    many = sg.datasets.simulate_lincs(n_classes=22, class_sizes=[2] * 22, n_genes=8)
    sg.tl.svqvae(many, max_epochs=1)
    sg.report.pcl_correlation(
        {"<i>one</i>": many[::2].copy(), "two & three": many},
        tmp_path,
        n_splits=0,
        date=None,
        n_jobs=1,
        progress=False,
    )
    page = visit(tmp_path / "index.html")
    assert sorted(cells(page, 0, "pieces")) == ["<i>one</i>", "two & three"]
    page.find_element("link text", "two & three").click()
    assert page.find_element("tag name", "h1").text == "two & three"
    choose(page, "")
    assert len(cells(page, 0)) == 200
    assert tools(page, "[role=status]").text == "231 of 231 rows, the first 200 shown"
    last = cells(page, column(page, "r"))[-1]
    sort_by(page, "r")
    assert cells(page, column(page, "r"))[-1] != last
    tools(page, ".more").click()
    assert len(cells(page, 0)) == 231
    assert not tools(page, ".more").is_displayed()
