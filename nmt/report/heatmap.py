"""Heatmaps that a person can read: of word alignments, of heads, of their importance."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from nmt.alignment.aligner import Alignment
from nmt.alignment.importance import Importance
from nmt.config import Picture
from nmt.data.links import Links
from nmt.files import write_bytes_atomic
from nmt.text import escape, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MAX_WORDS = 100
MAX_WORD_LENGTH = 24
CELL_INCHES, MARGIN_INCHES, SCALE_INCHES = 0.28, 0.15, 0.75
SMALL_CELL_INCHES, MIN_MAP_INCHES, TITLE_INCHES, SMALL_OUTLINE = 0.13, 1.2, 0.25, 0.6
MAX_STEPS, STEPS_IN_A_ROW = 8, 4
FONT, FONT_SIZE, SMALL_FONT_SIZE = "DejaVu Sans", 9, 6.5  # the font comes with matplotlib


def heatmap_figure(alignment: Alignment, gold: Links | None = None) -> Figure:
    """Source words on top, target words at the left, the darker the more a target word attends to a source word.

    Gold links are outlined, sure ones by a solid line, possible ones by a dashed one. The scale is from 0 to 1 in every figure. Long
    words are cut, characters that the font does not have are written as escapes, and words after the first hundred are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    weights = alignment.weights[:MAX_WORDS, :MAX_WORDS]
    rows, columns = weights.shape
    source_labels = [label(word) for word in alignment.source_words[:MAX_WORDS]]
    target_labels = [label(word) for word in alignment.target_words[:MAX_WORDS]]
    top, left = (MARGIN_INCHES + _widest_inches(labels) for labels in (source_labels, target_labels))
    width = left + CELL_INCHES * columns + SCALE_INCHES
    height = top + CELL_INCHES * rows + MARGIN_INCHES
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((left / width, MARGIN_INCHES / height, CELL_INCHES * columns / width, CELL_INCHES * rows / height))
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    text: dict[str, Any] = {"fontsize": FONT_SIZE, "fontfamily": FONT, "parse_math": False}
    axes.set_xticks(range(columns), source_labels, rotation=90, **text)
    axes.set_yticks(range(rows), target_labels, **text)
    axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
    axes.set_xticks([x - 0.5 for x in range(1, columns)], minor=True)
    axes.set_yticks([y - 0.5 for y in range(1, rows)], minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    if gold:
        _outline(axes, gold)
    _add_scale(figure, axes, image)
    return figure


def heads_figure(
    attentions: Mapping[str, Float[npt.NDArray[np.float32], "h Q K"]], queries: Sequence[str], keys: Sequence[str]
) -> Figure:
    """A small map of each head: attentions of a kind below each other, heads beside each other."""
    rows = [[(f"{name}, head {head}", weights) for head, weights in enumerate(heads)] for name, heads in attentions.items()]
    return _maps_figure(rows, queries, keys)


def emergence_figure(alignments: Mapping[int, Alignment], gold: Links | None = None) -> Figure:
    """How the alignment of a pair came about: small maps by the step after which they were made, at most ``MAX_STEPS`` of them, evenly
    among all from the first to the last. Gold links are outlined."""
    steps = sorted(alignments)
    chosen = sorted({steps[round(i * (len(steps) - 1) / (MAX_STEPS - 1))] for i in range(MAX_STEPS)})
    maps = [(f"step {step:,}", alignments[step].weights) for step in chosen]
    pair = alignments[chosen[-1]]
    rows = [maps[begin : begin + STEPS_IN_A_ROW] for begin in range(0, len(maps), STEPS_IN_A_ROW)]
    return _maps_figure(rows, pair.target_words, pair.source_words, gold)


def _maps_figure(
    maps: Sequence[Sequence[tuple[str, Float[npt.NDArray[np.float32], "Q K"]]]],
    queries: Sequence[str],
    keys: Sequence[str],
    gold: Links | None = None,
) -> Figure:
    """Rows of small maps, each with its title below it, keys on top of the first row, queries at the left of the first column. The scale,
    labels and limits are those of :func:`heatmap_figure`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys, queries = ([label(word) for word in words[:MAX_WORDS]] for words in (keys, queries))
    num_columns = max(map(len, maps))
    small = SMALL_FONT_SIZE / FONT_SIZE
    width, height = (max(SMALL_CELL_INCHES * len(words), MIN_MAP_INCHES) for words in (keys, queries))
    top, left = (MARGIN_INCHES + small * _widest_inches(words) for words in (keys, queries))
    size = left + num_columns * (width + MARGIN_INCHES), TITLE_INCHES + top + len(maps) * (height + TITLE_INCHES)
    figure = Figure(figsize=size, dpi=100)
    FigureCanvasAgg(figure)
    text: dict[str, Any] = {"fontsize": SMALL_FONT_SIZE, "fontfamily": FONT, "parse_math": False}
    for row, of_row in enumerate(maps):
        for column, (title, weights) in enumerate(of_row):
            x = left + column * (width + MARGIN_INCHES)
            y = size[1] - TITLE_INCHES - top - row * (height + TITLE_INCHES) - height
            axes = figure.add_axes((x / size[0], y / size[1], width / size[0], height / size[1]))
            axes.imshow(weights[:MAX_WORDS, :MAX_WORDS], cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axes.set_xticks(range(len(keys)), keys if row == 0 else [], rotation=90, **text)
            axes.set_yticks(range(len(queries)), queries if column == 0 else [], **text)
            axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
            axes.set_xlabel(title, fontsize=SMALL_FONT_SIZE, labelpad=2)
            if gold:
                _outline(axes, gold, SMALL_OUTLINE)
    return figure


def importance_figure(importance: Importance) -> Figure:
    """The importance of heads: attentions below each other, heads beside each other, the darker the more a head matters among its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = max(map(len, importance.values()))
    rows = np.array([[*values, *[np.nan] * (width - len(values))] for values in importance.values()])
    figure = Figure(figsize=(1.8 + 0.42 * width, 0.7 + 0.34 * len(rows)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(rows, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(width), [str(head) for head in range(width)])
    axes.set_yticks(range(len(rows)), list(importance))
    axes.set_xlabel("head")
    for (row, column), value in np.ndenumerate(rows):
        if not np.isnan(value):
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if value > 0.6 else "black"
            )
    return figure


def picture(figure: Figure, form: Picture) -> bytes:
    """A figure as a file: of the same figure always the same bytes. In an SVG letters are outlines, which need no font."""
    from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "nmt"}):
        figure.savefig(file, format=form.name, metadata={"Date": None} if form is Picture.svg else None)
    return file.getvalue()


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG or SVG, as the file's name says."""
    write_bytes_atomic(path, picture(figure, Picture(path.suffix.removeprefix("."))))


def label(word: str) -> str:
    """A word as the font can draw it, cut where it is long."""
    drawn = "".join(character if ord(character) in _glyphs() else escape(character) for character in printable(word))
    return drawn if len(drawn) <= MAX_WORD_LENGTH else drawn[: MAX_WORD_LENGTH - 1] + "…"


def _outline(axes: Axes, gold: Links, width: float = 1.3) -> None:
    from matplotlib.patches import Rectangle

    for s, t in sorted(gold.possible):
        if s < MAX_WORDS and t < MAX_WORDS:
            style = "solid" if (s, t) in gold.sure else "dashed"
            corner = (s - 0.46, t - 0.46)
            axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, edgecolor="#d95f02", linewidth=width, linestyle=style))


def _add_scale(figure: Figure, axes: Axes, image: AxesImage) -> None:
    """The scale of the colours beside the map, as high as the map but for at most ten rows."""
    area = axes.get_position()
    width, height = figure.get_size_inches()
    scale_height = min(area.height, 10 * CELL_INCHES / height)
    scale = figure.add_axes((area.x1 + 0.15 / width, area.y1 - scale_height, 0.12 / width, scale_height))
    ticks = [0, 1] if scale_height * height < 1 else [0, 0.25, 0.5, 0.75, 1]
    figure.colorbar(image, cax=scale, ticks=ticks).ax.tick_params(labelsize=7)


def _widest_inches(labels: Sequence[str]) -> float:
    """How wide the widest label is drawn, with the gap between it and the axis."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family=FONT, size=FONT_SIZE)
    points = max(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0] for text in labels)
    return float(points) / 72 + 0.1


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """The characters that the font has."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family=FONT))).get_charmap())
