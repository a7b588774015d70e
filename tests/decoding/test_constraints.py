"""Lengths, prefixes, repetitions and coverage, against exhaustive search and plain loops."""

import itertools
import math
from random import Random

import pytest
import torch
from plain_search import (
    ROWS,
    TableModel,
    batch,
    choices,
    forced_attention,
    limit,
    plain_beam,
    rank,
    rescored,
    run,
    same,
    settings,
)

from nmt.data.tokenizer import BOS, EOS, PAD, UNK
from nmt.decoding.constraints import constraints_of, forbidden_pieces
from nmt.decoding.coverage import Coverage
from nmt.decoding.search import search
from nmt.models import build_model

OPTIONS = {
    "min_length": {"min_length": 2},
    "min_length above the limit": {"min_length": 5, "max_length_offset": 1},
    "no_repeat_ngram 1": {"no_repeat_ngram": 1},
    "no_repeat_ngram 2": {"no_repeat_ngram": 2, "max_length_offset": 4},
    "coverage": {"coverage_penalty": 0.4, "length_penalty": 0.8},
    "all": {"min_length": 3, "no_repeat_ngram": 2, "coverage_penalty": 0.2, "length_penalty": 1.0, "max_length_offset": 3},
}
PREFIXES = [[4], [], [5, 5, 4], [6], [], [4, 5, 6, 4, 5], [UNK, 4]]
"""Some repeat a piece, one is longer than its limit, one has a piece that is never generated."""


def permitted_targets(vocab_size, row, config, prefix=()):
    """Every target that may be found, by trying all."""
    found, begun = [], [[]]
    for length in range(limit(row, config, prefix) + 1):
        going_on = []
        for ids in begun:
            pieces = [EOS] if length == limit(row, config, prefix) else choices(ids, vocab_size, config, prefix)
            found += [ids for piece in pieces if piece == EOS]
            going_on += [[*ids, piece] for piece in pieces if piece != EOS]
        begun = going_on
    return found


@pytest.mark.parametrize("prefix", [[], [5, 5], [4, 6, 4, 6, 6]], ids=str)
@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_a_beam_that_holds_everything_is_exhaustive_search(changes, prefix):
    vocab_size, row = 7, [4, 4, EOS]
    model, config = TableModel(vocab_size, seed=1), settings(**{"max_length_offset": 2, **changes, "beam_size": 1_000})
    everything = [(ids, rescored(model, row, ids)) for ids in permitted_targets(vocab_size, row, config, prefix)]
    everything = everything if len(everything) < 300 else everything[:: len(everything) // 300]
    found = run(model, [row], config, prefixes=[prefix])[0]
    places = {tuple(ids): place for place, (ids, _) in enumerate(found)}
    assert len(places) == len(found)
    best = sorted(everything, key=lambda h: -rank(*h, config, model, row))
    same([found[places[tuple(ids)]] for ids, _ in best], best)
    assert [places[tuple(ids)] for ids, _ in best] == sorted(places[tuple(ids)] for ids, _ in best)


@pytest.mark.parametrize("prefixes", [None, PREFIXES], ids=["free", "prefixes"])
@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_a_batch_is_searched_as_plain_loops_do(changes, beam_size, prefixes):
    vocab_size = 11
    model, config = TableModel(vocab_size, seed=2), settings(**changes, beam_size=beam_size)
    found = run(model, ROWS, config, prefixes=prefixes)
    if changes is not OPTIONS["min_length above the limit"]:  # which makes all equally long
        assert len(set(model.widths)) > 2, "sentences should leave one after the other"
    for row, n_best, prefix in zip(ROWS, found, prefixes or [()] * len(ROWS), strict=True):
        same(n_best, plain_beam(model, vocab_size, row, config, prefix))


@pytest.mark.parametrize("prefixes", [None, PREFIXES], ids=["free", "prefixes"])
def test_real_models(family_config, prefixes):
    vocab_size = 13
    torch.manual_seed(6)
    model = build_model(family_config, (vocab_size, vocab_size)).double().eval()
    for parameter in model.parameters():
        parameter.data *= 2  # distributions with something to choose
    config = settings(**OPTIONS["all"])
    found = run(model, ROWS, config, prefixes=prefixes)
    for i in (1, 3, 6):
        same(found[i], plain_beam(model, vocab_size, ROWS[i], config, prefixes[i] if prefixes else ()))


def test_no_prefix_is_the_plain_search():
    model, config = TableModel(11, seed=3), settings(length_penalty=1.0)
    assert run(model, ROWS, config, prefixes=[[]] * len(ROWS)) == run(model, ROWS, config)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_forbidden_pieces_one_by_one(n):
    random, vocab_size = Random(n), 7
    config = settings(no_repeat_ngram=n, min_length=4)
    prefixes = [[4, 6], [], [5, 5, 5]]
    constraints = constraints_of(config, prefixes, torch.device("cpu"))
    sentences = torch.tensor([2, 0])
    for length in range(7):
        rows = [[random.choices(range(4, vocab_size), k=length) for _ in range(5)] for _ in sentences]
        ids = torch.tensor([[[BOS, *row] for row in sentence] for sentence in rows])
        forbidden = forbidden_pieces(constraints, ids, sentences, vocab_size)
        for of_sentence, hypotheses, sentence in zip(forbidden, rows, sentences.tolist(), strict=True):
            for of_row, row in zip(of_sentence, hypotheses, strict=True):
                allowed = choices(row, vocab_size, config, prefixes[sentence])
                assert (~of_row).nonzero().squeeze(1).tolist() == sorted(allowed)


def test_constraints_that_leave_nothing_let_a_hypothesis_end():
    model, config = TableModel(6, seed=1), settings(min_length=5, no_repeat_ngram=1)  # two pieces, none of them twice
    for n_best in run(model, ROWS, config):
        assert sorted(ids for ids, _ in n_best) == [[4, 5], [5, 4]]


def test_coverage_is_that_of_the_equation():
    attention = torch.tensor([[0.25, 0.75, 0.0, 0.0], [0.5, 0.25, 0.25, 0.0], [0.0, 0.5, 0.5, 0.0], [0.125, 0.5, 0.25, 0.125]])
    _, layout = batch([[4, 5, EOS], [4, 5, 6, EOS]])
    coverage = Coverage.start(0.5, layout, 2, torch.device("cpu"))
    coverage.add(attention)
    coverage.add(attention)
    expected = [
        [math.log(0.5) + math.log(1), math.log(1) + math.log(0.5)],
        [math.log(1e-6) + math.log(1) + math.log(1), math.log(0.25) + math.log(1) + math.log(0.5)],
    ]
    torch.testing.assert_close(coverage.penalty(), 0.5 * torch.tensor(expected))
    coverage.follow(torch.tensor([[1, 1], [1, 0]]))
    torch.testing.assert_close(coverage.penalty()[1], 0.5 * torch.tensor(expected[1][::-1]))
    torch.testing.assert_close(coverage.select(torch.tensor([1])).penalty(), coverage.penalty()[1:])


def test_coverage_changes_what_is_best():
    model = TableModel(11, seed=4)
    plain, covering = (run(model, ROWS, settings(length_penalty=1.0, coverage_penalty=beta)) for beta in (0.0, 2.0))
    covered = [
        sum(float(forced_attention(model, row, n_best[0][0]).sum(0)[:-1].clamp(max=1).sum()) for row, n_best in pairs)
        for pairs in (list(zip(ROWS, found, strict=True)) for found in (plain, covering))
    ]
    assert covered[0] + 1 < covered[1]


def test_ranks_are_what_hypotheses_are_ordered_by():
    model, config = TableModel(11, seed=5), settings(length_penalty=0.7, coverage_penalty=0.3)
    for row, n_best in zip(ROWS, search(model, *batch(ROWS), config), strict=True):
        assert [h.rank for h in n_best] == sorted((h.rank for h in n_best), reverse=True)
        expected = [rank(h.ids, h.score, config, model, row) for h in n_best]
        assert [h.rank for h in n_best] == pytest.approx(expected, abs=1e-4)


def test_min_length_and_prefix_are_kept():
    model, config = TableModel(11, seed=6), settings(min_length=4, no_repeat_ngram=2, max_length_ratio=2.0)
    for prefix, n_best in zip(PREFIXES, run(model, ROWS, config, prefixes=PREFIXES), strict=True):
        for ids, _ in n_best:
            assert len(ids) >= 4
            assert ids[: len(prefix)] == prefix
            assert not {PAD, UNK, BOS, EOS} & set(ids[len(prefix) :])
            again = [pair for place, pair in enumerate(itertools.pairwise(ids)) if pair in list(itertools.pairwise(ids))[:place]]
            assert len(again) <= max(len(prefix) - 1, 0)
