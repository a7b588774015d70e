"""How long and how much memory the plan of a very large mixture takes: ``python scripts/bench_plan.py --pairs 100_000_000``.

Lengths are drawn as real text has them; the corpora are 80 % of the pairs once an epoch, 15 % twice and 5 % in three of ten epochs, so
an epoch has more pairs than there are. Prints one JSON line: seconds to make the plan, to make an epoch and to count the updates of
three, and the peak memory of the process, also beyond what it had before.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from nmt.data.plan import SLICE, BatchPlan

SHARES = [(0.8, 1.0), (0.15, 2.0), (0.05, 0.3)]
"""Share of the pairs and weight of each corpus."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--max-tokens", type=int, default=4_096)
    arguments = parser.parse_args()
    before = peak_mib()
    sources, targets = lengths(arguments.pairs)
    sizes = [round(share * arguments.pairs) for share, _ in SHARES[1:]]
    corpora = list(zip([arguments.pairs - sum(sizes), *sizes], [weight for _, weight in SHARES], strict=True))
    begun = time.perf_counter()
    plan = BatchPlan(sources, targets, max_tokens=arguments.max_tokens, microbatches=1, seed=1, corpora=corpora)
    made = time.perf_counter()
    first = plan.update(0)
    ready = time.perf_counter()
    updates = plan.steps(3)
    counted = time.perf_counter()
    pairs = sum(size * weight for size, weight in corpora)
    print(
        json.dumps(
            {
                "pairs": arguments.pairs,
                "pairs_an_epoch": round(pairs),
                "plan_s": round(made - begun, 2),
                "epoch_s": round(ready - made, 2),
                "epoch_s_a_million": round((ready - made) / pairs * 1e6, 3),
                "count_three_epochs_s": round(counted - ready, 2),
                "updates_in_three_epochs": updates,
                "first_batch": len(first[0]),
                "peak_mib": round(peak_mib()),
                "beyond_mib": round(peak_mib() - before),
            }
        )
    )


def lengths(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and target lengths, log-normal around 20 pieces and alike, made a slice at a time."""
    random = np.random.default_rng(1)
    sources, targets = np.empty(pairs, dtype=np.uint32), np.empty(pairs, dtype=np.uint32)
    for begin in range(0, pairs, SLICE):
        part = slice(begin, begin + SLICE)
        size = len(sources[part])
        length = np.exp(random.normal(3.0, 0.6, size))
        sources[part] = np.clip(length, 1, 250)
        targets[part] = np.clip(length * np.exp(random.normal(0, 0.2, size)), 1, 250)
    return sources, targets


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
