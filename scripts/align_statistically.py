"""Word alignments of statistical models, fast_align's and the HMM, by the package sil-thot (``pip install -e ".[statistical]"``).

    python scripts/align_statistically.py links SOURCE TARGET LINKS [--model hmm]
    python scripts/align_statistically.py measure --train SOURCE TARGET --gold SOURCE TARGET LINKS [--included] [--lowercase]
    python scripts/align_statistically.py measure --builtin

The first aligns the lines of two files and writes a Pharaoh line a pair, for ``data.alignment``. The second learns from training text
(``--train`` may be given more than once; with ``--included`` from the gold text too) and prints the alignment error rate of both
directions and of what symmetrisation makes of them, a line of JSON a model; ``--builtin`` does so with the built-in corpus and its test
text. Words are those between blanks, as models see them: without characters that no one sees.

fast_align (Dyer et al. 2013) learns for five rounds with variational Bayes; the HMM (Vogel et al. 1996) for five after five of IBM's first
model.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nmt.alignment.links import alignment_scores
from nmt.alignment.symmetrization import symmetrize
from nmt.config import BuiltinDataConfig, Symmetrization
from nmt.data.lines import read_lines
from nmt.data.links import Link, Links, format_links, parse_links
from nmt.data.normalization import normalize
from nmt.data.pairs import ParallelText, whole
from nmt.data.reader import read_corpus, read_pairs
from nmt.files import write_text_atomic

MODELS = ("fast_align", "hmm")
ROUNDS = 5
BLOCK_PAIRS = 10_000

Words = list[list[str]]


@dataclass(frozen=True)
class Aligner:
    """Models of both directions."""

    forward: Any
    backward: Any

    @staticmethod
    def learned(kind: str, sources: Words, targets: Words) -> Aligner:
        return Aligner(learn(kind, sources, targets), learn(kind, targets, sources))

    def align(self, sources: Words, targets: Words) -> tuple[list[frozenset[Link]], list[frozenset[Link]]]:
        """Links of both directions, both as (source word, target word)."""
        there = best_links(self.forward, sources, targets)
        back = best_links(self.backward, targets, sources)
        return there, [frozenset((s, t) for t, s in links) for links in back]


def learn(kind: str, sources: Words, targets: Words) -> Any:
    from thot import alignment

    def trained(model: Any) -> Any:
        for pair in zip(sources, targets, strict=True):
            model.add_sentence_pair(*pair)
        model.start_training()
        for _ in range(ROUNDS):
            model.train()
        model.end_training()
        return model

    if kind == "fast_align":
        model = alignment.FastAlignModel()
        model.variational_bayes = True
        return trained(model)
    model = alignment.HmmAlignmentModel(trained(alignment.Ibm1AlignmentModel()))
    model.start_training()  # it has the pairs of the model that it goes on from
    for _ in range(ROUNDS):
        model.train()
    model.end_training()
    return model


def best_links(model: Any, sources: Words, targets: Words) -> list[frozenset[Link]]:
    links: list[frozenset[Link]] = []
    for begin in range(0, len(sources), BLOCK_PAIRS):
        block = slice(begin, begin + BLOCK_PAIRS)
        found = model.get_best_alignments(sources[block], targets[block])
        links += [frozenset(map(tuple, np.argwhere(matrix.to_numpy()).tolist())) for _, matrix in found]
    return links


def words(lines: Sequence[str], *, lowercase: bool = False) -> Words:
    return [normalize(line.lower() if lowercase else line).split() for line in lines]


def write_links(source: Path, target: Path, output: Path, kind: str, method: Symmetrization) -> None:
    sources, targets = words(read_lines(source)), words(read_lines(target))
    filled = [i for i, pair in enumerate(zip(sources, targets, strict=True)) if all(pair)]
    chosen = [sources[i] for i in filled], [targets[i] for i in filled]
    there, back = Aligner.learned(kind, *chosen).align(*chosen)
    lines = [""] * len(sources)
    for i, *both in zip(filled, there, back, strict=True):
        lines[i] = format_links(symmetrize(*both, method))
    write_text_atomic(output, "".join(f"{line}\n" for line in lines))


def measure(kind: str, train: ParallelText, test: ParallelText, gold: Sequence[Links], *, lowercase: bool) -> dict[str, Any]:
    """Alignment error rates by what the links are of, and how long learning took."""
    sources, targets = words(train.sources, lowercase=lowercase), words(train.targets, lowercase=lowercase)
    begun = time.monotonic()
    filled = [i for i, pair in enumerate(zip(sources, targets, strict=True)) if all(pair)]
    aligner = Aligner.learned(kind, [sources[i] for i in filled], [targets[i] for i in filled])
    seconds = time.monotonic() - begun
    there, back = aligner.align(words(test.sources, lowercase=lowercase), words(test.targets, lowercase=lowercase))
    found = {"forward": there, "backward": back}
    found |= {method.name: [symmetrize(*both, method) for both in zip(there, back, strict=True)] for method in Symmetrization}
    rates = {name: round(alignment_scores(links, gold).aer, 4) for name, links in found.items()}
    return {"model": kind, "pairs": len(filled), "learning_s": round(seconds, 1), "aer": rates}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    links = commands.add_parser("links")
    for name in ("source", "target", "links"):
        links.add_argument(name, type=Path)
    links.add_argument("--model", choices=MODELS, default="hmm")
    links.add_argument("--symmetrization", choices=[m.name for m in Symmetrization], default="grow_diag_final_and")
    measured = commands.add_parser("measure")
    measured.add_argument("--train", nargs=2, type=Path, action="append", default=[], metavar=("SOURCE", "TARGET"))
    measured.add_argument("--gold", nargs=3, type=Path, metavar=("SOURCE", "TARGET", "LINKS"))
    measured.add_argument("--included", action="store_true")
    measured.add_argument("--lowercase", action="store_true")
    measured.add_argument("--builtin", action="store_true")
    arguments = parser.parse_args()
    try:
        import thot.alignment  # noqa: F401
    except ImportError:
        print('this needs sil-thot: pip install -e ".[statistical]"', file=sys.stderr)
        return 2
    if arguments.command == "links":
        method = Symmetrization[arguments.symmetrization]
        write_links(arguments.source, arguments.target, arguments.links, arguments.model, method)
        return 0
    if arguments.builtin:
        corpus = read_corpus(BuiltinDataConfig())
        train, test = whole(corpus["train"]), whole(corpus["test"])
    elif arguments.train and arguments.gold:
        texts = [read_pairs(*paths) for paths in arguments.train]
        test = read_pairs(*arguments.gold)
        texts += [test] if arguments.included else []
        train = ParallelText([line for t in texts for line in t.sources], [line for t in texts for line in t.targets])
    else:
        parser.error("give `--builtin`, or `--train` and `--gold`")
    gold = [parse_links(line) for line in test.links or []]
    for kind in MODELS:
        print(json.dumps(measure(kind, train, test, gold, lowercase=arguments.lowercase)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
