"""``nmt attend run=outputs/NAME``: the attention of every layer and head over pairs, as arrays or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from nmt.alignment.extraction import SentenceAttention, extract, write_jsonl, write_npz
from nmt.alignment.forced import SIDES
from nmt.commands.finished import load_finished
from nmt.commands.options import AttendCommand, AttentionFormat
from nmt.commands.texts import read_explained
from nmt.config import Picture
from nmt.errors import ConfigError
from nmt.report.heatmap import heads_figure, save_figure
from nmt.rules import validate_name


def main(command: AttendCommand) -> int:
    validate_name(command.name)
    run = load_finished(command)
    names = chosen_names(command.attentions, list(run.model.attentions()))
    given = {name: getattr(command, name) for name in ("source", "target", "translations")}
    sources, targets = read_explained(command.run, run, "test", **given, limit=command.num_pairs)
    attentions = extract(run.decoder, sources, targets, names=names, of_words=command.words)
    folder = Path(command.run) / "attention" / command.name
    write = write_npz if command.format is AttentionFormat.npz else write_jsonl
    count = write(folder, drawn(attentions, folder, command.num_heatmaps, command.picture))
    print(f"{', '.join(names)} of {count} pairs: {folder}")
    return 0


def drawn(attentions: Iterable[SentenceAttention], folder: Path, count: int, form: Picture) -> Iterator[SentenceAttention]:
    """The same, of which the first so many leave pictures on their way."""
    for i, attention in enumerate(attentions):
        if i < count:
            draw(folder, f"sentence_{i:04d}", attention, form)
        yield attention


def draw(folder: Path, name: str, attention: SentenceAttention, form: Picture) -> None:
    """A picture of all heads of each kind of attention."""
    for kind in SIDES:
        if heads := {of: weights for of, weights in attention.weights.items() if of.startswith(f"{kind}.")}:
            save_figure(folder / f"{name}.{kind}.{form.name}", heads_figure(heads, *attention.labels(next(iter(heads)))))


def chosen_names(patterns: list[str], names: list[str]) -> list[str]:
    """Those of the names that a pattern matches, where ``*`` is anything.

    Raises:
        ConfigError: a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"no attention of this model is named {pattern}; there are {', '.join(names)}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
