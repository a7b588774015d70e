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
        log_probs = torch.log_softmax(model.output(output.hidden), dim=-1, dtype=torch.float32)
        rows = beam.extend(log_probs.unflatten(0, (-1, width)))
        undecided = beam.undecided()
        staying = undecided.nonzero().squeeze(1)  # (B2,); the one wait for the device in a step
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

    def extend(self, log_probs: Float[Tensor, "B K V"]) -> Int[Tensor, "B K"]:
        """Go on by one piece; gives for each open hypothesis the row, of B * K, that it extends. Spends ``log_probs``."""
        num_sentences, width, vocab_size = log_probs.shape
        endings = self.scores + log_probs[..., EOS]
        for piece in (PAD, UNK, BOS, EOS):
            log_probs[..., piece] = -math.inf
        extensions, places = (self.scores.unsqueeze(-1) + log_probs).flatten(1).topk(width)  # (B, K)
        at_limit = self.max_lengths == self.ids.shape[2]
        extensions = extensions.masked_fill(at_limit.unsqueeze(1), -math.inf)

        candidates = torch.cat([endings, extensions], dim=1)  # (B, 2K)
        survivors = candidates.topk(width).indices
        candidates = torch.full_like(candidates, -math.inf).scatter(1, survivors, candidates.gather(1, survivors))
        endings, self.scores = candidates.chunk(2, dim=1)

        self._keep(endings)
        parents, pieces = places // vocab_size, places % vocab_size
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
