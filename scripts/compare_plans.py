"""Does batching by length cost quality? ``python scripts/compare_plans.py [--seeds 3] [any option of nmt train]``.

Trains each seed twice, to ``train.max_steps``: with the batch plan, and with plain shuffling, where pairs in random order are cut into
batches of as many real target tokens. Prints a line of JSON for each training: nll of the dev set (nats a target token, unsmoothed),
real positions, updates, and at the end the mean difference.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from nmt.cli import conf_dir
from nmt.commands.assemble import build_updater
from nmt.commands.launch import compose
from nmt.data.plan import BatchPlan, Rows
from nmt.data.prepare import prepare
from nmt.hardware import resolve_device, resolve_precision, set_up_cpu
from nmt.startup import tune_process
from nmt.validation import dev_nll


class ShuffledPlan(BatchPlan):
    """An epoch is all pairs in random order, cut wherever the mean target tokens of a batch of :class:`BatchPlan` are reached."""

    def _make_epoch(self, epoch: int) -> list[Rows]:
        num_batches = len(super()._make_epoch(epoch))
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._target_lengths))
        tokens = np.cumsum(self._target_lengths[order].astype(np.int64) + 1)
        cuts = np.searchsorted(tokens, tokens[-1] * np.arange(1, num_batches) / num_batches)
        return np.split(order.astype(np.uint32), cuts)


def main() -> None:
    tune_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    arguments, overrides = parser.parse_known_args()
    differences = []
    for seed in range(1, arguments.seeds + 1):
        by_length, shuffled = (train(BatchPlan, seed, overrides), train(ShuffledPlan, seed, overrides))
        differences.append(by_length["dev_nll"] - shuffled["dev_nll"])
    print(
        json.dumps({"mean_difference": round(float(np.mean(differences)), 4), "differences": [round(d, 4) for d in differences]})
    )


def train(plan: type[BatchPlan], seed: int, overrides: list[str]) -> dict[str, Any]:
    config = compose("train", [*overrides, f"seed={seed}"], conf_dir())
    set_up_cpu(config.threads)
    device = resolve_device(config.device)
    config.precision = resolve_precision(config.precision, device)
    store = prepare(config.data, config.tokenizer, 1)
    split, settings = store.split("train"), config.train
    update = build_updater(config, split, store.tokenizers.vocab_sizes, device)
    lengths = split.source_lengths, split.target_lengths
    update.plan = plan(*lengths, max_tokens=settings.max_tokens, microbatches=settings.microbatches, seed=seed)
    update.objective.train()
    for step in range(settings.max_steps or update.plan.steps(1)):
        update(step)
    update.objective.eval()
    measured = {
        "plan": plan.__name__,
        "seed": seed,
        "dev_nll": round(dev_nll(update.objective, store.split("dev"), config, device), 4),
        "updates": step + 1,
        "epochs": round(update.plan.epochs(step + 1), 2),
        "target_tokens": round(update.sums.tokens),
        "real_positions": round(update.sums.real_positions / update.sums.positions, 4),
    }
    print(json.dumps(measured), flush=True)
    return measured


if __name__ == "__main__":
    main()
