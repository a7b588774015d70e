"""Greedy and beam search, over ids alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from nmt.config import SearchConfig
from nmt.data.tokenizer import BOS, EOS, PAD, UNK
from nmt.errors import RunFailure
from nmt.layout import Layout
from nmt.models.interface import Seq2Seq

NEVER = [PAD, UNK, BOS, EOS]
"""Pieces that no hypothesis goes on with."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished target without BOS and EOS; ``score`` is the sum of the log-probabilities of its pieces and of EOS, in nats."""

    ids: list[int]
    score: float


@torch.inference_mode()
def search(model: Seq2Seq, source: Int[Tensor, "..."], source_layout: Layout, config: SearchConfig) -> list[list[Hypothesis]]:
    """The best targets of each source sentence, best first, at most ``beam_size`` of them.

    A step extends the open hypotheses of a sentence by every piece; of all that come out, those that end (in EOS) and those that do
    not, the ``beam_size`` most probable survive. With a beam of 1 this is greedy search. PAD, BOS and UNK are never generated, but
    keep their share of the probability. At the length limit only EOS may follow, at its own log-probability.

    The ``beam_size`` best ended hypotheses are kept, ranked by score / length ** ``length_penalty``, where the length counts the
    pieces and EOS. A sentence is decided, and leaves the batch, when no open hypothesis can outrank the worst of a full set. With a
    penalty of at least 0 this loses nothing: log-probabilities only fall, so none gets beyond its score now at the longest length.

    Deviations: Wu et al. 2016 (section 7) divide by ((5 + length) / 6) ** penalty, and also prune by the distance from the best.

    Raises:
        RunFailure: the model gives no finite log-probabilities.
    """
    width = config.beam_size
    memory = model.encode(source, source_layout)
    state = model.init_state(memory, width)
    beam = Beam.start(source_layout, config, source.device)
    results: dict[int, list[Hypothesis]] = {}
    while True:
        output = model.step(beam.ids[:, :, -1].flatten(), state, memory)
        rows = beam.extend(model.output(output.hidden).float().unflatten(0, (-1, width)))
        undecided = beam.undecided()
        staying = undecided.nonzero().squeeze(1)  # (B2,); waits for the device
        if len(staying) < len(undecided):
            results |= beam.select((~undecided).nonzero().squeeze(1)).results()
            if not len(staying):
                return [results[sentence] for sentence in range(source_layout.num_sentences)]
            beam, memory, rows = beam.select(staying), memory.select(staying), rows[staying]
        state = output.state.select(rows.flatten())


@dataclass(slots=True)
class Beam:
    """The hypotheses of B sentences, K open and K ended ones of each; a place that is not taken has a score of -inf.

    Attributes:
        sentences: (B,) which sentences of the batch that came in these are.
        max_lengths: (B,) the most pieces of a hypothesis, EOS counted.
        length_penalty: exponent of the length in ``ended_ranks``.
        ids: (B, K, T) the open ones: BOS and T - 1 pieces.
        scores: (B, K) their log-probabilities.
        ended_ids: (B, K, T) the ended ones: BOS, pieces, EOS, and more of EOS.
        ended_scores: (B, K) their log-probabilities.
        ended_ranks: (B, K) what they are ordered by, best first.
    """

    sentences: Int[Tensor, " B"]
    max_lengths: Int[Tensor, " B"]
    length_penalty: float
    ids: Int[Tensor, "B K T"]
    scores: Float[Tensor, "B K"]
    ended_ids: Int[Tensor, "B K T"]
    ended_scores: Float[Tensor, "B K"]
    ended_ranks: Float[Tensor, "B K"]

    @staticmethod
    def start(source_layout: Layout, config: SearchConfig, device: torch.device) -> Beam:
        """One open hypothesis a sentence: BOS."""
        num_pieces = source_layout.lengths.double() - 1  # EOS is none
        max_lengths = (config.max_length_ratio * num_pieces + config.max_length_offset).long().clamp(min=0) + 1
        ids = torch.full((len(max_lengths), config.beam_size, 1), BOS, device=device)
        none = torch.full(ids.shape[:2], -math.inf, device=device)
        scores = none.clone()
        scores[:, 0] = 0
        sentences = torch.arange(len(max_lengths), device=device)
        return Beam(sentences, max_lengths.to(device), config.length_penalty, ids, scores, ids, none, none)

    def extend(self, logits: Float[Tensor, "B K V"]) -> Int[Tensor, "B K"]:
        """Go on by one piece; gives for each open hypothesis the row, of B * K, that it extends. Spends ``logits``."""
        num_sentences, width, _ = logits.shape
        unwanted = logits[..., NEVER].clone()
        logits[..., NEVER] = -math.inf
        best, pieces = largest(logits, width)  # (B, K, k), k = K where the vocabulary has so many
        shift = torch.maximum(best[..., :1], unwanted.amax(-1, keepdim=True))
        total = logits.sub_(shift).exp_().sum(-1) + (unwanted - shift).exp().sum(-1)  # as logsumexp, without memory for a copy
        offsets = self.scores - shift.squeeze(-1) - total.log()  # (B, K)
        endings = offsets + unwanted[..., NEVER.index(EOS)]
        extensions, places = (offsets.unsqueeze(-1) + best).flatten(1).topk(width)  # (B, K)
        parents, pieces = places // best.shape[-1], pieces.flatten(1).gather(1, places)
        at_limit = self.max_lengths == self.ids.shape[2]
        extensions = extensions.masked_fill(at_limit.unsqueeze(1), -math.inf)

        candidates = torch.cat([endings, extensions], dim=1)  # (B, 2K)
        survivors = candidates.topk(width).indices
        candidates = torch.full_like(candidates, -math.inf).scatter(1, survivors, candidates.gather(1, survivors))
        endings, self.scores = candidates.chunk(2, dim=1)

        self._keep(endings)
        self.ids = torch.cat([torch.take_along_dim(self.ids, parents.unsqueeze(-1), dim=1), pieces.unsqueeze(-1)], dim=2)
        return parents + width * torch.arange(num_sentences, device=parents.device).unsqueeze(1)

    def _keep(self, endings: Float[Tensor, "B K"]) -> None:
        """Take the open hypotheses that end now, with these scores, among the ended ones where they are good enough."""
        length = self.ids.shape[2]  # BOS stands in for EOS
        ranks = torch.cat([self.ended_ranks, endings / length**self.length_penalty], dim=1)  # (B, 2K)
        self.ended_ranks, best = ranks.topk(endings.shape[1])
        self.ended_scores = torch.cat([self.ended_scores, endings], dim=1).gather(1, best)
        ids = torch.take_along_dim(torch.cat([self.ended_ids, self.ids], dim=1), best.unsqueeze(-1), dim=1)
        self.ended_ids = F.pad(ids, (0, 1), value=EOS)  # (B, K, T + 1)

    def undecided(self) -> Bool[Tensor, " B"]:
        """Whether an open hypothesis of the sentence may still get among its best ended ones."""
        attainable = self.scores.amax(1) / self.max_lengths**self.length_penalty
        return attainable > self.ended_ranks[:, -1]

    def select(self, sentences: Int[Tensor, " B2"]) -> Beam:
        """The beam of some of its sentences."""
        names = ("sentences", "max_lengths", "ids", "scores", "ended_ids", "ended_scores", "ended_ranks")
        return replace(self, **{name: getattr(self, name)[sentences] for name in names})

    def results(self) -> dict[int, list[Hypothesis]]:
        """The ended hypotheses of each sentence, best first."""
        if not self.ended_scores[:, 0].isfinite().all():
            raise RunFailure("the model's log-probabilities are not finite")
        rows = zip(self.sentences.tolist(), self.ended_ids.tolist(), self.ended_scores.tolist(), strict=True)
        return {
            sentence: [
                Hypothesis(row[1 : row.index(EOS)], score) for row, score in zip(ids, scores, strict=True) if score > -math.inf
            ]
            for sentence, ids, scores in rows
        }


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
