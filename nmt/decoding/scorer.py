"""The log-probability of given translations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nmt.config import Precision
from nmt.data.batching import pad_ids
from nmt.data.plan import length_buckets
from nmt.data.tokenizer import BOS, EOS, Tokenizers
from nmt.hardware import autocast
from nmt.layout import Layout
from nmt.models.interface import Predictor


@dataclass(frozen=True, slots=True)
class TargetScore:
    """A target's pieces without EOS, and the log-probabilities of them and of EOS, in nats; no EOS where nothing was to be scored."""

    num_source_pieces: int
    ids: list[int]
    log_probs: list[float]

    @property
    def score(self) -> float:
        """Their sum, which is what search gives as the score of a hypothesis."""
        return math.fsum(self.log_probs)


class Scorer:
    """A model ready to score pairs of lines; ``model`` is on ``device`` and in eval mode.

    ``max_tokens`` bounds the padded positions of a batch on its longer side, one long pair apart; ``chunk_size`` is the number of target
    positions whose logits exist at a time.
    """

    def __init__(
        self,
        model: Predictor,
        tokenizers: Tokenizers,
        device: torch.device,
        precision: Precision,
        *,
        max_tokens: int = 4_096,
        chunk_size: int = 512,
    ) -> None:
        self.model, self.tokenizers, self.device, self.precision = model, tokenizers, device, precision
        self.max_tokens, self.chunk_size = max_tokens, chunk_size

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[TargetScore]:
        """The score of each target given its source, in their order. Lines are normalised as the training text was.

        Two lines without words score 0, as a blank translation of a blank line does. Where one side alone has words, the model is asked:
        the other is EOS and nothing else.
        """
        source_ids, target_ids = self.tokenizers.source.encode(sources), self.tokenizers.target.encode(targets)
        scores = [TargetScore(0, [], [])] * len(sources)
        worded = np.array([i for i, ids in enumerate(zip(source_ids, target_ids, strict=True)) if any(ids)], dtype=np.int64)
        if not len(worded):
            return scores
        source_lengths = np.array([len(source_ids[i]) + 1 for i in worded])
        target_lengths = np.array([len(target_ids[i]) + 1 for i in worded])
        budget = max(self.max_tokens, int(source_lengths.max()), int(target_lengths.max()))
        for bucket in length_buckets(source_lengths, target_lengths, budget):
            pairs = worded[bucket].tolist()
            log_probs = self.score_batch([source_ids[i] for i in pairs], [target_ids[i] for i in pairs])
            parts = log_probs.split([len(target_ids[i]) + 1 for i in pairs])
            for i, part in zip(pairs, parts, strict=True):
                scores[i] = TargetScore(len(source_ids[i]), target_ids[i], part.tolist())
        return scores

    @torch.inference_mode()
    def score_batch(self, sources: list[list[int]], targets: list[list[int]]) -> Float[Tensor, " N"]:
        """Log-probabilities of the pieces and EOS of each target, one target after the other, on the CPU; one teacher-forced pass."""
        source_layout, target_layout = (Layout.of([len(row) + 1 for row in rows]) for rows in (sources, targets))
        source = pad_ids([[*row, EOS] for row in sources], source_layout).to(self.device)
        target_in = pad_ids([[BOS, *row] for row in targets], target_layout).to(self.device)
        target_out = pad_ids([[*row, EOS] for row in targets], target_layout).to(self.device)
        target_layout = target_layout.to(self.device)
        with autocast(self.device, self.precision):
            memory = self.model.encode(source, source_layout.to(self.device))
            hidden = target_layout.real(self.model.decode(target_in, target_layout, memory))  # (N, D)
            pieces = target_layout.real(target_out).unsqueeze(1)  # (N, 1)
            chunks = zip(hidden.split(self.chunk_size), pieces.split(self.chunk_size), strict=True)
            return torch.cat([self._log_probs(*chunk) for chunk in chunks]).cpu()

    def _log_probs(self, hidden: Float[Tensor, "C D"], pieces: Tensor) -> Float[Tensor, " C"]:
        logits = self.model.output(hidden)
        return (logits.gather(1, pieces) - logits.logsumexp(1, keepdim=True)).squeeze(1)
