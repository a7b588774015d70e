"""Heatmaps: words where they belong, nothing cut off, and no sentence that breaks them."""

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from nmt.alignment import heatmap
from nmt.alignment.aligner import Alignment
from nmt.alignment.heatmap import heatmap_figure, heatmap_png, label, save_heatmap
from nmt.alignment.links import argmax_links
from nmt.data.links import parse_links


def make(source, target):
    sources, targets = source.split(" "), target.split(" ")
    weights = np.random.default_rng(2).dirichlet(np.full(len(sources), 0.1), size=len(targets)).astype(np.float32)
    return Alignment(sources, targets, weights, argmax_links(weights))


def tick_labels(figure):
    axes = figure.axes[0]
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
    png = heatmap_png(make(f"{word} b", f"c {word} d"))
    assert Image.open(io.BytesIO(png)).format == "PNG"


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
    save_heatmap(tmp_path / "map.png", make(" ".join(f"word{i}" for i in range(61)), " ".join(f"Wort{i}" for i in range(59))))
    assert (tmp_path / "map.png").stat().st_size < 150_000
    figure = heatmap_figure(make("a " * 149 + "a", "b " * 4 + "b"), parse_links("140-3 99-4"))
    assert [len(labels) for labels in tick_labels(figure)] == [heatmap.MAX_WORDS, 5]
    assert len(figure.axes[0].patches) == 1
