"""Search against exhaustive search and plain loops, on a model whose every prefix has a distribution of its own."""

import itertools
import math

import pytest
import torch
from plain_search import ROWS, TableModel, batch, limit, plain_beam, rank, rescored, run, same, settings

from nmt.data.tokenizer import BOS, EOS, PAD, UNK
from nmt.decoding.beam import largest
from nmt.errors import RunFailure
from nmt.models import build_model


class NanModel(TableModel):
    def step(self, previous, state, memory, *, with_attention=False):
        output = super().step(previous, state, memory)
        output.hidden = output.hidden * math.nan
        return output


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("vocab_size", [5, 7])
def test_a_beam_that_holds_everything_is_exhaustive_search(seed, penalty, vocab_size):
    model = TableModel(vocab_size, seed)
    row, config = [4, 4, EOS], settings(beam_size=130, length_penalty=penalty, max_length_offset=2)
    targets = [list(ids) for n in range(5) for ids in itertools.product(range(4, vocab_size), repeat=n)]
    everything = [(ids, rescored(model, row, ids)) for ids in targets]
    expected = sorted(everything, key=lambda h: -rank(*h, config))
    same(run(model, [row], config)[0], expected)


@pytest.mark.parametrize(("size", "k"), [(3, 5), (8, 5), (31, 8), (32, 8), (33, 8), (47, 1), (100, 9)])
def test_the_largest_in_two_stages_are_those_of_topk(size, k):
    logits = torch.randn(2, 3, size, generator=torch.Generator().manual_seed(size))
    logits[0, 0] = logits[0, 0].clamp(max=0)  # ties
    logits[0, 1, : size // 2] = -torch.inf
    values, places = largest(logits, k, num_groups=8)
    expected = logits.topk(min(k, size)).values
    assert torch.equal(values, expected)
    assert torch.equal(logits.gather(-1, places), expected)
    assert all(len(set(row)) == len(row) for row in places.flatten(0, 1).tolist())


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_large_vocabulary_is_searched_like_a_small_one(beam_size):
    vocab_size = 300  # more than the groups of `largest`
    model = TableModel(vocab_size, seed=1)
    config = settings(beam_size=beam_size, length_penalty=1.0)
    for row, n_best in zip(ROWS, run(model, ROWS, config), strict=True):
        same(n_best, plain_beam(model, vocab_size, row, config))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_of_one_is_greedy(penalty):
    vocab_size = 11
    for seed in range(5):
        model = TableModel(vocab_size, seed)
        config = settings(beam_size=1, length_penalty=penalty, max_length_ratio=2.0)
        found = run(model, ROWS, config)
        for row, n_best in zip(ROWS, found, strict=True):
            ids = []
            while len(ids) < limit(row, config):
                source, layout = batch([row])
                target_in, target_layout = batch([[BOS, *ids]])
                logits = model.output(model.decode(target_in, target_layout, model.encode(source, layout)))[0, -1]
                piece = EOS + int(logits[EOS:].argmax())
                if piece == EOS:
                    break
                ids.append(piece)
            same(n_best, [(ids, rescored(model, row, ids))])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("beam_size", [2, 5])
def test_deciding_early_loses_nothing(seed, penalty, beam_size):
    vocab_size = 11
    model = TableModel(vocab_size, seed)
    config = settings(beam_size=beam_size, length_penalty=penalty, max_length_ratio=1.5, max_length_offset=3)
    for row, n_best in zip(ROWS, run(model, ROWS, config), strict=True):
        same(n_best, plain_beam(model, vocab_size, row, config))


@pytest.mark.parametrize("beam_size", [1, 4])
def test_sentences_do_not_depend_on_their_batch(beam_size):
    model = TableModel(13, seed=3)
    config = settings(beam_size=beam_size, length_penalty=1.0, max_length_ratio=3.0)
    together = run(model, ROWS, config)
    assert model.widths == sorted(model.widths, reverse=True)
    assert len(set(model.widths)) > 3, "sentences should leave one after the other"
    assert run(model, ROWS[::-1], config) == together[::-1]
    assert [run(model, [row], config)[0] for row in ROWS] == together


def test_results_are_sorted_distinct_and_within_the_limit():
    for seed, penalty in itertools.product(range(4), (0.0, 1.0)):
        model = TableModel(13, seed, sharpness=1.0)
        config = settings(beam_size=5, length_penalty=penalty, max_length_ratio=1.5)
        lengths = set()
        for row, n_best in zip(ROWS, run(model, ROWS, config), strict=True):
            ranks = [rank(*hypothesis, config) for hypothesis in n_best]
            assert ranks == sorted(ranks, reverse=True)
            assert len({tuple(ids) for ids, _ in n_best}) == len(n_best) == 5
            assert not {PAD, UNK, BOS, EOS} & {piece for ids, _ in n_best for piece in ids}
            assert max(len(ids) for ids, _ in n_best) <= limit(row, config)
            lengths |= {limit(row, config) - len(ids) for ids, _ in n_best}
        assert 0 in lengths, "nothing reached the limit"


@pytest.mark.parametrize("offset", [0, -1])
def test_without_room_for_a_piece_the_hypothesis_is_empty(offset):
    model = TableModel(7, seed=1)
    config = settings(max_length_ratio=0.0, max_length_offset=offset)
    same(run(model, [[4, EOS]], config)[0], [([], rescored(model, [4, EOS], []))])


def test_a_wider_beam_finds_no_worse():
    for seed in range(10):
        model = TableModel(7, seed)
        greedy, full = (
            run(model, ROWS, settings(beam_size=size, max_length_ratio=0.0, max_length_offset=4)) for size in (1, 130)
        )
        assert all(best[0][1] >= first[0][1] - 1e-5 for best, first in zip(full, greedy, strict=True))
        assert any(best[0][1] > first[0][1] + 0.1 for best, first in zip(full, greedy, strict=True))


def test_a_model_that_gives_nan_is_refused():
    with pytest.raises(RunFailure, match="finite"):
        run(NanModel(7, seed=1), ROWS, settings())


@pytest.mark.parametrize("beam_size", [1, 4])
def test_scores_and_batches_of_real_models(family_config, beam_size):
    torch.manual_seed(2)
    model = build_model(family_config, (37, 37)).eval()
    for parameter in model.parameters():
        parameter.data *= 2  # distributions with something to choose
    config = settings(beam_size=beam_size, length_penalty=1.0, max_length_ratio=2.0)
    together = run(model, ROWS, config)
    assert len({tuple(n_best[0][0]) for n_best in together}) > 3
    for row, n_best in zip(ROWS, together, strict=True):
        same(n_best, [(ids, rescored(model, row, ids)) for ids, _ in n_best])
        same(run(model, [row], config)[0], n_best)
    for backwards, n_best in zip(run(model, ROWS[::-1], config)[::-1], together, strict=True):
        same(backwards, n_best)
