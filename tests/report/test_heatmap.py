"""Heatmaps: words where they belong, nothing cut off, and no sentence that breaks them."""

import io
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from nmt.alignment.aligner import Alignment
from nmt.alignment.links import argmax_links
from nmt.config import Picture
from nmt.data.links import parse_links
from nmt.report import heatmap
from nmt.report.heatmap import emergence_figure, heads_figure, heatmap_figure, importance_figure, label, picture, save_figure


def make(source, target):
    sources, targets = source.split(" "), target.split(" ")
    weights = np.random.default_rng(2).dirichlet(np.full(len(sources), 0.1), size=len(targets)).astype(np.float32)
    return Alignment(sources, targets, weights, argmax_links(weights))


def grid(keys, queries):
    """Two attentions, of three heads and of two."""
    weights = np.random.default_rng(3).dirichlet(np.full(len(keys), 0.1), size=(5, len(queries))).astype(np.float32)
    return heads_figure({"decoder.cross.0": weights[:3], "decoder.cross.1": weights[3:]}, queries, keys)


def tick_labels(figure, number=0):
    axes = figure.axes[number]
    return [text.get_text() for text in axes.get_xticklabels()], [text.get_text() for text in axes.get_yticklabels()]


def test_source_on_top_target_at_the_left_weights_between():
    alignment = make("the small dog", "der kleine")
    figure = heatmap_figure(alignment)
    assert tick_labels(figure) == (["the", "small", "dog"], ["der", "kleine"])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), alignment.weights)
    assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_gold_links_are_outlined():
    figure = heatmap_figure(make("a b c", "x y"), parse_links("2-1 0p1"))
    boxes = {
        (round(box.get_x() + 0.46), round(box.get_y() + 0.46)): box.get_linestyle()
        for box in figure.axes[0].patches
        if isinstance(box, Rectangle)
    }
    assert boxes == {(2, 1): "solid", (0, 1): "dashed"}


@pytest.mark.promise(24)
@pytest.mark.parametrize(
    "word",
    [
        "$x$",
        "$$",
        r"a$\x$b",
        r"\frac{1",
        "_^",
        "%",
        "{{x}}",
        "<script>",
        "我们",
        "😀",
        "\x1b[31m",
        "\0",
        "a\rb",
        "\u202egod",
        "\ue000",
        "שלום",
        "नमस्ते",
        "x" * 10_000,
    ],
)
def test_any_word_can_be_drawn(word):
    """A warning would be an error here: a glyph that is missing is one."""
    for figure in (heatmap_figure(make(f"{word} b", f"c {word} d")), grid([f"{word}", "b"], ["c", f"{word}", "d"])):
        assert Image.open(io.BytesIO(picture(figure, Picture.png))).format == "PNG"
        root = ElementTree.fromstring(picture(figure, Picture.svg))
        assert not {"text", "script", "a"} & {element.tag.rpartition("}")[2] for element in root.iter()}


def test_labels_show_what_cannot_be_drawn():
    assert label("Straße") == "Straße"
    assert label("我") == "\\u6211"
    assert label("a\x1b\u202e") == "a\\x1b\\u202e"
    assert label("x" * 25) == "x" * 23 + "…"
    assert label("x" * 24) == "x" * 24


@pytest.mark.parametrize("word", ["i", "W" * 24, "M" * 40])
def test_no_label_is_cut_off(word):
    figure = heatmap_figure(make(f"{word} {word}", f"{word} a {word}"))
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    area = figure.bbox
    axes = figure.axes[0]
    for text in [*axes.get_xticklabels(), *axes.get_yticklabels(), *figure.axes[1].get_yticklabels()]:
        box = text.get_window_extent(renderer)
        assert area.x0 <= box.x0 < box.x1 <= area.x1
        assert area.y0 <= box.y0 < box.y1 <= area.y1


def test_words_of_a_long_sentence_do_not_overlap():
    figure = heatmap_figure(make(" ".join(f"word{i}" for i in range(61)), " ".join(f"Wort{i}" for i in range(59))))
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    columns = [text.get_window_extent(renderer) for text in figure.axes[0].get_xticklabels()]
    rows = [text.get_window_extent(renderer) for text in figure.axes[0].get_yticklabels()]
    assert all(one.x1 < next_one.x0 for one, next_one in pairwise(columns))
    assert all(one.y0 > next_one.y1 for one, next_one in pairwise(rows))


def test_a_file_is_small_and_an_endless_sentence_is_cut(tmp_path):
    figure = heatmap_figure(make(" ".join(f"word{i}" for i in range(61)), " ".join(f"Wort{i}" for i in range(59))))
    for name, start in (("map.png", b"\x89PNG"), ("map.svg", b"<?xml")):
        save_figure(tmp_path / name, figure)
        assert (tmp_path / name).read_bytes().startswith(start)
        assert picture(figure, Picture(name[-3:])) == (tmp_path / name).read_bytes()
    assert (tmp_path / "map.png").stat().st_size < 150_000
    figure = heatmap_figure(make("a " * 149 + "a", "b " * 4 + "b"), parse_links("140-3 99-4"))
    assert [len(labels) for labels in tick_labels(figure)] == [heatmap.MAX_WORDS, 5]
    assert len(figure.axes[0].patches) == 1


def test_a_map_for_each_head():
    figure = grid(["the", "small", "dog"], ["der", "kleine"])
    assert [axes.get_xlabel() for axes in figure.axes] == [
        *(f"decoder.cross.0, head {head}" for head in range(3)),
        *(f"decoder.cross.1, head {head}" for head in range(2)),
    ]
    weights = np.random.default_rng(3).dirichlet(np.full(3, 0.1), size=(5, 2)).astype(np.float32)
    for axes, expected in zip(figure.axes, weights, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), expected)
        assert axes.images[0].get_clim() == (0, 1)
    assert tick_labels(figure) == (["the", "small", "dog"], ["der", "kleine"])
    assert tick_labels(figure, 4) == ([""] * 3, [""] * 2)


@pytest.mark.parametrize("count", [1, 2, 5, 8, 29])
def test_how_an_alignment_came_about(count):
    alignments = {10 * (i + 1): make("the small dog", "der kleine") for i in range(count)}
    for step, alignment in alignments.items():
        alignment.weights[:] = step / 1_000
    figure = emergence_figure(alignments, parse_links("1-1 0p0"))
    shown = [int(axes.get_xlabel().removeprefix("step ")) for axes in figure.axes]
    assert shown == sorted(set(shown))
    assert len(shown) == min(count, 8)
    assert (shown[0], shown[-1]) == (10, 10 * count)
    assert max(np.diff(shown), default=10) <= 10 * -(-count // 7)
    for step, axes in zip(shown, figure.axes, strict=True):
        assert (axes.images[0].get_array() == np.float32(step / 1_000)).all()
        assert len(axes.patches) == 2
    assert tick_labels(figure) == (["the", "small", "dog"], ["der", "kleine"])


@pytest.mark.parametrize("word", ["i", "W" * 24, "M" * 40])
def test_no_label_of_a_grid_is_cut_off_or_hidden(word):
    figure = grid([word, "a", word], [word] * 13)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [text for axes in figure.axes for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label)]
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    maps = [axes.get_window_extent(renderer) for axes in figure.axes]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(each) for each in maps)


def test_importance_of_heads():
    figure = importance_figure({"encoder.self.0": [0.9, 0.1], "decoder.cross.0": [1.0]})
    assert tick_labels(figure) == (["0", "1"], ["encoder.self.0", "decoder.cross.0"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.90", "0.10", "1.00"]
    assert picture(figure, Picture.png).startswith(b"\x89PNG")
