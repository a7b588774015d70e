"""Does everything that needs a GPU work on this one? Run it on a CUDA machine: ``python scripts/gpu_check.py``.

The test suite runs on the CPU, where the CUDA kernels can only be chosen, not run. This compares them with plain products, trains
each model for a few updates in bf16, and prints a line for each; the exit status is the number of failures.
"""

from __future__ import annotations

import sys

import torch

from nmt.attention import kernels
from nmt.config import (
    BahdanauConfig,
    LossConfig,
    LuongConfig,
    ModelConfig,
    OptimConfig,
    Precision,
    SearchConfig,
    TransformerConfig,
)
from nmt.data.batching import Batch, pad_ids
from nmt.data.tokenizer import BOS, EOS
from nmt.decoding.search import search
from nmt.hardware import autocast, describe
from nmt.layout import Layout
from nmt.models import build_model
from nmt.training.objective import Objective
from nmt.training.optim import build_optimizer

VOCAB = 512
DEVICE = torch.device("cuda")


def attention_error(dtype: torch.dtype, *, packed: bool, causal: bool, dropout_prob: float = 0.0) -> tuple[str, float]:
    """The kernel that is chosen, and its largest difference from plain products in float32."""
    generator = torch.Generator().manual_seed(1)
    layout = Layout.of([17, 5, 31], packed=packed).to(DEVICE)
    shape = (layout.num_tokens, 4, 32) if packed else (3, 31, 4, 32)
    query, key, value = (torch.randn(shape, generator=generator).to(DEVICE, dtype) for _ in range(3))
    kernel = kernels.choose_kernel("cuda", dtype, 32, packed=packed, dropout_prob=dropout_prob)
    context = kernels.attend(query, key, value, layout, layout, causal=causal, dropout_prob=dropout_prob)
    queries, keys, values = (layout.pad(rows).transpose(1, 2).float() for rows in (query, key, value))
    weights = kernels.attention_weights(queries, keys, kernels.attention_mask(layout, layout, causal=causal))
    plain = layout.unpad(kernels.plain_context(weights, values).transpose(1, 2))
    return kernel.name, float((layout.real(context).float() - layout.real(plain)).abs().max())


def copying_loss(config: ModelConfig, *, packed: bool) -> tuple[float, float]:
    """Loss a token of the copy task before and after 200 updates in bf16."""
    torch.manual_seed(1)
    model = build_model(config, VOCAB).to(DEVICE)
    objective = Objective(model, LossConfig(label_smoothing=0.0))
    optimizer = build_optimizer(model, OptimConfig())
    losses = []
    for _ in range(200):
        rows = [torch.randint(4, VOCAB, (int(n),)).tolist() for n in torch.randint(3, 12, (64,))]
        layout = Layout.of([len(row) + 1 for row in rows], packed=packed)
        batch = Batch(
            source=pad_ids([[*row, EOS] for row in rows], layout),
            source_layout=layout,
            target_in=pad_ids([[BOS, *row] for row in rows], layout),
            target_out=pad_ids([[*row, EOS] for row in rows], layout),
            target_layout=layout,
            sentences=torch.arange(64).numpy(),
        ).to(DEVICE)
        with autocast(DEVICE, Precision.bf16):
            result = objective(batch)
        (result.loss_sum / result.num_tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(result.loss_sum) / result.num_tokens)
    model.eval()
    layout = Layout.of([5, 9])
    source = pad_ids([[7] * 4 + [EOS], [9] * 8 + [EOS]], layout).to(DEVICE)
    with autocast(DEVICE, Precision.bf16):
        search(model, source, layout.to(DEVICE), SearchConfig())
    return losses[0], losses[-1]


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device here")
        return 1
    print(describe(DEVICE), torch.__version__)
    failures = 0
    for dtype, tolerance in ((torch.bfloat16, 0.03), (torch.float32, 1e-4)):
        for packed in (False, True):
            for causal in (False, True):
                kernel, error = attention_error(dtype, packed=packed, causal=causal)
                good = error < tolerance
                failures += not good
                print(f"{'ok  ' if good else 'FAIL'} attention {kernel} {dtype} packed={packed} causal={causal}: {error:.2e}")
    for config in (BahdanauConfig(), LuongConfig(), TransformerConfig()):
        for packed in (False, True) if isinstance(config, TransformerConfig) else (False,):
            first, last = copying_loss(config, packed=packed)
            good = last < first
            failures += not good
            print(f"{'ok  ' if good else 'FAIL'} {config.kind.name} packed={packed}: loss {first:.2f} -> {last:.2f}")
    return failures


if __name__ == "__main__":
    sys.exit(main())
