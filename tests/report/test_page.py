"""The report: whole, alone, and deaf to what sentences try."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
import yaml

from nmt.data.links import parse_links
from nmt.report.page import (
    CHART_HEIGHT,
    CHART_WIDTH,
    ReportData,
    Sample,
    WordViews,
    make_chart,
    read_run,
    words_json,
    write_report,
)
from nmt.text import printable

HOSTILE = [
    "<script>alert(1)</script>",
    '"onmouseover="alert(1)',
    "' onload='alert(1)",
    "{{ 7 * 7 }} {% raw %} {# x #}",
    "--><img src=x onerror=alert(1)>",
    "</style></title><svg onload=alert(1)>",
    "\x1b[31m \u202eabc\u2066 \0",
    "$$ & &lt; <b>",
    "javascript:alert(1)",
]


def word_views(source, target):
    """Two views of a pair whose weights are all different."""
    weights = np.arange(1, len(source) * len(target) + 1).reshape(len(target), len(source)) / 10
    return WordViews(source, target, {"attention": weights, "norms": 1 - weights}, parse_links("0-0 1p0"))


def diagnostics(source, target):
    heads = [
        {
            "entropy": 1.5,
            "marks": 0.25,
            "punctuation": 0.125,
            "diagonal": 0.75,
            "positional": 0.5,
            "offset": -1,
            "rarest": 0.0625,
        }
    ]
    pair = {"source_words": source, "target_words": target, "coverage": [0.25, 1.5], "monotonicity": 1.0}
    worst = {
        "untranslated": [{**pair, "untranslated": 0.4, "repeated": 0.2}],
        "repeated": [{**pair, "untranslated": 0.4, "repeated": 0}],
    }
    return {"pairs": 31, "heads": {"decoder.cross.0": heads}, "means": {}, "worst": worst}


def report_data(**changes):
    values = {
        "name": "tiny",
        "config": {"seed": 7, "precision": "fp32", "model": {"kind": "luong"}},
        "status": {
            "step": 1234,
            "training_time": "3m07s",
            "stop": "max_steps",
            "scores": {"bleu": 31.416, "chrf": 55.2, "aer": 0.1234},
            "signatures": {"bleu": "nrefs:1|case:mixed"},
            "hardware": {"processor": "Abacus"},
        },
        "data": {
            "languages": ["en", "de"],
            "cleaning": {
                "train": {"read": 2003, "kept": 1999, "dropped": {"too_long": 3, "overlap": 1}, "repaired": {"nfc": 2}},
                "dev": {"read": 11, "kept": 11, "dropped": {}, "repaired": {}},
            },
            "splits": {
                "train": {"pairs": 1999, "source_pieces": 19990, "target_pieces": 25987},
                "dev": {"pairs": 11, "source_pieces": 121, "target_pieces": 143},
            },
        },
        "metrics": [
            {"step": 50, "train/nll": 5.0, "train/learning_rate": 0.001},
            {"step": 100, "train/nll": None, "train/learning_rate": 0.002},
            {"step": 100, "dev/nll": 4.0, "dev/bleu": 3.0},
        ],
        "alignment": {
            name: {
                "aer": 0.25,
                "precision": 0.8,
                "recall": 0.7,
                "f1": 0.747,
                "num_predicted": 10,
                "num_sure": 9,
                "num_possible": 12,
            }
            for name in ("sure_and_possible", "sure_only")
        },
        "samples": [Sample("a dog", "ein Hund", "der Hund", b"\x89PNG", word_views(["a", "dog"], ["ein", "Hund"]))],
        "emergence_pngs": [b"\x89PNG of steps"],
        "diagnostics": diagnostics(["the", "dog"], ["der", "Hund"]),
        "faithfulness": {
            "pairs": 20,
            "methods": {
                name: {"comprehensiveness": {"1": value, "2": 0.5}, "sufficiency": {"1": 0.25, "2": 0.125}}
                for name, value in (("input_gradient", 0.375), ("random", 0.1))
            },
        },
    }
    return ReportData(**(values | changes))


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.elements, self.text, self.scripts = [], [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.elements.append((tag, attrs))

    def handle_data(self, data):
        (self.scripts if self.tags[-1:] == ["script"] and self.cdata_elem else self.text).append(data)


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        write_report(tmp_path / "report.html", report_data(**changes))
        return Page(tmp_path / "report.html")

    return write


def test_everything_is_shown(write):
    text = " ".join(" ".join(write().text).split())
    for words in (
        "tiny",
        "en → de",
        "1,234",
        "3m07s",
        "Abacus",
        "31.42",
        "12.3 %",
        "nrefs:1|case:mixed",
        "der Hund",
        "too long 3 –",
        "20 of the test set",
        "Over 31 of the model's translations",
        "decoder.cross.0, head 0 1.50 25 % 12 % 75 % 50 % at -1 6 %",
        "Least translated of them",
        "How alignment came about",
        "the dog der Hund",
        "input gradient 37.5 50.0 25.0 12.5 random 10.0 50.0 25.0 12.5",
    ):
        assert words in text, words
    assert "pairs kept 1,999 11" in text
    assert "source pieces a sentence 10.0 11.0" in text
    assert "sure only links 25.0 % 80.0 % 70.0 % 74.7 % 10 12" in text
    assert "kind: luong" in text
    assert "Most repeated" not in text  # nothing is


def test_the_page_needs_nothing_else_and_runs_its_own_script_alone(write):
    page = write()
    assert [dict(attributes) for tag, attributes in page.elements if tag == "script"] == [{"type": "application/json"}, {}]
    script = resources.files("nmt.report").joinpath("page.js").read_text(encoding="utf-8")
    assert [text for text in page.scripts if not text.startswith("{")] == [script]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert not {"link", "iframe", "object"} & set(page.tags)
    policies = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policies == [f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"]
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/png;base64,")
    assert "url(" not in "".join(page.text)
    assert "@import" not in "".join(page.text)
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch("):
        assert unsafe not in script


def test_what_the_script_reads():
    words = WordViews(["<b>&", "a"], ["\u202e</script>"], {"attention": np.array([[0.254, 0.126]])}, parse_links("0p0 1-0"))
    text = words_json(words)
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == {
        "source": ["<b>&", "a"],
        "target": ["\\u202e</script>"],
        "views": {"attention": [[25, 13]]},
        "gold": [[0, 0, False], [1, 0, True]],
    }


@pytest.mark.promise(24)
def test_no_sentence_becomes_markup(write):
    harmless = write(
        samples=[Sample("a", "b", "c", b"x", word_views(["a"], ["b"]))] * len(HOSTILE), metrics=[], alignment={}, diagnostics={}
    )
    hostile = write(
        samples=[Sample(text, text, text, b"x", word_views([text], [text])) for text in HOSTILE],
        metrics=[],
        alignment={},
        diagnostics={},
    )
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    shown = "".join(hostile.text)
    for text in HOSTILE[:6]:
        assert shown.count(text) == 3
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert "\\x1b[31m \\u202eabc\\u2066 \\x00" in shown


@pytest.mark.promise(24)
def test_no_diagnosed_sentence_becomes_markup(write):
    plain, hostile = (write(diagnostics=diagnostics([text, text], [text])) for text in ("a", "".join(HOSTILE)))
    assert hostile.tags == plain.tags
    assert hostile.attributes == plain.attributes


def test_no_name_or_setting_becomes_markup(write):
    plain, text = write(), "".join(HOSTILE)
    status = report_data().status | {"stop": text, "commit": text, "signatures": {"bleu": text}, "command": text}
    hostile = write(name=text, config={"seed": 1, "x": text}, status=status | {"commit": None})
    assert sorted(set(hostile.tags)) == sorted(set(plain.tags))
    assert [name for name, _ in hostile.attributes] == [name for name, _ in plain.attributes]


def test_a_run_that_just_began_has_a_report(write):
    page = write(status={}, data={}, metrics=[], alignment={}, samples=[], emergence_pngs=[], faithfulness={}, diagnostics={})
    assert page.tags.count("section") == 1


def test_a_folder_is_read(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"name": "x"}))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "train/nll": 2.0}\n{"step": 2, "tr')
    (tmp_path / "status.json").write_text(json.dumps({"step": 1}))
    data = read_run(tmp_path, [])
    assert (data.name, data.config, data.status) == (tmp_path.name, {"name": "x"}, {"step": 1})
    assert data.metrics == [{"step": 1, "train/nll": 2.0}]
    assert (data.data, data.alignment) == ({}, {})


def test_points_of_a_chart_stand_at_their_values():
    chart = make_chart("t", ["a", "b", "c"], [{"step": 0, "a": 1.0}, {"step": 10, "a": 3.0, "b": 2.0}, {"step": 20, "b": None}])
    assert [(line.name, line.last) for line in chart.lines] == [("a", 3.0), ("b", 2.0)]
    (x0, y0), (x1, y1) = ([float(number) for number in point.split(",")] for point in chart.lines[0].points.split())
    assert x0 == 0
    assert x1 == CHART_WIDTH  # the last tick
    assert y1 == 0  # the highest tick
    assert y0 == pytest.approx(CHART_HEIGHT * 2 / 3, abs=0.1)
    assert chart.lines[1].points == f"{CHART_WIDTH:.1f},{CHART_HEIGHT / 3:.1f}"
    assert (chart.x_ticks[0], chart.x_ticks[-1]) == ((0, "0"), (CHART_WIDTH, "10"))
    assert (chart.y_ticks[0], chart.y_ticks[-1]) == ((CHART_HEIGHT, "0"), (0, "3"))


def test_charts_of_one_value_or_none():
    for value in (0.0, 0.001, -2.0):
        flat = make_chart("t", ["a"], [{"step": 3, "a": value}, {"step": 5, "a": value}])
        assert len({text for _, text in flat.y_ticks}) == len(flat.y_ticks) > 1
    assert make_chart("t", ["a"], [{"step": 3, "a": None}, {"step": 3, "b": 1.0}]) is None
    assert make_chart("t", ["a"], []) is None


CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SWITCHES = ["headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run", "window-size=1200,900"]
SOURCE, TARGET = ["the", "small", "dog"], ["der", "kleine", "Hund", "\u05db\u05dc\u05d1"]


@pytest.fixture
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in SWITCHES:
        options.add_argument(f"--{switch}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.mark.long
@pytest.mark.promise(24)
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")
def test_a_person_points_at_words(browser, tmp_path):
    """Every word is pointed at in every view, and what lights up is read; texts that would be markup stay texts, and nothing else runs."""
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    def shares(words):
        return [word.get_attribute("title") for word in words]

    weights = np.arange(12).reshape(4, 3) / 20
    gold = parse_links("0-0 1p1 2p1")
    words = WordViews(SOURCE, TARGET, {"attention": weights, "norms": 1 - weights}, gold)
    hostile = WordViews(HOSTILE, HOSTILE, {"attention": np.eye(len(HOSTILE))})
    samples = [Sample("a", "b", "c", None, words), Sample("a", "b", "c", None, hostile), Sample("a", "b", "c")]
    write_report(tmp_path / "report.html", report_data(samples=samples))
    browser.get((tmp_path / "report.html").as_uri())
    first, second = browser.find_elements(By.CLASS_NAME, "explorer")
    source, target = (first.find_elements(By.CSS_SELECTOR, f".{side} span") for side in ("source", "target"))
    assert ([word.text for word in source], [word.text for word in target]) == (SOURCE, TARGET)
    assert not any(shares(source + target))

    select = Select(first.find_element(By.TAG_NAME, "select"))
    for name, view in words.views.items():
        select.select_by_visible_text(name)
        for t, word in enumerate(target):
            ActionChains(browser).move_to_element(word).perform()
            assert shares(source) == [f"{round(100 * weight)} %" for weight in view[t]]
            assert word.get_attribute("class") == "pointed"
        for s, word in enumerate(source):
            ActionChains(browser).move_to_element(word).perform()
            assert shares(target) == [f"{round(100 * weight)} %" for weight in view[:, s]]
            assert not any(shares(source))
    ActionChains(browser).move_to_element(target[1]).perform()
    assert [word.get_attribute("class") for word in source] == ["lit", "lit possible", "lit possible"]
    light, dark = (source[s].value_of_css_property("background-color") for s in (0, 2))
    ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
    assert not any(shares(source + target))
    assert light != dark != source[2].value_of_css_property("background-color")
    browser.execute_script("arguments[0].focus()", target[0])
    assert source[0].get_attribute("class") == "lit sure"
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert target[1].get_attribute("class") == "pointed"

    shown = [word.get_attribute("textContent") for word in second.find_elements(By.CSS_SELECTOR, ".source span")]
    assert shown == [printable(text) for text in HOSTILE]
    assert browser.execute_script("return document.scripts.length") == 3  # two of data, one that runs
    assert not browser.find_elements(By.CSS_SELECTOR, ".explorer img, .explorer svg")
    assert browser.get_log("browser") == []
