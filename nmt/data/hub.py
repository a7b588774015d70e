"""Datasets of the hub, and local folders that ``datasets`` reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmt.data import pairs
from nmt.data.bitext import Columns, row_texts, wanted_columns
from nmt.data.pairs import ParallelText
from nmt.errors import DataError

SPLITS = {"train": ["train"], "dev": ["validation", "dev", "val"], "test": ["test"]}
"""What a split may be called on the hub."""


@dataclass(frozen=True, slots=True)
class HubSplit:
    """The rows of a split, each with a text a column, or with ``translation``, a record that has them; they stay on the disk."""

    rows: Any
    columns: Columns
    where: str

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: there is no row, or a row has no text in a column.
        """
        if not len(self.rows):
            raise DataError(f"{self.where} is empty")
        table = self.rows.select_columns(wanted_columns(self.rows.column_names, self.columns, self.where))
        for begin in range(0, len(table), pairs.BLOCK_PAIRS):
            rows = table.select(range(begin, min(begin + pairs.BLOCK_PAIRS, len(table))))
            texts = [row_texts(row, self.columns, f"{self.where}, row {begin + i}") for i, row in enumerate(rows, start=1)]
            yield ParallelText([source for source, _ in texts], [target for _, target in texts])


def read_hub(name: str, config: str | None, revision: str | None, columns: Columns) -> dict[str, HubSplit]:
    """The splits ``train``, ``dev`` and ``test`` of a dataset, as far as it has them.

    Raises:
        DataError: it cannot be loaded, or has no split ``train``.
    """
    import datasets

    # The library knows a local file by its size and time: only when made to read it again does it see what is in it.
    mode = "force_redownload" if Path(name).is_dir() else None
    try:
        loaded: Any = datasets.load_dataset(name, config, revision=revision, download_mode=mode)
    except Exception as error:  # the library raises whatever the network or the file system did
        raise DataError(f"the dataset {name} cannot be loaded from the hub: {type(error).__name__}: {error}") from error
    splits = {}
    for split, candidates in SPLITS.items():
        found = next((candidate for candidate in candidates if candidate in loaded), None)
        if found:
            splits[split] = HubSplit(loaded[found], columns, f"{name}, split {found}")
    if "train" not in splits:
        raise DataError(f"{name} has no split train; there are {list(loaded)}")
    return splits
