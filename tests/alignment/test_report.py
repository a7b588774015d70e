"""The report: whole, alone, and deaf to what sentences try."""

import json
import re
from html.parser import HTMLParser

import pytest
import yaml

from nmt.alignment.report import CHART_HEIGHT, CHART_WIDTH, ReportData, Sample, make_chart, read_run, write_report

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
        "samples": [Sample("a dog", "ein Hund", "der Hund", b"\x89PNG")],
    }
    return ReportData(**(values | changes))


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


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
    ):
        assert words in text, words
    assert "pairs kept 1,999 11" in text
    assert "source pieces a sentence 10.0 11.0" in text
    assert "sure only links 25.0 % 80.0 % 70.0 % 74.7 % 10 12" in text
    assert "kind: luong" in text


def test_the_page_needs_nothing_else_and_runs_nothing(write):
    page = write()
    assert "script" not in page.tags
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert dict(page.attributes)["content"] is not None
    policies = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/png;base64,")
    assert "url(" not in "".join(page.text)
    assert "@import" not in "".join(page.text)


@pytest.mark.promise(24)
def test_no_sentence_becomes_markup(write):
    harmless = write(samples=[Sample("a", "b", "c", b"x")] * len(HOSTILE), metrics=[], alignment={})
    hostile = write(samples=[Sample(text, text, text, b"x") for text in HOSTILE], metrics=[], alignment={})
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    shown = "".join(hostile.text)
    for text in HOSTILE[:6]:
        assert shown.count(text) == 3
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert "\\x1b[31m \\u202eabc\\u2066 \\x00" in shown


def test_no_name_or_setting_becomes_markup(write):
    plain, text = write(), "".join(HOSTILE)
    status = report_data().status | {"stop": text, "commit": text, "signatures": {"bleu": text}, "command": text}
    hostile = write(name=text, config={"seed": 1, "x": text}, status=status | {"commit": None})
    assert sorted(set(hostile.tags)) == sorted(set(plain.tags))
    assert [name for name, _ in hostile.attributes] == [name for name, _ in plain.attributes]


def test_a_run_that_just_began_has_a_report(write):
    page = write(status={}, data={}, metrics=[], alignment={}, samples=[])
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
