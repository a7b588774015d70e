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
from nmt.data.batching import Batch, IdPairs, make_batch
from nmt.data.tokenizer import Tokenizers
from nmt.hardware import autocast
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
        pairs = IdPairs([source_ids[i] for i in worded], [target_ids[i] for i in worded])
        for bucket in pairs.buckets(self.max_tokens):
            batch = make_batch(pairs, bucket)
            parts = self.score_batch(batch).split(batch.target_layout.lengths.tolist())
            for i, part in zip(worded[bucket], parts, strict=True):
                scores[i] = TargetScore(len(source_ids[i]), target_ids[i], part.tolist())
        return scores

    @torch.inference_mode()
    def score_batch(self, batch: Batch) -> Float[Tensor, " N"]:
        """Log-probabilities of the pieces and EOS of each target, one target after the other, on the CPU; one teacher-forced pass."""
        batch = batch.to(self.device)
        layout = batch.target_layout
        with autocast(self.device, self.precision):
            memory = self.model.encode(batch.source, batch.source_layout)
            hidden = layout.real(self.model.decode(batch.target_in, layout, memory))  # (N, D)
            pieces = layout.real(batch.target_out).unsqueeze(1)  # (N, 1)
            chunks = zip(hidden.split(self.chunk_size), pieces.split(self.chunk_size), strict=True)
            return torch.cat([self._log_probs(*chunk) for chunk in chunks]).cpu()

    def _log_probs(self, hidden: Float[Tensor, "C D"], pieces: Tensor) -> Float[Tensor, " C"]:
        logits = self.model.output(hidden)
        return (logits.gather(1, pieces) - logits.logsumexp(1, keepdim=True)).squeeze(1)
