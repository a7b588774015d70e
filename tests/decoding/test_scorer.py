"""Scores of given pairs: those of search, of plain loops, whatever the batch."""

import math

import numpy as np
import pytest
import torch

from nmt.config import Precision, SearchConfig, TokenizerConfig
from nmt.data.batching import IdPairs, make_batch
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import BOS, EOS, UNK, Tokenizer, Tokenizers, learn_pieces
from nmt.decoding.ensemble import Ensemble
from nmt.decoding.scorer import Scorer, TargetScore
from nmt.decoding.translator import Translator
from nmt.layout import Layout
from nmt.models import build_model

SOURCES = ["der Hund schläft", "", "ein kleiner Hund sieht den Baum", "\u00a0", "Hund", "", "der Baum"]
TARGETS = ["the dog sleeps", "", "a small dog sees the tree and sleeps", "tree", " \u200b", "\u2028", "ｔｒｅｅ 我"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer():
    lines = [line for line in SOURCES[:5] + TARGETS[:3] if line.strip()]
    return Tokenizer(learn_pieces(lines, TokenizerConfig(), 35), PLAIN)


@pytest.fixture(scope="module")
def tokenizers(tokenizer):
    return Tokenizers(tokenizer, tokenizer)


@pytest.fixture
def model(family_config, tokenizer):
    torch.manual_seed(7)
    model = build_model(family_config, (tokenizer.vocab_size, tokenizer.vocab_size)).eval()
    for parameter in model.parameters():
        parameter.data *= 2  # distributions with something to choose
    return model


def plain_log_probs(model, tokenizer, source, target):
    """The log-probabilities of a target's pieces and EOS, a step at a time."""
    (source_ids, target_ids) = tokenizer.encode([source, target])
    memory = model.encode(torch.tensor([[*source_ids, EOS]]), Layout.of([len(source_ids) + 1]))
    state, values = model.init_state(memory), []
    for previous, piece in zip([BOS, *target_ids], [*target_ids, EOS], strict=True):
        output = model.step(torch.tensor([previous]), state, memory)
        state = output.state
        values.append(float(model.output(output.hidden)[0].log_softmax(-1)[piece]))
    return values


@torch.no_grad()
def test_scores_are_those_of_steps(model, tokenizer, tokenizers):
    normalized = [("der Hund schläft", "the dog sleeps"), None, (SOURCES[2], TARGETS[2]), ("", "tree"), ("Hund", ""), None]
    for score, pair in zip(Scorer(model, tokenizers, CPU, Precision.fp32).score(SOURCES, TARGETS), normalized, strict=False):
        if pair is None:
            assert score == TargetScore(0, [], [])
            assert score.score == 0.0
        else:
            assert score.log_probs == pytest.approx(plain_log_probs(model, tokenizer, *pair), rel=1e-4)
            assert len(score.log_probs) == len(score.ids) + 1
            assert score.ids == tokenizer.encode([pair[1]])[0]
            assert score.num_source_pieces == len(tokenizer.encode([pair[0]])[0])


def test_what_is_unknown_has_a_score_too(model, tokenizers):
    score = Scorer(model, tokenizers, CPU, Precision.fp32).score(SOURCES, TARGETS)[-1]
    assert UNK in score.ids
    assert all(value < 0 for value in score.log_probs)


@pytest.mark.parametrize("ensemble", [False, True], ids=["alone", "ensemble"])
@pytest.mark.parametrize("changes", [{}, {"beam_size": 1}, {"sample": True, "temperature": 0.7}], ids=str)
def test_search_gives_its_hypotheses_the_same_score(model, tokenizer, tokenizers, changes, ensemble):
    predictor = Ensemble([model, model]) if ensemble else model
    config = SearchConfig(**{"beam_size": 3, "max_length_ratio": 1.0, "max_length_offset": 4, **changes})
    translator = Translator(predictor, tokenizers, config, CPU, Precision.fp32)
    scorer = Scorer(predictor, tokenizers, CPU, Precision.fp32)
    sources = [source for source in SOURCES if source.strip()]
    ids = tokenizer.encode(sources)
    hypotheses = [n_best[0] for n_best in translator.search_all(ids)]
    pairs = IdPairs(ids, [hypothesis.ids for hypothesis in hypotheses])
    found = iter(scorer.score_batch(make_batch(pairs, np.arange(len(ids)))).tolist())
    for hypothesis in hypotheses:
        again = math.fsum(next(found) for _ in range(len(hypothesis.ids) + 1))
        assert hypothesis.score == pytest.approx(again, abs=1e-4)


@pytest.mark.parametrize(("max_tokens", "chunk_size"), [(1, 512), (23, 1), (4_096, 5)])
def test_batches_and_chunks_change_nothing(model, tokenizers, max_tokens, chunk_size):
    whole = Scorer(model, tokenizers, CPU, Precision.fp32).score(SOURCES, TARGETS)
    outputs, output = [], model.output
    model.output = lambda hidden: (outputs.append(len(hidden)), output(hidden))[1]
    scorer = Scorer(model, tokenizers, CPU, Precision.fp32, max_tokens=max_tokens, chunk_size=chunk_size)
    for first, second in zip(whole, scorer.score(SOURCES, TARGETS), strict=True):
        assert first.ids == second.ids
        assert first.log_probs == pytest.approx(second.log_probs, rel=1e-4)
    assert max(outputs) <= chunk_size
    assert scorer.score([], []) == []


def test_precision_is_used(model, tokenizers):
    exact, rounded = (
        Scorer(model, tokenizers, CPU, precision).score(["der Hund"], ["the dog"])[0]
        for precision in (Precision.fp32, Precision.bf16)
    )
    assert exact.score != rounded.score
    assert exact.score == pytest.approx(rounded.score, rel=0.1)
