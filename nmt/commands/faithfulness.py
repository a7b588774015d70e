"""``nmt faithfulness run=outputs/NAME``: how far attention, and what else says which source words matter, can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nmt.alignment.faithfulness import Faithfulness, faithfulness, write_faithfulness
from nmt.commands.finished import load_finished
from nmt.commands.options import FaithfulnessCommand
from nmt.commands.texts import read_explained
from nmt.config import AlignmentConfig
from nmt.errors import ConfigError, DataError
from nmt.rules import validate_name
from nmt.tables import format_table


def main(command: FaithfulnessCommand) -> int:
    validate_name(command.name)
    if not command.counts or min(command.counts) < 1:
        raise ConfigError("`counts` must be numbers of source words, each at least 1")
    run = load_finished(command)
    settings = run.config.alignment
    chosen = AlignmentConfig(
        layer=settings.layer if command.layer is None else command.layer,
        head=settings.head if command.head is None else command.head,
    )
    given = {name: getattr(command, name) for name in ("source", "target", "translations")}
    sources, targets = read_explained(command.run, run, "dev", **given, limit=command.num_pairs)
    found = faithfulness(run.decoder, sources, targets, chosen, counts=command.counts, seed=run.config.seed)
    if not found:
        raise DataError("faithfulness needs a pair with two source words and a target word, but there is none")
    folder = Path(command.run) / "faithfulness" / command.name
    write_faithfulness(folder, found, len(sources))
    print(format_faithfulness(found))
    print(f"\nmean loss of a target word's probability over {len(sources)} pairs; faithfulness.json is in {folder}")
    return 0


def format_faithfulness(found: Mapping[str, Faithfulness]) -> str:
    """A row a method; a column for each number of words that are erased, and that alone are kept."""
    counts = list(next(iter(found.values())).comprehensiveness)
    header = ["", *(f"top {count} erased" for count in counts), *(f"top {count} kept" for count in counts)]
    rows = []
    for name, of_method in found.items():
        means = [measure[count] for measure in (of_method.comprehensiveness, of_method.sufficiency) for count in counts]
        rows.append([name.replace("_", " "), *(f"{mean:.3f}" for mean in means)])
    return format_table(header, rows)
