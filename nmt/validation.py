"""What is measured and shown of a model while it trains."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import torch

from nmt import distributed
from nmt.alignment.aligner import Alignment, align, score_alignments, step_folder, write_alignments
from nmt.alignment.diagnostics import diagnose
from nmt.alignment.forced import ForcedDecoder
from nmt.config import Config, MetricName
from nmt.data.batching import make_batch
from nmt.data.links import parse_links
from nmt.data.plan import length_buckets
from nmt.data.reader import languages
from nmt.data.store import Split
from nmt.decoding.translator import Translator
from nmt.evaluation.evaluator import evaluate
from nmt.hardware import autocast
from nmt.report.heatmap import heatmap_figure
from nmt.rules import token_budget
from nmt.text import printable
from nmt.tracking import Tracker
from nmt.training.objective import Objective

METRICS = (MetricName.bleu, MetricName.chrf)
"""What dev translations are scored by while training goes on."""


class Validation:
    """Scores on the dev split, with sample translations and heatmaps of its first sentences for TensorBoard; their alignments are kept
    in ``alignment_folder``, a folder a step, so that it can be seen how they came about."""

    def __init__(
        self,
        objective: Objective,
        translator: Translator,
        split: Split,
        tracker: Tracker,
        config: Config,
        alignment_folder: Path,
    ) -> None:
        self.objective, self.translator, self.split, self.tracker, self.config = objective, translator, split, tracker, config
        self.alignment_folder = alignment_folder

    def __call__(self, step: int) -> dict[str, float]:
        """Unsmoothed nll in nats a token, its perplexity, BLEU and chrF of beam-search translations against raw references, and, where
        gold links are known, the alignment error rate of the attention over the references.

        Several processes share the sentences, and all have the scores; the main one alone reads attention.
        """
        nll = dev_nll(self.objective, self.split, self.config, self.translator.device)
        evaluation = evaluate(
            self.translator, self.split.source_lines, [self.split.target_lines], METRICS, languages(self.config.data)[1]
        )
        scores = {f"dev_{score.name}": score.value for score in evaluation.scores}
        if distributed.is_main():
            hypotheses = [translation.text for translation in evaluation.translations]
            self._show(step, hypotheses[: self.config.tracking.num_samples])
            self._diagnose(step, hypotheses[: self.config.alignment.num_diagnosed])
            if links := self.split.links:
                alignments = self._align(self.split.source_lines, self.split.target_lines)
                scores["dev_aer"] = score_alignments(alignments, [parse_links(line) for line in links])["sure_and_possible"].aer
        return {"dev_nll": nll, "dev_perplexity": math.exp(min(nll, 700.0)), **scores}

    def _show(self, step: int, hypotheses: list[str]) -> None:
        """Heatmaps read the attention over the references, so that they can be compared from one validation to the next."""
        count = len(hypotheses)
        sources, references = self.split.source_lines[:count], self.split.target_lines[:count]
        rows = zip(sources, references, hypotheses, strict=True)
        self.tracker.text(
            step,
            "samples",
            "\n\n---\n\n".join(
                f"**source** {printable(source)}  \n**reference** {printable(reference)}  \n**hypothesis** {printable(hypothesis)}"
                for source, reference, hypothesis in rows
            ),
        )
        alignments = self._align(sources, references)
        write_alignments(step_folder(self.alignment_folder, step), alignments)
        for i, alignment in enumerate(alignments):
            if alignment.links:
                self.tracker.figure(step, f"attention/{i}", partial(heatmap_figure, alignment))

    def _diagnose(self, step: int, hypotheses: list[str]) -> None:
        diagnostics = diagnose(self._decoder, self.split.source_lines[: len(hypotheses)], hypotheses, self.config.alignment)
        if means := diagnostics.means():
            self.tracker.scalars(step, means)

    def _align(self, sources: list[str], targets: list[str]) -> list[Alignment]:
        return align(self._decoder, sources, targets, self.config.alignment)

    @property
    def _decoder(self) -> ForcedDecoder:
        translator = self.translator
        return ForcedDecoder(self.objective.model, translator.tokenizers, translator.device, translator.precision)


def dev_nll(objective: Objective, split: Split, config: Config, device: torch.device) -> float:
    """Mean unsmoothed negative log-likelihood of a split, in nats a target token."""
    sources, targets = split.source_lengths.astype(np.int64) + 1, split.target_lengths.astype(np.int64) + 1
    budget = max(token_budget(config.train), int(sources.max()), int(targets.max()))
    nll_sum, num_tokens = 0.0, 0
    with torch.inference_mode(), autocast(device, config.precision):
        for sentences in distributed.share(length_buckets(sources, targets, budget)):
            losses = objective(make_batch(split, sentences).to(device))
            nll_sum += float(losses.nll_sum)
            num_tokens += losses.num_tokens
    sums = torch.tensor([nll_sum, num_tokens], dtype=torch.float64)
    distributed.sum_in_place([sums])
    return float(sums[0] / sums[1])
