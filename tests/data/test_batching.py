import numpy as np
import pytest
import torch

from nmt.data.batching import BatchPlan, length_buckets, make_batch
from nmt.data.store import Split
from nmt.data.tokenizer import BOS, EOS, PAD
from nmt.errors import ConfigError

RANDOM = np.random.default_rng(3)
SOURCES = RANDOM.integers(1, 23, 997)
TARGETS = np.clip(SOURCES + RANDOM.integers(-3, 4, 997), 1, None)


class ListSplit(Split):
    """A split of given ids."""

    def __init__(self, pairs):
        sides = {side: [row[i] for row in pairs] for i, side in enumerate(("source", "target"))}
        self._ids = {side: np.concatenate(rows).astype(np.uint16) for side, rows in sides.items()}
        self._offsets = {side: np.cumsum([0, *map(len, rows)]) for side, rows in sides.items()}


def plan(**changes):
    settings = {"max_tokens": 257, "microbatches": 3, "seed": 1, **changes}
    return BatchPlan(SOURCES, TARGETS, **settings)


def epoch(p, number):
    steps = range(number * p.steps_per_epoch, (number + 1) * p.steps_per_epoch)
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
    buckets = length_buckets(SOURCES, TARGETS, 257, np.arange(997) / 997)
    assert [list(bucket) for bucket in buckets] == batches


def test_few_positions_are_padding():
    """Lengths as in real text, 15 +- 5 pieces and their translation's: what the plan promises of both sides at 4,096 positions."""
    random = np.random.default_rng(5)
    sources = np.clip(random.normal(15, 5, 29_001), 3, None).astype(np.int64)
    targets = np.clip(sources + random.normal(0, 3, 29_001), 3, None).astype(np.int64)
    buckets = length_buckets(sources, targets, 4096, random.random(29_001))
    for lengths, share in ((targets, 0.95), (sources, 0.94)):
        assert lengths.sum() / sum(lengths[bucket].max() * len(bucket) for bucket in buckets) > share


def test_the_plan_is_a_pure_function():
    walked = plan()
    wanted = [walked.update(step) for step in range(2 * walked.steps_per_epoch)]
    for step in RANDOM.permutation(2 * walked.steps_per_epoch)[:40]:
        fresh = plan().update(int(step))
        assert all(np.array_equal(a, b) for a, b in zip(fresh, wanted[step], strict=True))


def test_seeds_and_epochs_differ():
    first = [batch.tolist() for batch in epoch(plan(), 0)]
    assert first != [batch.tolist() for batch in epoch(plan(), 1)]
    assert first != [batch.tolist() for batch in epoch(plan(seed=2), 0)]
    assert {frozenset(b) for b in first} != {frozenset(batch.tolist()) for batch in epoch(plan(), 1)}


def test_updates_have_their_microbatches_and_the_last_one_the_rest():
    p = plan()
    sizes = [len(p.update(step)) for step in range(p.steps_per_epoch)]
    assert set(sizes[:-1]) == {3}
    assert 1 <= sizes[-1] <= 3
    assert sum(p.num_tokens(batch) for batch in epoch(p, 0)) == TARGETS.sum() + 997


def test_a_sentence_beyond_the_budget_is_refused_with_its_length():
    with pytest.raises(ConfigError, match=r"`train.max_tokens` must hold the longest sentence \(\d+ positions\), but is 9"):
        plan(max_tokens=9)


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_has_its_marks(packed):
    split = ListSplit([([5, 6], [7]), ([8], [9, 10, 11])])
    batch = make_batch(split, np.array([1, 0]), packed=packed)
    rows = {
        "source": [[8, EOS], [5, 6, EOS]],
        "target_in": [[BOS, 9, 10, 11], [BOS, 7]],
        "target_out": [[9, 10, 11, EOS], [7, EOS]],
    }
    for name, expected in rows.items():
        layout = batch.source_layout if name == "source" else batch.target_layout
        values = getattr(batch, name)
        assert layout.real(values).tolist() == [i for row in expected for i in row]
        if not packed:
            width = max(map(len, expected))
            assert values.tolist() == [row + [PAD] * (width - len(row)) for row in expected]
    assert batch.num_tokens == 6
    assert batch.to(torch.device("cpu")).sentences.tolist() == [1, 0]
