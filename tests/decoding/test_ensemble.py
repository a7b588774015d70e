"""An ensemble is a model whose probabilities are the mean of its models'."""

import math

import pytest
import torch
from plain_search import ROWS, batch, forced_attention, plain_beam, rescored, run, same, settings

from nmt.attention.capture import capture
from nmt.config import Precision
from nmt.data.tokenizer import BOS
from nmt.decoding.ensemble import Ensemble
from nmt.decoding.frozen import frozen
from nmt.decoding.search import search
from nmt.models import build_model

VOCAB_SIZE = 13


@pytest.fixture
def family(family_configs):
    torch.manual_seed(5)
    models = [build_model(config, (VOCAB_SIZE, VOCAB_SIZE)).double().eval() for config in family_configs]
    for model in models:
        for parameter in model.parameters():
            parameter.data *= 2  # distributions with something to choose
    return models


def mean_log_probs(models, row, ids):
    """(T + 1, V) log(mean of probabilities) after each prefix, a model at a time."""
    source, target_in = batch([row]), batch([[BOS, *ids]])
    with torch.inference_mode():
        of_each = [model.output(model.decode(*target_in, model.encode(*source)))[0].softmax(-1) for model in models]
    return (sum(of_each) / len(models)).log()


def test_output_is_the_log_of_the_mean_of_probabilities(family):
    ensemble = Ensemble(family)
    for row, ids in ((ROWS[1], [4, 9, 5]), (ROWS[2], [])):
        with torch.inference_mode():
            log_probs = ensemble.output(ensemble.decode(*batch([[BOS, *ids]]), ensemble.encode(*batch([row]))))[0]
        torch.testing.assert_close(log_probs, mean_log_probs(family, row, ids))
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(len(ids) + 1, dtype=torch.float64))


def test_stepping_gives_what_decode_gives(family):
    """While the rows of a beam are reordered, and a sentence leaves."""
    ensemble = Ensemble(family)
    source, layout = batch([ROWS[0], ROWS[4]])
    memory = ensemble.encode(source, layout)
    first, second = torch.tensor([5, 7, 4, 9]), torch.tensor([8, 6])
    state = ensemble.step(torch.full((4,), BOS), ensemble.init_state(memory, 2), memory).state
    output = ensemble.step(first, state, memory)
    staying = memory.select(torch.tensor([1]))
    output = ensemble.step(second, output.state.select(torch.tensor([3, 2])), staying, with_attention=True)
    target_in, target_layout = batch([[BOS, 9, 8], [BOS, 4, 6]])
    expected = ensemble.decode(target_in, target_layout, memory.select(torch.tensor([1, 1])))[:, -1]
    torch.testing.assert_close(output.hidden, expected)

    weights = []
    for model in family:
        name = [name for name in model.attentions() if name.startswith("decoder.cross")][-1]
        with capture(model.attentions(), [name]) as records:
            model.decode(target_in, target_layout, model.encode(source, layout).select(torch.tensor([1, 1])))
        weights.append(records[0].weights[:, :, -1].mean(1))
    torch.testing.assert_close(output.attention, torch.stack(weights).mean(0))


@pytest.mark.parametrize("beam_size", [1, 3])
def test_search_is_that_of_plain_loops(family, beam_size):
    ensemble, config = Ensemble(family), settings(beam_size=beam_size, length_penalty=1.0, no_repeat_ngram=2)
    for i, n_best in zip((1, 3, 6), run(ensemble, [ROWS[i] for i in (1, 3, 6)], config), strict=True):
        same(n_best, plain_beam(ensemble, VOCAB_SIZE, ROWS[i], config))
        for ids, score in n_best:
            log_probs = mean_log_probs(family, ROWS[i], ids)
            assert score == pytest.approx(sum(float(log_probs[t, piece]) for t, piece in enumerate([*ids, 3])), abs=1e-4)


def test_coverage_in_an_ensemble(family):
    config = settings(coverage_penalty=0.3, length_penalty=1.0)
    hypotheses = search(Ensemble(family), *batch([ROWS[1]]), config)[0]
    for hypothesis in hypotheses:
        attention = torch.stack([forced_attention(model, ROWS[1], hypothesis.ids) for model in family]).mean(0).sum(0)
        missing = sum(math.log(min(max(total, 1e-6), 1)) for total in attention[:-1].tolist())
        expected = hypothesis.score / (len(hypothesis.ids) + 1) + 0.3 * missing
        assert hypothesis.rank == pytest.approx(expected, abs=1e-4)


def test_one_model_many_times_is_that_model(family):
    config = settings(length_penalty=1.0)
    model = family[1]
    for alone, together in zip(run(model, ROWS, config), run(Ensemble([model, model]), ROWS, config), strict=True):
        same(together, alone)
    assert rescored(Ensemble([model, model]), ROWS[0], [5, 6]) == pytest.approx(rescored(model, ROWS[0], [5, 6]))


def test_models_of_eight_bits(family):
    ensemble = frozen(Ensemble([model.float() for model in family]), Precision.int8)
    found = run(ensemble, ROWS, settings())
    assert [ids for ids, _ in found[0]] == [ids for ids, _ in run(ensemble, ROWS[:1], settings())[0]]
