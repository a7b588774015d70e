"""Hypotheses that are drawn, a piece at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nmt.config import SearchConfig
from nmt.data.tokenizer import BOS, EOS
from nmt.decoding.constraints import Constraint, forbidden_pieces
from nmt.decoding.hypotheses import Hypothesis, finished


@dataclass(slots=True)
class Samples:
    """K samples of each of B sentences, independent of each other.

    The uniform numbers that decide a sample come from a generator of its own, so that it does not depend on what else is in the batch.

    Attributes:
        sentences: (B,) which sentences of the batch that came in these are.
        max_lengths: (B,) the most pieces of a sample, EOS counted.
        draws: (B, K, L) the uniform number for each place of a sample.
        ids: (B, K, T) BOS and T - 1 pieces; after a sample's end more of EOS.
        scores: (B, K) the log-probabilities that the model gives them.
        ended: (B, K) which of them are complete.
    """

    config: SearchConfig
    constraints: Sequence[Constraint]
    sentences: Int[Tensor, " B"]
    max_lengths: Int[Tensor, " B"]
    draws: Float[Tensor, "B K L"]
    ids: Int[Tensor, "B K T"]
    scores: Float[Tensor, "B K"]
    ended: Bool[Tensor, "B K"]

    @staticmethod
    def start(
        max_lengths: Int[Tensor, " B"],
        config: SearchConfig,
        constraints: Sequence[Constraint],
        seeds: Sequence[Sequence[int]],
        device: torch.device,
    ) -> Samples:
        """``num_best`` samples of each sentence, of BOS so far; k and the sentence's seed choose the generator of the k-th."""
        longest = int(max_lengths.max())
        draws = np.stack([[np.random.default_rng([*s, k]).random(longest) for k in range(config.num_best)] for s in seeds])
        ids = torch.full((len(max_lengths), config.num_best, 1), BOS, device=device)
        return Samples(
            config=config,
            constraints=constraints,
            sentences=torch.arange(len(max_lengths), device=device),
            max_lengths=max_lengths.to(device),
            draws=torch.from_numpy(draws).to(device),
            ids=ids,
            scores=torch.zeros(ids.shape[:2], device=device),
            ended=torch.zeros(ids.shape[:2], dtype=torch.bool, device=device),
        )

    def extend(self, logits: Float[Tensor, "B K V"], attention: Float[Tensor, "R S"] | None = None) -> Int[Tensor, "B K"]:
        """Go on by one piece, or end; gives the row, of B * K, that each sample extends: its own. What it attends to does not matter."""
        length = self.ids.shape[2]
        log_probs = logits.log_softmax(-1)
        forbidden = forbidden_pieces(self.constraints, self.ids, self.sentences, logits.shape[-1])
        pieces = draw(log_probs.masked_fill(forbidden, -torch.inf), self.draws[:, :, length - 1], self.config)
        pieces = pieces.masked_fill(self.ended | (self.max_lengths == length).unsqueeze(1), EOS)
        gained = log_probs.gather(2, pieces.unsqueeze(2)).squeeze(2)
        self.scores = self.scores + gained.masked_fill(self.ended, 0.0)
        self.ended = self.ended | (pieces == EOS)
        self.ids = torch.cat([self.ids, pieces.unsqueeze(2)], dim=2)
        return torch.arange(self.ended.numel(), device=pieces.device).view_as(pieces)

    def undecided(self) -> Bool[Tensor, " B"]:
        """Whether a sample of the sentence has not ended."""
        return ~self.ended.all(1)

    def select(self, sentences: Int[Tensor, " B2"]) -> Samples:
        """The samples of some of the sentences."""
        names = ("sentences", "max_lengths", "draws", "ids", "scores", "ended")
        return replace(self, **{name: getattr(self, name)[sentences] for name in names})

    def results(self) -> dict[int, list[Hypothesis]]:
        """The samples of each sentence in the order of their numbers, so that the first is as good as any."""
        lengths = (self.ids != EOS).sum(2)  # BOS stands in for EOS
        return finished(self.sentences, self.ids, self.scores, self.scores / lengths**self.config.length_penalty)


def draw(log_probs: Float[Tensor, "B K V"], uniform: Float[Tensor, "B K"], config: SearchConfig) -> Int[Tensor, "B K"]:
    """The pieces that uniform numbers choose, by the inverse of the distribution function.

    First ``temperature``, then ``top_k``, then ``top_p`` change the distribution; what has a log-probability of -inf is not drawn.
    """
    probs = (log_probs.double() / config.temperature).softmax(-1)
    if config.top_k:
        probs = most_probable(probs, config.top_k)
    if config.top_p < 1:
        probs = nucleus(probs, config.top_p)
    below = probs.cumsum(-1)
    return (below <= uniform.unsqueeze(-1) * below[..., -1:]).sum(-1)


def most_probable(probs: Float[Tensor, "B K V"], k: int) -> Float[Tensor, "B K V"]:
    """The ``k`` largest probabilities of each row, as they are; zero elsewhere (Fan et al. 2018, section 5.1)."""
    values, places = probs.topk(min(k, probs.shape[-1]))
    return torch.zeros_like(probs).scatter_(2, places, values)


def nucleus(probs: Float[Tensor, "B K V"], p: float) -> Float[Tensor, "B K V"]:
    """The largest probabilities that together make a share of ``p`` of their row, and no more of them than that takes; zero elsewhere
    (Holtzman et al. 2020, section 3.1)."""
    values, places = probs.sort(dim=-1, descending=True, stable=True)
    sums = values.cumsum(-1)
    values = values.masked_fill(sums - values >= p * sums[..., -1:], 0.0)
    return torch.zeros_like(probs).scatter_(2, places, values)
