"""The pairs that commands on finished runs look at: those of named files, or a split of the run's own data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nmt.commands.finished import FinishedRun
from nmt.config import Config
from nmt.data.lines import read_lines
from nmt.data.pairs import ParallelText
from nmt.data.prepare import prepare
from nmt.data.reader import read_pairs
from nmt.errors import ConfigError
from nmt.run_folder import RunFolder


def read_text(
    run: str, config: Config, split: str, source: str | None, target: str | None, links: str | None = None
) -> ParallelText:
    """The pairs of the files ``source`` and ``target``, with gold ``links`` where a file of them is given, or a split of the run's data.

    Raises:
        ConfigError: some of the files are not given.
        RunError: the run's data changed, so that its splits cannot be told from what it was trained on.
    """
    if source and target:
        return read_pairs(Path(source), Path(target), Path(links) if links else None)
    if source or target or links:
        raise ConfigError("`source` and `target` must be given together, and `links` only with them")
    store = prepare(config.data, config.tokenizer, config.seed)
    RunFolder(Path(run)).check_data(store)
    return store.split(split).text


def read_explained(
    folder: str, run: FinishedRun, split: str, source: str | None, target: str | None, *, translations: bool, limit: int | None
) -> tuple[Sequence[str], Sequence[str]]:
    """Sources, and the targets that a model is to explain: those of :func:`read_text`, or, where a ``source`` has no ``target`` or they are
    asked for, its own translations. No more than the first ``limit`` pairs."""
    if source and not target:
        sources = read_lines(Path(source))[:limit]
    else:
        text = read_text(folder, run.config, split, source, target)
        sources = text.sources[:limit]
        if target or not translations:
            return sources, text.targets[:limit]
    translator = run.translator(run.config.search, run.config.seed)
    return sources, [translation.text for translation in translator.translate(sources)]
