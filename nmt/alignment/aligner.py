"""Word alignments of given sentence pairs, read from a model's attention."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.alignment.attribution import attribute
from nmt.alignment.forced import ForcedDecoder
from nmt.alignment.links import AlignmentScores, alignment_scores, read_links, without_sinks, word_weights
from nmt.alignment.symmetrization import symmetrize
from nmt.config import AlignmentConfig, Symmetrization
from nmt.data.links import Link, Links, check_links, format_links, parse_links
from nmt.decoding.translator import Translation
from nmt.errors import ConfigError
from nmt.files import read_json_lines, read_written_lines, write_bytes_atomic, write_json_atomic, write_text_atomic


@dataclass(frozen=True, slots=True)
class Alignment:
    """A sentence pair and what each target word attends to.

    Attributes:
        weights: (target words, source words) float32. They are as the model made them: what a word gives to the end of the source
            is left out and not made up for, so a row sums to at most 1, unless ``alignment.without_end`` is set. Of the other
            attributions they are shares of what speaks for a word.
        links: read from the weights by ``alignment.method``; at most one source word a target word, unless that is ``threshold``.
    """

    source_words: list[str]
    target_words: list[str]
    weights: npt.NDArray[np.float32]
    links: frozenset[Link]


def align(decoder: ForcedDecoder, sources: Sequence[str], targets: Sequence[str], config: AlignmentConfig) -> list[Alignment]:
    """The alignment of each pair by forced decoding.

    A target word's row is what ``alignment.attribution`` says of its pieces while they are predicted, unless that is something else the
    cross-attention (Bahdanau et al. 2015, section 5.2.1); or with ``alignment.shift`` of the step after, when they are the decoder's input
    (Chen et al. 2020, where that aligns better; not in every Transformer, see docs/results.md). Words are the normalised line's,
    separated by blanks; a pair with a blank side has no links.

    Raises:
        ConfigError: the model does not have the layer or head.
    """
    tokenizers, pairs = decoder.tokenizers, decoder.pairs(sources, targets)
    alignments = [_unaligned(*sides) for sides in zip(pairs.source_words, pairs.target_words, strict=True)]
    for batch in decoder.batches(pairs):
        with decoder.autocast():
            scores = attribute(decoder.model, batch, config).cpu().numpy()
        for i, sentence in zip(batch.sentences, scores, strict=True):
            source, target = pairs.ids.source[i], pairs.ids.target[i]
            first = int(config.shift)  # row t has read t pieces and predicts the next; the last one predicts EOS
            pieces = sentence[first : first + len(target), : len(source)]  # without the column of EOS
            of_words = word_weights(pieces, tokenizers.source.word_index(source), tokenizers.target.word_index(target))
            words = alignments[i].source_words, alignments[i].target_words
            of_words = without_sinks(of_words, *words, config)
            alignments[i] = replace(alignments[i], weights=of_words, links=read_links(of_words, config))
    return alignments


def symmetrized(forward: Sequence[Alignment], backward: Sequence[Alignment], method: Symmetrization) -> list[Alignment]:
    """Alignments whose links are those of both directions, joined; weights are those of ``forward``.

    Raises:
        ConfigError: the two do not see the same words.
    """
    joined = []
    for number, (there, back) in enumerate(zip(forward, backward, strict=True), start=1):
        if (there.source_words, there.target_words) != (back.target_words, back.source_words):
            raise ConfigError(f"the two runs normalise text differently: of pair {number} they see other words")
        links = symmetrize(there.links, frozenset((s, t) for t, s in back.links), method)
        joined.append(replace(there, links=links))
    return joined


def translation_links(
    decoder: ForcedDecoder, translations: Sequence[Translation], config: AlignmentConfig
) -> list[frozenset[Link]]:
    """The links between the words of each line and those of its translation, by :func:`align`; a line that was split is aligned part
    by part."""
    pairs = [pair for translation in translations for pair in translation.parts]
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    alignments = iter(align(decoder, sources, targets, config))
    links = []
    for translation in translations:
        of_line: set[Link] = set()
        source_before, target_before = 0, 0
        for source, _ in translation.parts:
            alignment = next(alignments)
            of_line |= {(source_before + s, target_before + t) for s, t in alignment.links}
            source_before += len(alignment.source_words) - (not source.endswith(" "))  # else the next part goes on with this word
            target_before += len(alignment.target_words)
        links.append(frozenset(of_line))
    return links


def _unaligned(source_words: list[str], target_words: list[str]) -> Alignment:
    return Alignment(source_words, target_words, np.zeros((len(target_words), len(source_words)), np.float32), frozenset())


def write_alignments(
    folder: Path, alignments: Sequence[Alignment], gold: Sequence[Links] | None = None
) -> dict[str, AlignmentScores]:
    """Write alignments, and their scores where there are gold links, and give the scores.

    ``links.txt`` has a line of Pharaoh links a pair; ``sentences.jsonl`` the words; ``attention.npz`` an array (target words, source
    words) a pair, ``sentence_0000``, ``sentence_0001``, ...; ``scores.json`` the scores ``sure_and_possible``, and ``sure_only``,
    where a link that is only possible is none.

    Raises:
        DataError: a gold link points to a word that is not there.
    """
    scores = score_alignments(alignments, gold) if gold is not None else {}
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "links.txt", "".join(format_links(alignment.links) + "\n" for alignment in alignments))
    pairs = ({"source": alignment.source_words, "target": alignment.target_words} for alignment in alignments)
    write_text_atomic(folder / "sentences.jsonl", "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs))
    arrays: dict[str, Any] = {f"sentence_{i:04d}": alignment.weights for i, alignment in enumerate(alignments)}
    archive = io.BytesIO()
    np.savez_compressed(archive, **arrays)
    write_bytes_atomic(folder / "attention.npz", archive.getvalue())
    if scores:
        write_json_atomic(folder / "scores.json", {name: asdict(score) for name, score in scores.items()})
    return scores


def read_alignments(folder: Path) -> list[Alignment]:
    """What :func:`write_alignments` wrote."""
    pairs = read_json_lines(folder / "sentences.jsonl")
    links = [parse_links(line).sure for line in read_written_lines(folder / "links.txt")]
    with np.load(folder / "attention.npz", allow_pickle=False) as arrays:
        return [
            Alignment(pair["source"], pair["target"], arrays[f"sentence_{i:04d}"], of_pair)
            for i, (pair, of_pair) in enumerate(zip(pairs, links, strict=True))
        ]


def step_folder(folder: Path, step: int) -> Path:
    """Where the alignments after a step of training are."""
    return folder / f"step-{step:08d}"


def read_steps(folder: Path) -> dict[int, list[Alignment]]:
    """The alignments of the same pairs by the step after which they were made."""
    return {int(path.name.removeprefix("step-")): read_alignments(path) for path in sorted(folder.glob("step-*"))}


def score_alignments(alignments: Sequence[Alignment], gold: Sequence[Links]) -> dict[str, AlignmentScores]:
    """Scores against gold links, and against their sure links alone.

    Raises:
        DataError: a gold link points to a word that is not there.
    """
    for number, (alignment, links) in enumerate(zip(alignments, gold, strict=True), start=1):
        check_links(links, len(alignment.source_words), len(alignment.target_words), f"gold links, line {number}")
    predicted = [alignment.links for alignment in alignments]
    return {
        "sure_and_possible": alignment_scores(predicted, gold),
        "sure_only": alignment_scores(predicted, [links.sure_only() for links in gold]),
    }
