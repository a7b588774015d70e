"""Trains models whose alignments are measured against gold links, beside statistical aligners, for ``docs/results.md``.

    python scripts/train_alignment.py prepare FOLDER DATA          the text of Europarl, from the folders of DATA that are named below
    python scripts/train_alignment.py train FOLDER [--lane 1/2]    every system in both directions, those that are finished left alone
    python scripts/train_alignment.py measure FOLDER               a table of error rates for each corpus

Corpora: the built-in one; and Europarl, which is learned from ``tatoeba-en-de`` and ``alignment/de-en-europarl4k``, tokenised and
lower-cased as the gold text of ``alignment/de-en-europarl150`` is, once without the gold text and once with it. Runs are on one thread,
so that two lanes fit two cores. Where attention is guided, it is by the built-in corpus's own links, and on Europarl by those of an HMM
that learned from the same text (``align_statistically.py``).
"""

from __future__ import annotations

import argparse
import html
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, compress, islice
from pathlib import Path

from train_attention import SHARED, TRANSFORMER, is_finished, train, updates

from nmt.alignment.aligner import Alignment, align, score_alignments, symmetrized
from nmt.alignment.links import read_links
from nmt.alignment.selection import Candidate, best_by_agreement, candidates
from nmt.commands.align import describe
from nmt.commands.finished import FinishedRun, load_finished
from nmt.commands.options import RunCommand
from nmt.commands.texts import read_text
from nmt.config import AlignmentConfig, Attribution, LinkMethod, ModelKind, Symmetrization
from nmt.data.lines import read_lines
from nmt.data.links import Links, parse_links, swap_links
from nmt.data.normalization import normalize
from nmt.data.pairs import ParallelText
from nmt.tables import format_table

ROOT = Path(__file__).resolve().parent.parent
GUIDED = ["loss.alignment_weight=0.05", "alignment.layer=-2", "alignment.head=0"]
HALF_AN_HOUR = 5_500
"""Updates on Europarl in 30 minutes on one core of two that train."""
EUROPARL_WEIGHT = 5
PARTS = {"source": "de", "target": "en", "alignment": "links"}
"""What is known of training text, and how its files end."""
NUM_SELECTED = 500
"""Dev pairs on which layers and heads are chosen."""


@dataclass(frozen=True)
class Corpus:
    """Where models learn from and are measured, its two directions, and for how many updates."""

    directions: tuple[str, str]
    words: list[str]
    updates: int


def europarl(folder: Path, train: str) -> list[str]:
    """Settings: Europarl's few pairs, which are long as the gold text is, ``EUROPARL_WEIGHT`` times as often as those of Tatoeba."""
    text = folder / "text"
    files = {
        f"{split}_{side}": f"{split}.{name}" for split in ("dev", "test") for side, name in (("source", "de"), ("target", "en"))
    }
    files["test_alignment"] = "test.align"
    corpora = {name: [f"{key}:{text / train}.{name}.{end}" for key, end in PARTS.items()] for name in ("tatoeba", "europarl")}
    corpora["europarl"].append(f"weight:{EUROPARL_WEIGHT}")
    return [
        "data=files",
        *(f"+data.corpora.{name}={{{','.join(settings)}}}" for name, settings in corpora.items()),
        *(f"data.{name}={text / file}" for name, file in files.items()),
        "data.cleaning.remove_overlap=none",
        "tokenizer.vocab_size=4000",
    ]


def corpora(folder: Path) -> dict[str, Corpus]:
    directions = ("de-en", "en-de")
    return {
        "builtin": Corpus(("en-de", "de-en"), ["data=builtin"], 2_000),
        "europarl": Corpus(directions, europarl(folder, "train"), HALF_AN_HOUR),
        "europarl_with_gold": Corpus(directions, europarl(folder, "train_with_gold"), HALF_AN_HOUR),
    }


def systems(name: str, corpus: Corpus) -> dict[str, list[str]]:
    """Settings of each system."""
    recurrent = ["experiment=quickstart", *updates(corpus.updates)]
    luong = [*recurrent, "model=luong"]
    transformer = [*TRANSFORMER, *updates(corpus.updates), "model.position=rotary"]
    found = {
        "Bahdanau": [*recurrent, "model=bahdanau"],
        "Conditional GRU": [*recurrent, "model=conditional_gru"],
        "Luong, global": luong,
        "Luong, local-p": [*luong, "model.attention.scope=local_p", "model.attention.window=10"],
        "Transformer": transformer,
        "Transformer, guided": [*transformer, *GUIDED],
        "Transformer, guided where a word is read": [*transformer, *GUIDED, "alignment.shift=true"],
    }
    if name == "builtin":
        return found
    return {system: found[system] for system in ("Bahdanau", "Transformer", "Transformer, guided where a word is read")}


def run_name(corpus: str, system: str, direction: str) -> str:
    return f"{corpus}-{system}-{direction}".lower().replace(" ", "_").replace(",", "")


def runs(folder: Path) -> list[tuple[str, list[str]]]:
    return [
        (run_name(name, system, direction), [*words, *corpus.words, *SHARED, f"data.direction={direction}"])
        for name, corpus in corpora(folder).items()
        for system, words in systems(name, corpus).items()
        for direction in corpus.directions
    ]


def prepare(folder: Path, data: Path) -> None:
    """Text that is tokenised and lower-cased as the gold text is, and the HMM's links of the training text.

    Of both training texts, with and without the gold text, there are whole files, which the HMM learns from, and those of each corpus.
    """
    from sacremoses import MosesTokenizer

    text = folder / "text"
    text.mkdir(parents=True, exist_ok=True)
    train: dict[str, list[list[str]]] = {"tatoeba": [], "europarl": []}
    gold = []
    for language in ("de", "en"):
        tokenize = MosesTokenizer(language).tokenize
        raw = {split: read_lines(data / "tatoeba-en-de" / f"{split}.{language}") for split in ("train", "valid")}
        tatoeba = {split: [tokenize(line, return_str=True, escape=False) for line in lines] for split, lines in raw.items()}
        parts = [read_lines(data / "alignment/de-en-europarl4k" / f"{name}.{language}") for name in ("toy3200", "max50")]
        tokenised = [html.unescape(line).replace(" @-@ ", "-") for part in parts for line in part]
        train["tatoeba"].append([line.lower() for line in tatoeba["train"]])
        train["europarl"].append([line.lower() for line in tokenised])
        test = read_lines(data / "alignment/de-en-europarl150" / f"test.{language}")
        gold.append(set(test))
        write(text / f"dev.{language}", (line.lower() for line in tatoeba["valid"]))
        write(text / f"test.{language}", test)
    write(text / "test.align", read_lines(data / "alignment/de-en-europarl150/test.align"))
    write_training_text(text / "train_with_gold", train)
    for name, (sources, targets) in train.items():
        kept = [source not in gold[0] and target not in gold[1] for source, target in zip(sources, targets, strict=True)]
        train[name] = [list(compress(lines, kept)) for lines in (sources, targets)]
    write_training_text(text / "train", train)


def write_training_text(whole: Path, corpora: dict[str, list[list[str]]]) -> None:
    """Files of all corpora together and of each, and the links of an HMM that learned from all."""
    paths = [Path(f"{whole}.{end}") for end in PARTS.values()]
    for path, *lines in zip(paths[:2], *corpora.values(), strict=True):
        write(path, chain.from_iterable(lines))
    subprocess.run([sys.executable, str(ROOT / "scripts/align_statistically.py"), "links", *map(str, paths)], check=True)
    links = iter(read_lines(paths[-1]))
    for name, (sources, targets) in corpora.items():
        for end, lines in zip(PARTS.values(), (sources, targets, islice(links, len(sources))), strict=True):
            write(Path(f"{whole}.{name}.{end}"), lines)


def write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{normalize(line)}\n" for line in lines), encoding="utf-8")


def measure(folder: Path) -> None:
    for name, corpus in corpora(folder).items():
        rows = []
        for system in systems(name, corpus):
            paths = [folder / run_name(name, system, direction) for direction in corpus.directions]
            if all(map(is_finished, paths)):
                rows += rows_of(system, [load_finished(RunCommand(run=str(path), threads=1)) for path in paths], paths[0])
        if rows:
            methods = [method.name.replace("_", "-") for method in Symmetrization]
            print(f"\n{name}, AER in percent\n{format_table(['', *corpus.directions, *methods], rows)}", flush=True)


def rows_of(system: str, both: list[FinishedRun], path: Path) -> Iterator[list[str]]:
    """Rows of a table, one for each way to read a system's attention."""
    there, back = both
    gold_text = read_text(str(path), there.config, "test", None, None)
    for title, (first, second) in readings(both, path):
        forward = align(there.decoder, gold_text.sources, gold_text.targets, first)
        backward = align(back.decoder, gold_text.targets, gold_text.sources, second)
        for method in (LinkMethod.argmax, LinkMethod.mutual):
            there_links, back_links = (read_by(method, alignments) for alignments in (forward, backward))
            yield [
                f"{system}{title}, {method.name}",
                *(f"{100 * rate:.1f}" for rate in rates(there_links, back_links, gold_text)),
            ]


def read_by(method: LinkMethod, alignments: list[Alignment]) -> list[Alignment]:
    """The same weights, with links that are read from them by another method."""
    config = AlignmentConfig(method=method)
    return [replace(alignment, links=read_links(alignment.weights, config)) for alignment in alignments]


def readings(both: list[FinishedRun], path: Path) -> Iterator[tuple[str, tuple[AlignmentConfig, AlignmentConfig]]]:
    """How the attention of a system may be read, without gold links: as it is set; where it is not guided, weighted by gradients; and of
    such a Transformer from the layer and head that agree most with those of the other direction, where a word is predicted and where it
    is read."""
    there, back = both
    own = there.config.alignment, back.config.alignment
    is_transformer = there.config.model.kind is ModelKind.transformer
    if there.config.loss.alignment_weight:
        yield "", own
        return
    yield ", top layer, mean of heads" if is_transformer else "", own
    first, second = (replace(config, attribution=Attribution.gradient_attention) for config in own)
    yield ", weighted by gradients", (first, second)
    if not is_transformer:
        return
    dev = read_text(str(path), there.config, "dev", None, None)
    sources, targets = dev.sources[:NUM_SELECTED], dev.targets[:NUM_SELECTED]
    argmax = replace(own[0], method=LinkMethod.argmax)
    forward = candidates(there.decoder, sources, targets, argmax)
    backward = candidates(back.decoder, targets, sources, argmax)

    def best(title: str, kept: Callable[[AlignmentConfig], bool]) -> tuple[str, tuple[AlignmentConfig, AlignmentConfig]]:
        def among(found: list[Candidate]) -> list[Candidate]:
            return [candidate for candidate in found if kept(candidate.config)]

        first, second, share = best_by_agreement(among(forward), among(backward))
        print(f"{title}: {describe(first.config)}; back {describe(second.config)}; agreement {100 * share:.1f} %", flush=True)
        return f", {title}", (first.config, second.config)

    yield best("best layer and head", lambda config: not config.shift)
    yield best("Shift-Att, best layer", lambda config: config.shift and config.head is None)
    yield best("Shift-Att, best layer and head", lambda config: config.shift)


def rates(forward: list[Alignment], backward: list[Alignment], text: ParallelText) -> Iterator[float]:
    """Alignment error rates of both directions, and of what each way to join them makes."""
    assert text.links is not None
    gold = [parse_links(line) for line in text.links]
    turned = [parse_links(swap_links(line)) for line in text.links]

    def rate(found: list[Alignment], gold: list[Links]) -> float:
        return score_alignments(found, gold)["sure_and_possible"].aer

    yield rate(forward, gold)
    yield rate(backward, turned)
    for method in Symmetrization:
        yield rate(symmetrized(forward, backward, method), gold)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "train", "measure"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--lane", default="1/1")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.what == "prepare":
        if arguments.data is None:
            parser.error("prepare needs the folder of the corpora")
        prepare(folder, arguments.data.resolve())
    elif arguments.what == "train":
        train(folder, runs(folder), arguments.lane)
    else:
        measure(folder)


if __name__ == "__main__":
    main()
