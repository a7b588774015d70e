"""Running out of memory, on a machine that does not."""

import pytest
import torch

from nmt.training.memory import OutOfMemory, largest_budget


@pytest.mark.parametrize("room", [64, 100, 640, 1000, 4096, 10_007, 65_536])
@pytest.mark.parametrize("longest", [1, 64, 99])
def test_the_largest_budget_is_nearly_as_large_as_possible(room, longest):
    tried = []

    def fits(budget):
        tried.append(budget)
        return budget <= room

    if -(-longest // 64) * 64 > room:
        with pytest.raises(OutOfMemory, match=rf"the longest sentence by itself \({longest} positions\)"):
            largest_budget(fits, longest)
        return
    found = largest_budget(fits, longest)
    assert longest <= found <= room
    assert found >= 0.85 * room - 128
    assert len(tried) < 24
    assert all(budget % 64 == 0 for budget in tried)


@pytest.mark.promise(25)
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory: ...")]
)
def test_what_did_not_fit_is_named(updater, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(updater.objective, "forward", fail)
    pairs = len(updater.plan.update(2)[0])
    with pytest.raises(
        OutOfMemory, match=rf"out of memory in update 2, with {pairs} pairs of up to \d+ source and \d+ target.*now 256"
    ):
        updater(2)
    monkeypatch.setattr(updater.objective, "forward", lambda *_: (_ for _ in ()).throw(RuntimeError("another fault")))
    with pytest.raises(RuntimeError, match="another fault"):
        updater(2)


def test_a_rehearsal_leaves_no_trace(updater):
    before = [p.clone() for p in updater.objective.parameters()]
    updater.rehearse()
    assert all(torch.equal(a, b) for a, b in zip(before, updater.objective.parameters(), strict=True))
    assert all(p.grad is None for p in updater.objective.parameters())
    assert updater.sums.tokens == 0
    assert updater.flops_per_position is None


def test_the_heaviest_batches_are_found(updater):
    plan = updater.plan
    epoch = [batch for step in range(plan.steps(1)) for batch in plan.update(step)]
    split = updater.split
    sizes = [(max(split.source_lengths[b]) + max(split.target_lengths[b]) + 2) * len(b) for b in epoch]
    longest = [max(*split.source_lengths[b], *split.target_lengths[b]) for b in epoch]
    heaviest = plan.heaviest()
    assert max((max(split.source_lengths[b]) + max(split.target_lengths[b]) + 2) * len(b) for b in heaviest) == max(sizes)
    assert max(max(*split.source_lengths[b], *split.target_lengths[b]) for b in heaviest) == max(longest)


@pytest.fixture
def updater(run_config, family_config):
    from nmt.commands.assemble import build_updater
    from nmt.data.prepare import prepare

    config = run_config(family_config)
    store = prepare(config.data, config.tokenizer, config.seed)
    return build_updater(config, store.split("train"), store.tokenizers.vocab_sizes, torch.device("cpu"))
