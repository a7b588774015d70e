"""Which pairs meet in which update: once an epoch, or as often as their weight says, and always the same."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.data import plan as planning
from nmt.data.plan import BatchPlan, length_buckets
from nmt.errors import ConfigError

RANDOM = np.random.default_rng(3)
SOURCES = RANDOM.integers(1, 23, 997)
TARGETS = np.clip(SOURCES + RANDOM.integers(-3, 4, 997), 1, None)


def plan(**changes):
    settings = {"max_tokens": 257, "microbatches": 3, "seed": 1, **changes}
    return BatchPlan(SOURCES, TARGETS, **settings)


def epoch(p, number):
    steps = range(p.steps(number), p.steps(number + 1))
    return [microbatch for step in steps for microbatch in p.update(step)]


def test_every_pair_once_an_epoch_within_the_budget():
    for number in (0, 1, 5):
        batches = epoch(plan(), number)
        assert sorted(np.concatenate(batches)) == list(range(997))
        for batch in batches:
            longest = max(SOURCES[batch].max(), TARGETS[batch].max()) + 1
            assert longest * len(batch) <= 257


def test_a_batch_is_as_full_as_it_can_be():
    """Cut by a plain loop: one more pair of the sorted order would break the budget."""

    def rank(i):
        longest, difference = max(SOURCES[i], TARGETS[i]), SOURCES[i] - TARGETS[i]
        return longest, difference if longest % 2 else -difference, i

    batches, current = [], []
    for i in sorted(range(997), key=rank):
        longest = max(max(SOURCES[j], TARGETS[j]) for j in [*current, i])
        if current and longest * (len(current) + 1) > 257:
            batches.append(current)
            current = []
        current.append(i)
    batches.append(current)
    buckets = length_buckets(SOURCES, TARGETS, 257)
    assert [list(bucket) for bucket in buckets] == batches


def test_few_positions_are_padding():
    """Lengths as in real text, 15 +- 5 pieces and their translation's: what the plan promises of both sides at 4,096 positions."""
    random = np.random.default_rng(5)
    sources = np.clip(random.normal(15, 5, 29_001), 3, None).astype(np.int64)
    targets = np.clip(sources + random.normal(0, 3, 29_001), 3, None).astype(np.int64)
    buckets = length_buckets(sources, targets, 4096)
    for lengths, share in ((targets, 0.95), (sources, 0.94)):
        assert lengths.sum() / sum(lengths[bucket].max() * len(bucket) for bucket in buckets) > share


def test_the_plan_is_a_pure_function():
    walked = plan()
    wanted = [walked.update(step) for step in range(2 * walked.steps(1))]
    for step in RANDOM.permutation(2 * walked.steps(1))[:40]:
        fresh = plan().update(int(step))
        assert all(np.array_equal(a, b) for a, b in zip(fresh, wanted[step], strict=True))


def test_seeds_and_epochs_differ():
    first = [batch.tolist() for batch in epoch(plan(), 0)]
    assert first != [batch.tolist() for batch in epoch(plan(), 1)]
    assert first != [batch.tolist() for batch in epoch(plan(seed=2), 0)]
    assert {frozenset(b) for b in first} != {frozenset(batch.tolist()) for batch in epoch(plan(), 1)}


def test_updates_have_their_microbatches_and_the_last_one_the_rest():
    p = plan()
    sizes = [len(p.update(step)) for step in range(p.steps(1))]
    assert set(sizes[:-1]) == {3}
    assert 1 <= sizes[-1] <= 3
    assert sum(p.num_tokens(batch) for batch in epoch(p, 0)) == TARGETS.sum() + 997


def test_a_sentence_beyond_the_budget_is_refused_with_its_length():
    with pytest.raises(ConfigError, match=r"`train.max_tokens` must hold the longest sentence \(\d+ positions\), but is 9"):
        plan(max_tokens=9)


def test_slices_change_nothing(monkeypatch):
    whole = [batch.tolist() for batch in epoch(plan(), 1)]
    monkeypatch.setattr(planning, "SLICE", 31)
    assert [batch.tolist() for batch in epoch(plan(), 1)] == whole


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=60), max_tokens=st.integers(9, 40))
def test_batches_are_cut_as_a_plain_loop_cuts_them(lengths, max_tokens):
    sources, targets = np.array(lengths).T
    batches, current = [], []
    for longest in sorted(np.maximum(sources, targets).tolist()):
        if current and longest * (len(current) + 1) > max_tokens:
            batches.append(len(current))
            current = []
        current.append(longest)
    batches.append(len(current))
    assert [len(bucket) for bucket in length_buckets(sources, targets, max_tokens)] == batches


CORPORA = [(311, 1.0), (173, 2.0), (401, 0.3), (112, 1.7)]


def test_each_pair_occurs_as_often_as_its_weight_says():
    p = plan(corpora=CORPORA)
    counts = Counter()
    for number in range(7):
        counts.update(np.concatenate(epoch(p, number)).tolist())
        begin = 0
        for size, weight in CORPORA:
            exact = (number + 1) * weight
            assert {counts[i] for i in range(begin, begin + size)} <= {int(np.floor(exact)), int(np.ceil(exact))}
            begin += size
    total = 7 * sum(size * weight for size, weight in CORPORA)
    assert abs(counts.total() - total) < 2 * 23 * len(CORPORA)  # a pair up or down for each length of each corpus


def test_a_mixture_is_a_pure_function_too():
    walked = plan(corpora=CORPORA)
    wanted = [walked.update(step) for step in range(walked.steps(3))]
    for step in RANDOM.permutation(len(wanted))[:9]:
        fresh = plan(corpora=CORPORA).update(int(step))
        assert all(np.array_equal(a, b) for a, b in zip(fresh, wanted[step], strict=True))


def test_epochs_are_counted_through_updates():
    p = plan(corpora=CORPORA)
    assert (p.epochs(0), p.epochs(p.steps(1)), p.epochs(p.steps(2))) == (0, 1, 2)
    assert p.epochs(p.steps(1) + 3) == 1 + 3 / (p.steps(2) - p.steps(1))
    for number in range(4):
        assert sum(len(p.update(step)) for step in range(p.steps(number), p.steps(number + 1))) == len(epoch(p, number))
