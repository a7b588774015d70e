"""The hypotheses of beam search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from nmt.config import SearchConfig
from nmt.data.tokenizer import BOS, EOS, PAD, UNK
from nmt.decoding.constraints import Constraint, forbidden_pieces
from nmt.decoding.coverage import Coverage
from nmt.decoding.hypotheses import Hypothesis, finished

NEVER = [PAD, UNK, BOS, EOS]
"""Pieces that no hypothesis goes on with."""


@dataclass(slots=True)
class Beam:
    """The hypotheses of B sentences, K open and K ended ones of each; a place that is not taken has a score of -inf.

    Attributes:
        sentences: (B,) which sentences of the batch that came in these are.
        max_lengths: (B,) the most pieces of a hypothesis, EOS counted.
        length_penalty: exponent of the length in ``ended_ranks``.
        constraints: what an open hypothesis may not go on with.
        coverage: what the open ones attended to, where that matters to ``ended_ranks``.
        ids: (B, K, T) the open ones: BOS and T - 1 pieces.
        scores: (B, K) their log-probabilities.
        ended_ids: (B, K, T) the ended ones: BOS, pieces, EOS, and more of EOS.
        ended_scores: (B, K) their log-probabilities.
        ended_ranks: (B, K) what they are ordered by, best first.
    """

    sentences: Int[Tensor, " B"]
    max_lengths: Int[Tensor, " B"]
    length_penalty: float
    constraints: Sequence[Constraint]
    coverage: Coverage | None
    ids: Int[Tensor, "B K T"]
    scores: Float[Tensor, "B K"]
    ended_ids: Int[Tensor, "B K T"]
    ended_scores: Float[Tensor, "B K"]
    ended_ranks: Float[Tensor, "B K"]

    @staticmethod
    def start(
        max_lengths: Int[Tensor, " B"],
        config: SearchConfig,
        constraints: Sequence[Constraint],
        coverage: Coverage | None,
        device: torch.device,
    ) -> Beam:
        """One open hypothesis a sentence: BOS."""
        ids = torch.full((len(max_lengths), config.beam_size, 1), BOS, device=device)
        none = torch.full(ids.shape[:2], -math.inf, device=device)
        scores = none.clone()
        scores[:, 0] = 0
        sentences = torch.arange(len(max_lengths), device=device)
        return Beam(sentences, max_lengths.to(device), config.length_penalty, constraints, coverage, ids, scores, ids, none, none)

    def extend(self, logits: Float[Tensor, "B K V"], attention: Float[Tensor, "R S"] | None = None) -> Int[Tensor, "B K"]:
        """Go on by one piece; gives for each open hypothesis the row, of B * K, that it extends. Spends ``logits``."""
        num_sentences, width, vocab_size = logits.shape
        if self.coverage and attention is not None:
            self.coverage.add(attention)
        if all(constraint.end_alone for constraint in self.constraints):  # masks took an eighth of a search with a least length
            endings, extensions, pieces = following(self.scores, logits, width)
            if any(constraint.forbids_end(self.ids) for constraint in self.constraints):
                endings = torch.full_like(endings, -math.inf)
        else:
            forbidden = forbidden_pieces(self.constraints, self.ids, self.sentences, vocab_size)
            endings, extensions, pieces = permitted(self.scores, logits, forbidden, width)
        num_extensions = pieces.shape[-1]
        extensions, places = extensions.flatten(1).topk(width)  # (B, K)
        parents, pieces = places // num_extensions, pieces.flatten(1).gather(1, places)
        at_limit = self.max_lengths == self.ids.shape[2]
        extensions = extensions.masked_fill(at_limit.unsqueeze(1), -math.inf)

        candidates = torch.cat([endings, extensions], dim=1)  # (B, 2K)
        survivors = candidates.topk(width).indices
        candidates = torch.full_like(candidates, -math.inf).scatter(1, survivors, candidates.gather(1, survivors))
        endings, self.scores = candidates.chunk(2, dim=1)

        self._keep(endings)
        self.ids = torch.cat([torch.take_along_dim(self.ids, parents.unsqueeze(-1), dim=1), pieces.unsqueeze(-1)], dim=2)
        if self.coverage:
            self.coverage.follow(parents)
        return parents + width * torch.arange(num_sentences, device=parents.device).unsqueeze(1)

    def _keep(self, endings: Float[Tensor, "B K"]) -> None:
        """Take the open hypotheses that end now, with these scores, among the ended ones where they are good enough."""
        length = self.ids.shape[2]  # BOS stands in for EOS
        ranks = endings / length**self.length_penalty
        if self.coverage:
            ranks = ranks + self.coverage.penalty()
        self.ended_ranks, best = torch.cat([self.ended_ranks, ranks], dim=1).topk(endings.shape[1])
        self.ended_scores = torch.cat([self.ended_scores, endings], dim=1).gather(1, best)
        ids = torch.take_along_dim(torch.cat([self.ended_ids, self.ids], dim=1), best.unsqueeze(-1), dim=1)
        self.ended_ids = F.pad(ids, (0, 1), value=EOS)  # (B, K, T + 1)

    def undecided(self) -> Bool[Tensor, " B"]:
        """Whether an open hypothesis of the sentence may still get among its best ended ones; a coverage penalty may yet be 0."""
        attainable = self.scores.amax(1) / self.max_lengths**self.length_penalty
        return attainable > self.ended_ranks[:, -1]

    def select(self, sentences: Int[Tensor, " B2"]) -> Beam:
        """The beam of some of its sentences."""
        names = ("sentences", "max_lengths", "ids", "scores", "ended_ids", "ended_scores", "ended_ranks")
        coverage = self.coverage.select(sentences) if self.coverage else None
        return replace(self, coverage=coverage, **{name: getattr(self, name)[sentences] for name in names})

    def results(self) -> dict[int, list[Hypothesis]]:
        """The ended hypotheses of each sentence, best first."""
        return finished(self.sentences, self.ended_ids, self.ended_scores, self.ended_ranks)


Extensions = tuple[Float[Tensor, "B K"], Float[Tensor, "B K k"], Int[Tensor, "B K k"]]
"""Log-probabilities of hypotheses with EOS after them, and with each of their k best next pieces; which pieces those are."""


def following(scores: Float[Tensor, "B K"], logits: Float[Tensor, "B K V"], k: int) -> Extensions:
    """What follows hypotheses of these log-probabilities, fewer than ``k`` pieces where there are not so many. Spends ``logits``."""
    unwanted = logits[..., NEVER].clone()
    logits[..., NEVER] = -math.inf
    best, pieces = largest(logits, k)
    shift = torch.maximum(best[..., :1], unwanted.amax(-1, keepdim=True))
    total = logits.sub_(shift).exp_().sum(-1) + (unwanted - shift).exp().sum(-1)  # as logsumexp, without memory for a copy
    offsets = scores - shift.squeeze(-1) - total.log()  # (B, K)
    return offsets + unwanted[..., NEVER.index(EOS)], offsets.unsqueeze(-1) + best, pieces


def permitted(
    scores: Float[Tensor, "B K"], logits: Float[Tensor, "B K V"], forbidden: Bool[Tensor, "B K V"], k: int
) -> Extensions:
    """:func:`following` where some pieces are forbidden: they keep their share of the probability, but have -inf here."""
    log_probs = logits.log_softmax(-1).masked_fill_(forbidden, -math.inf)
    endings = scores + log_probs[..., EOS]
    log_probs[..., EOS] = -math.inf
    best, pieces = largest(log_probs, k)
    return endings, scores.unsqueeze(-1) + best, pieces


def largest(logits: Float[Tensor, "B K V"], k: int, num_groups: int = 128) -> tuple[Float[Tensor, "B K k"], Int[Tensor, "B K k"]]:
    """The ``k`` largest logits of each row, and where they stand; as ``topk``, or all of them where a row has fewer.

    In two stages: places v, v + G, v + 2 G, ... are a group, and the largest logits lie in the ``k`` groups with the largest maxima. The
    maxima are one pass in the order of memory: on the CPU a fifth of the time of ``topk``.
    """
    size = logits.shape[-1] // num_groups
    if size == 0 or k > num_groups:
        return logits.topk(min(k, logits.shape[-1]))
    maxima = logits[..., : size * num_groups].unflatten(-1, (size, num_groups)).amax(-2)  # (B, K, G)
    groups = maxima.topk(k).indices.unsqueeze(-1)
    members = (groups + num_groups * torch.arange(size, device=logits.device)).flatten(-2)  # (B, K, k * size)
    beyond = torch.arange(size * num_groups, logits.shape[-1], device=logits.device).expand(*logits.shape[:-1], -1)
    members = torch.cat([members, beyond], dim=-1)
    values, places = logits.gather(-1, members).topk(k)
    return values, members.gather(-1, places)
