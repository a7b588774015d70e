"""Beam search over ids: it knows a model as :class:`Seq2Seq` and nothing of text.

Letters: B sentences still searched, K hypotheses a sentence, R = B * K rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmt.config import SearchConfig
from nmt.data.tokenizer import BOS, EOS, PAD, UNK
from nmt.layout import Layout
from nmt.models.interface import Seq2Seq

NEVER_WRITTEN = [PAD, UNK, BOS]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A translation: its pieces without EOS, and the sum of their log-probabilities and EOS's."""

    ids: list[int]
    score: float

    def rank(self, length_penalty: float) -> float:
        """What hypotheses are compared by: score / length ** penalty, the length counting EOS."""
        return self.score / (len(self.ids) + 1) ** length_penalty


@dataclass(slots=True)
class _Sentence:
    """A sentence being searched: where its result goes, how long it may become, and what is finished, best first."""

    number: int
    max_length: int
    finished: list[Hypothesis] = field(default_factory=list)


@torch.inference_mode()
def search(model: Seq2Seq, source: Int[Tensor, "B S"], layout: Layout, config: SearchConfig) -> list[list[Hypothesis]]:
    """The best translations of each sentence, at most ``beam_size`` of them, best first.

    At every position the 2K best continuations of a sentence's K open hypotheses are looked at: those that end it among the first K
    are finished, the first K others stay open. A hypothesis that has reached the length limit can only end. A sentence is done, and
    leaves the batch, when it has K finished hypotheses and its best open one could not overtake the worst of them at any length
    still allowed: log-probabilities only fall, so the best it can rank is its score now over the longest length to the penalty.
    With K = 1 this is greedy search. PAD, UNK and BOS are never written.
    """
    memory = model.encode(source, layout)
    state = model.init_state(memory, config.beam_size)
    beam = _Beam.start(layout, config, source.device)
    results: list[list[Hypothesis]] = [[] for _ in range(layout.num_sentences)]
    while beam.sentences:
        output = model.step(beam.previous, state, memory)
        log_probs = model.output(output.hidden).float().log_softmax(-1)  # (R, V)
        rows = beam.advance(log_probs)
        done = beam.done()
        if any(done):
            stay = [b for b, is_done in enumerate(done) if not is_done]
            for sentence, is_done in zip(beam.sentences, done, strict=True):
                if is_done:
                    results[sentence.number] = sentence.finished
            kept = torch.tensor(stay, dtype=torch.int64, device=source.device)
            rows = rows.view(-1, config.beam_size)[kept].flatten()
            if stay:
                memory = memory.select(kept)
            beam.select(stay, kept)
        if beam.sentences:
            state = output.state.select(rows)
    return results


@dataclass(slots=True)
class _Beam:
    """K open hypotheses of each sentence: their ids so far (R, t), their scores (B, K), and the sentences they belong to."""

    config: SearchConfig
    sentences: list[_Sentence]
    ids: Int[Tensor, "R t"]
    scores: Float[Tensor, "B K"]

    @staticmethod
    def start(layout: Layout, config: SearchConfig, device: torch.device) -> _Beam:
        """One empty hypothesis a sentence; the other K - 1 rows can only be overtaken."""
        limits = [int(config.max_length_ratio * (length - 1)) + config.max_length_offset for length in layout.lengths.tolist()]
        sentences = [_Sentence(number, limit) for number, limit in enumerate(limits)]
        scores = torch.full((len(limits), config.beam_size), -torch.inf, device=device)
        scores[:, 0] = 0
        return _Beam(config, sentences, torch.empty(scores.numel(), 0, dtype=torch.int64, device=device), scores)

    @property
    def previous(self) -> Int[Tensor, " R"]:
        return self.ids[:, -1] if self.ids.shape[1] else self.ids.new_full((len(self.ids),), BOS)

    def advance(self, log_probs: Float[Tensor, "R V"]) -> Int[Tensor, " R"]:
        """Extend every sentence's hypotheses by one piece; gives the row that each open hypothesis grew from."""
        beam_size, vocab_size = self.config.beam_size, log_probs.shape[-1]
        written = self.ids.shape[1]
        log_probs[:, NEVER_WRITTEN] = -torch.inf
        at_limit = [b for b, sentence in enumerate(self.sentences) if written >= sentence.max_length]
        if at_limit:
            others = torch.arange(vocab_size, device=log_probs.device) != EOS
            log_probs.view(-1, beam_size, vocab_size)[at_limit] = log_probs.view(-1, beam_size, vocab_size)[at_limit].masked_fill(
                others, -torch.inf
            )
        totals = (self.scores.view(-1, 1) + log_probs).view(len(self.sentences), -1)  # (B, K * V)
        best, flat = totals.topk(min(2 * beam_size, totals.shape[1]))  # (B, 2K)
        from_beam, piece = flat // vocab_size, flat % vocab_size
        ends = piece == EOS
        self._finish(best, from_beam, ends)
        # the first K that do not end: ends sort behind all others, which keep their order
        order = ends.to(torch.int8).argsort(dim=1, stable=True)[:, :beam_size]
        self.scores = best.masked_fill(ends, -torch.inf).gather(1, order)
        first_rows = torch.arange(len(self.sentences), device=flat.device)[:, None] * beam_size
        rows = (first_rows + from_beam.gather(1, order)).flatten()
        self.ids = torch.cat([self.ids[rows], piece.gather(1, order).view(-1, 1)], dim=1)
        return rows

    def _finish(self, best: Tensor, from_beam: Tensor, ends: Tensor) -> None:
        """Keep the hypotheses that end among the first K continuations of their sentence, if they are possible at all."""
        beam_size = self.config.beam_size
        found = (ends & best.isfinite())[:, :beam_size].nonzero().tolist()
        if not found:
            return
        places = tuple(torch.tensor(found, device=best.device).T)
        rows = places[0] * beam_size + from_beam[places]
        for (b, _), score, ids in zip(found, best[places].tolist(), self.ids[rows].tolist(), strict=True):
            finished = self.sentences[b].finished
            finished.append(Hypothesis(ids, score))
            finished.sort(key=self._rank, reverse=True)
            del finished[beam_size:]

    def done(self) -> list[bool]:
        """Which sentences cannot get a better result any more."""
        best_open = self.scores[:, 0].tolist()
        return [self._is_done(sentence, score) for sentence, score in zip(self.sentences, best_open, strict=True)]

    def _is_done(self, sentence: _Sentence, best_open: float) -> bool:
        if best_open == -torch.inf:
            return True
        if len(sentence.finished) < self.config.beam_size:
            return False
        attainable = best_open / (sentence.max_length + 1) ** max(self.config.length_penalty, 0.0)
        return self._rank(sentence.finished[-1]) >= attainable

    def _rank(self, hypothesis: Hypothesis) -> float:
        return hypothesis.rank(self.config.length_penalty)

    def select(self, stay: list[int], kept: Int[Tensor, " B2"]) -> None:
        """Go on with some of the sentences."""
        self.sentences = [self.sentences[b] for b in stay]
        self.scores = self.scores[kept]
        self.ids = self.ids.view(-1, self.config.beam_size, self.ids.shape[1])[kept].flatten(0, 1)
