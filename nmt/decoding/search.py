"""Greedy and beam search, and sampling, over ids alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from nmt.config import SearchConfig
from nmt.decoding.beam import Beam
from nmt.decoding.constraints import constraints_of
from nmt.decoding.coverage import Coverage
from nmt.decoding.hypotheses import Hypothesis
from nmt.decoding.sampling import Samples
from nmt.layout import Layout
from nmt.models.interface import Predictor


@torch.inference_mode()
def search(
    model: Predictor,
    source: Int[Tensor, "..."],
    source_layout: Layout,
    config: SearchConfig,
    *,
    prefixes: Sequence[Sequence[int]] | None = None,
    seeds: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """The best targets of each source sentence, best first, at most ``beam_size`` of them; or ``num_best`` samples, in no order.

    A step extends the open hypotheses of a sentence by every piece; of all that come out, those that end (in EOS) and those that do
    not, the ``beam_size`` most probable survive. With a beam of 1 this is greedy search. PAD, BOS and UNK are never generated, but
    keep their share of the probability, and so do pieces that are forbidden (:mod:`nmt.decoding.constraints`). At the length limit
    only EOS may follow, at its own log-probability; ``min_length`` and a prefix raise a limit that is below them.

    The ``beam_size`` best ended hypotheses are kept, ranked by score / length ** ``length_penalty`` plus the coverage penalty, where
    the length counts the pieces and EOS. A sentence is decided, and leaves the batch, when no open hypothesis can outrank the worst of
    a full set. With a length penalty of at least 0 this loses nothing: log-probabilities only fall and no coverage penalty is above 0,
    so none gets beyond its score now at the longest length.

    Deviations: Wu et al. 2016 (section 7) divide by ((5 + length) / 6) ** penalty, and also prune by the distance from the best.

    Args:
        prefixes: target pieces that the hypotheses of each sentence begin with; UNK may be among them.
        seeds: numbers, as many for every sentence, that its samples depend on; its place in the batch where they are not given.

    Raises:
        RunFailure: the model gives no finite log-probabilities.
    """
    memory = model.encode(source, source_layout)
    hypotheses = _start(source_layout, config, prefixes, seeds, source.device)
    width = hypotheses.ids.shape[1]
    state = model.init_state(memory, width)
    results: dict[int, list[Hypothesis]] = {}
    while True:
        output = model.step(hypotheses.ids[:, :, -1].flatten(), state, memory, with_attention=config.coverage_penalty > 0)
        logits = model.output(output.hidden).unflatten(0, (-1, width))
        rows = hypotheses.extend(logits, output.attention)
        undecided = hypotheses.undecided()
        staying = undecided.nonzero().squeeze(1)  # (B2,); waits for the device
        if len(staying) < len(undecided):
            results |= hypotheses.select((~undecided).nonzero().squeeze(1)).results()
            if not len(staying):
                return [results[sentence] for sentence in range(source_layout.num_sentences)]
            hypotheses, memory, rows = hypotheses.select(staying), memory.select(staying), rows[staying]
        state = output.state.select(rows.flatten())


def _start(
    source_layout: Layout,
    config: SearchConfig,
    prefixes: Sequence[Sequence[int]] | None,
    seeds: Sequence[Sequence[int]] | None,
    device: torch.device,
) -> Beam | Samples:
    """What a search begins with, under the limits, constraints and penalties that are asked for."""
    num_pieces = source_layout.lengths.double() - 1  # EOS is none
    limits = (config.max_length_ratio * num_pieces + config.max_length_offset).long().clamp(min=config.min_length)
    if prefixes:
        limits = torch.maximum(limits, torch.tensor([len(prefix) for prefix in prefixes]))
    constraints = constraints_of(config, prefixes, device)
    if config.sample:
        seeds = seeds or [[sentence] for sentence in range(len(limits))]
        return Samples.start(limits + 1, config, constraints, seeds, device)
    coverage = None
    if config.coverage_penalty:
        coverage = Coverage.start(config.coverage_penalty, source_layout, config.beam_size, device)
    return Beam.start(limits + 1, config, constraints, coverage, device)
