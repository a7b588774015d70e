"""Samples against their definition: frequencies, plain loops, and nothing that depends on the batch."""

import itertools
import math

import numpy as np
import pytest
import torch
from plain_search import ROWS, TableModel, batch, choices, limit, rescored, run, same, settings

from nmt.data.tokenizer import BOS, EOS, UNK
from nmt.decoding.sampling import draw
from nmt.decoding.search import search
from nmt.errors import RunFailure
from nmt.models import build_model

PREFIXES = [[4], [], [5, 5, 4], [6], [], [4, 5, 6, 4, 5], [UNK, 4]]
SEEDS = [(7, line) for line in range(len(ROWS))]


def sampling(**changes):
    return settings(**{"sample": True, "num_best": 3, "max_length_ratio": 2.0, "max_length_offset": 2, **changes})


def distribution(log_probs, config):
    """Probabilities after temperature, top-k and top-p, by their definitions."""
    weights = {piece: math.exp(value / config.temperature) for piece, value in log_probs.items()}
    order = sorted(weights, key=lambda piece: -weights[piece])
    if config.top_k:
        order = order[: config.top_k]
    total, kept = sum(weights[piece] for piece in order), []
    for piece in order:
        if sum(weights[other] for other in kept) >= config.top_p * total:
            break
        kept.append(piece)
    total = sum(weights[piece] for piece in kept)
    return {piece: weights[piece] / total for piece in sorted(kept)}


CHANGES = [
    {},
    {"temperature": 0.6},
    {"top_k": 3},
    {"top_p": 0.7},
    {"temperature": 1.7, "top_k": 5, "top_p": 0.8},
    {"top_k": 99, "top_p": 1e-9},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_frequencies_are_those_of_the_distribution(changes):
    config, size = sampling(**changes), 20_011
    logits = torch.randn(2, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    logits[0, 2] = -torch.inf
    uniform = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    pieces = draw(logits.log_softmax(-1)[:, None].expand(2, size, 7), uniform.expand(2, size), config)
    for row, drawn in zip(logits.log_softmax(-1).tolist(), pieces, strict=True):
        expected = distribution({piece: value for piece, value in enumerate(row) if value > -math.inf}, config)
        counts = torch.bincount(drawn, minlength=7).tolist()
        for piece, count in enumerate(counts):
            assert abs(count / size - expected.get(piece, 0.0)) < 2 / size


def plain_sample(model, vocab_size, row, config, seed, prefix=()):
    """The same sample in plain loops."""
    memory, ids, score = model.encode(*batch([row])), [], 0.0
    for place, uniform in enumerate(np.random.default_rng(seed).random(limit(row, config, prefix) + 1)):
        target_in, layout = batch([[BOS, *ids]])
        logits = model.output(model.decode(target_in, layout, memory))[0, -1]
        log_probs = torch.log_softmax(logits.double(), -1).tolist()
        pieces = [EOS] if place == limit(row, config, prefix) else choices(ids, vocab_size, config, prefix)
        probs = distribution({piece: log_probs[piece] for piece in pieces}, config)
        sums = list(itertools.accumulate(probs.values()))
        piece = next((piece for piece, below in zip(probs, sums, strict=True) if below > uniform), list(probs)[-1])
        score += log_probs[piece]
        if piece == EOS:
            break
        ids.append(piece)
    return ids, score


@pytest.mark.parametrize("prefixes", [None, PREFIXES], ids=["free", "prefixes"])
@pytest.mark.parametrize("changes", [*CHANGES[:5], {"min_length": 3, "no_repeat_ngram": 2, "top_p": 0.9}], ids=str)
def test_samples_are_those_of_plain_loops(changes, prefixes):
    vocab_size = 11
    model, config = TableModel(vocab_size, seed=2), sampling(**changes)
    found = run(model, ROWS, config, prefixes=prefixes, seeds=SEEDS)
    for row, samples, seed, prefix in zip(ROWS, found, SEEDS, prefixes or [()] * len(ROWS), strict=True):
        same(samples, [plain_sample(model, vocab_size, row, config, [*seed, k], prefix) for k in range(3)])


def test_real_models(family_config):
    torch.manual_seed(2)
    model = build_model(family_config, (37, 37)).double().eval()
    config = sampling(max_length_ratio=1.0)
    found = run(model, ROWS, config, seeds=SEEDS)
    assert len({tuple(ids) for samples in found for ids, _ in samples}) > 10
    for i in (1, 3, 6):
        same(found[i], [plain_sample(model, 37, ROWS[i], config, [*SEEDS[i], k]) for k in range(3)])


def test_a_sample_depends_on_its_seed_alone():
    model, config = TableModel(13, seed=3, sharpness=1.0), sampling()
    together = run(model, ROWS, config, seeds=SEEDS)
    assert len(set(model.widths)) > 3, "sentences should leave one after the other"
    assert run(model, ROWS[::-1], config, seeds=SEEDS[::-1]) == together[::-1]
    assert [run(model, [row], config, seeds=[seed])[0] for row, seed in zip(ROWS, SEEDS, strict=True)] == together
    more = run(model, ROWS, sampling(num_best=5), seeds=SEEDS)
    assert [samples[:3] for samples in more] == together
    assert run(model, ROWS, config, seeds=[(8, line) for line in range(len(ROWS))]) != together
    assert run(model, ROWS, config) == run(model, ROWS, config, seeds=[[line] for line in range(len(ROWS))])


@pytest.mark.parametrize("changes", [{"top_k": 1}, {"temperature": 1e-3}, {"top_p": 1e-6}], ids=str)
def test_without_chance_it_is_greedy(changes):
    model = TableModel(11, seed=4)
    config = sampling(num_best=1, **changes)
    for sample, n_best in zip(
        run(model, ROWS, config), run(model, ROWS, settings(beam_size=1, max_length_ratio=2.0, max_length_offset=2)), strict=True
    ):
        same(sample, n_best)


def test_scores_are_the_models_own():
    model, config = TableModel(11, seed=5), sampling(temperature=0.5, top_p=0.9, length_penalty=0.6)
    for row, samples in zip(ROWS, search(model, *batch(ROWS), config, seeds=SEEDS), strict=True):
        for sample in samples:
            assert sample.score == pytest.approx(rescored(model, row, sample.ids), abs=1e-4)
            assert sample.rank == pytest.approx(sample.score / (len(sample.ids) + 1) ** 0.6)


def test_a_model_that_gives_nan_is_refused():
    model = TableModel(7, seed=1)
    model.table[::2] = math.nan
    with pytest.raises(RunFailure, match="finite"):
        run(model, ROWS, sampling())
