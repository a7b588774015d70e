"""Does everything work on this GPU, and how fast? ``python scripts/gpu_check.py`` on a CUDA machine; needs torch and the package alone.

The test suite runs on the CPU, where CUDA kernels can only be chosen, not run. This compares them with the CPU, resumes runs, and then
measures training and decoding, a line each. It is meant for eight minutes of one GPU, which is not measured yet. The exit status is the
number of failures. With ``--device cpu`` it goes through the same steps in small, which shows that the script itself works.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from bench_train import measure

from nmt.attention import kernels
from nmt.attention.distributions import Entmax, SinkSoftmax
from nmt.attention.plain import Form, attention_mask, attention_weights, plain_context, position_bias
from nmt.attention.positions import LinearBias
from nmt.attention.scopes import CAUSAL, FULL, Strided, Window
from nmt.config import (
    VARIANTS,
    BahdanauConfig,
    ConditionalGruConfig,
    GnmtConfig,
    LossConfig,
    LuongConfig,
    ModelConfig,
    OptimConfig,
    OptimKind,
    Precision,
    ScheduleConfig,
    ScheduleKind,
    SearchConfig,
    StackConfig,
    TransformerConfig,
)
from nmt.data.batching import make_batch
from nmt.data.plan import BatchPlan
from nmt.data.store import Split
from nmt.decoding.search import search
from nmt.hardware import autocast, describe, matmul_peak
from nmt.layout import Layout
from nmt.models import build_model
from nmt.training.checkpoint import Checkpoints, load_weights
from nmt.training.objective import Objective
from nmt.training.optim import build_optimizer
from nmt.training.schedule import build_schedule
from nmt.training.update import Updater

CPU = torch.device("cpu")
TINY = TransformerConfig(
    model_dim=128, feedforward_dim=256, encoder=StackConfig(num_layers=4), decoder=StackConfig(num_layers=4), dropout=0.0
)
BASE = TransformerConfig(
    model_dim=512,
    num_heads=8,
    feedforward_dim=2048,
    encoder=StackConfig(num_layers=6),
    decoder=StackConfig(num_layers=6),
)
BIG = replace(BASE, model_dim=1024, num_heads=16, feedforward_dim=4096)
STILL = {"embedding_dropout": 0.0, "context_dropout": 0.0, "output_dropout": 0.0}
SMALL = {
    "transformer": TINY,
    "luong": LuongConfig(**STILL),
    "bahdanau": BahdanauConfig(**STILL),
    "conditional_gru": ConditionalGruConfig(**STILL),
    "gnmt": GnmtConfig(encoder_layers=3, decoder_layers=3, layer_dropout=0.0, **STILL),
}
SPEED = {  # model, vocabulary, tokens a batch
    "tiny": (TINY, 8_000, 25_000),
    "base": (BASE, 32_000, 25_000),
    "big": (BIG, 32_000, 25_000),
    "luong": (LuongConfig(embedding_dim=512), 8_000, 12_500),
    "bahdanau": (BahdanauConfig(embedding_dim=512), 8_000, 12_500),
}


class MadeSplit(Split):
    """Random pairs whose lengths are spread as those of real sentences are."""

    def __init__(self, num_pairs: int, vocab_size: int, mean_length: float) -> None:
        random = np.random.default_rng(1)
        lengths = np.clip(random.lognormal(np.log(mean_length), 0.45, num_pairs), 1, 120).astype(np.int64)
        others = np.clip(lengths * random.normal(1.0, 0.15, num_pairs), 1, 120).astype(np.int64)
        self._offsets = {side: np.cumsum([0, *rows]) for side, rows in (("source", lengths), ("target", others))}
        self._ids = {side: random.integers(4, vocab_size, offsets[-1]) for side, offsets in self._offsets.items()}


def updater(
    config: ModelConfig,
    vocab_size: int,
    max_tokens: int,
    device: torch.device,
    precision: Precision,
    packed: bool,
    optimizer: OptimKind = OptimKind.adam,
) -> Updater:
    torch.manual_seed(1)
    split = MadeSplit(400 * max_tokens // 1000, vocab_size, 22.0)
    model = build_model(config, (vocab_size, vocab_size)).to(device)
    optim = VARIANTS[OptimConfig][optimizer](kind=optimizer, learning_rate=5e-4)
    return Updater(
        objective=Objective(model, LossConfig()),
        optimizer=build_optimizer(model, optim),
        schedule=build_schedule(ScheduleConfig(kind=ScheduleKind.constant, warmup_steps=1), None),
        split=split,
        plan=BatchPlan(split.source_lengths, split.target_lengths, max_tokens=max_tokens, microbatches=1, seed=1),
        max_grad_norm=1.0,
        seed=1,
        device=device,
        precision=precision,
        packed=packed,
    )


FORMS = {
    "full": Form(),
    "causal": Form(CAUSAL),
    "window": Form(Window(True, 4)),
    "sinks": Form(Window(True, 4, num_sinks=2)),
    "strided": Form(Strided(False, 4)),
    "alibi": Form(CAUSAL, bias=LinearBias(4)),
    "sparsemax": Form(CAUSAL, Entmax(4, alpha=2.0)),
    "sink": Form(CAUSAL, SinkSoftmax(4, learned=True)),
    "off by one": Form(FULL, SinkSoftmax(4, learned=False)),
}


def attention_error(device: torch.device, dtype: torch.dtype, form: Form, *, packed: bool) -> tuple[str, float]:
    """The kernel that is chosen, and its largest difference from plain products in float32 on the CPU."""
    generator = torch.Generator().manual_seed(1)
    longest = 31 if form.bias is None else kernels.BIASED_ROWS + 31
    layout = Layout.of([17, 5, longest], packed=packed)
    shape = (layout.num_tokens, 4, 32) if packed else (3, longest, 4, 32)
    parts = [torch.randn(shape, generator=generator).to(dtype) for _ in range(3)]
    kernel = kernels.choose_kernel(device.type, dtype, 32, form, length=longest, packed=packed, dropout_prob=0.0)
    on_device = layout.to(device)
    moved = Form(
        form.scope, copy.deepcopy(form.distribution).to(device), copy.deepcopy(form.bias).to(device) if form.bias else None
    )
    context = kernels.attend(*(part.to(device) for part in parts), on_device, on_device, moved)
    queries, keys, values = (layout.pad(part.float()).transpose(1, 2) for part in parts)
    mask, bias = attention_mask(layout, layout, form.scope), position_bias(form.bias, longest, queries.device)
    weights = attention_weights(queries, keys, mask, form.distribution, bias)
    plain = layout.unpad(plain_context(weights, values).transpose(1, 2))
    return kernel.name, float((layout.real(context.cpu()).float() - layout.real(plain)).abs().max())


def gradient_error(config: ModelConfig, device: torch.device, precision: Precision, packed: bool) -> float:
    """The largest difference of a gradient from the CPU's in float32 with padded rows, relative to the largest gradient."""
    reference = updater(config, 512, 1024, CPU, Precision.fp32, packed=False)
    objective = copy.deepcopy(reference.objective).to(device)
    sentences = reference.plan.update(0)[0]
    gradients = []
    for model, where, kind, rows in ((reference.objective, CPU, Precision.fp32, False), (objective, device, precision, packed)):
        with autocast(where, kind):
            losses = model(make_batch(reference.split, sentences, packed=rows).to(where))
        (losses.loss_sum / losses.num_tokens).backward()
        gradients.append([p.grad.float().cpu() for p in model.parameters() if p.grad is not None])
    largest = max(float(gradient.abs().max()) for gradient in gradients[0])
    return max(float((a - b).abs().max()) for a, b in zip(*gradients, strict=True)) / largest


def resume_error(config: ModelConfig, device: torch.device, packed: bool, optimizer: OptimKind) -> float:
    """The largest difference of a weight after six updates between a run that was saved and loaded after three and one that was not."""
    config = replace(config, **{"dropout": 0.1} if isinstance(config, TransformerConfig) else {"output_dropout": 0.1})
    whole, first, second = (updater(config, 512, 1024, device, Precision.bf16, packed, optimizer) for _ in range(3))
    for update in (whole, first):
        update.objective.train()
        for step in range(3):
            update(step)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        checkpoints.save(3, first.objective.model, first.optimizer, {}, keep_last=1, best=None)
        checkpoint = checkpoints.load_latest()
    assert checkpoint is not None
    load_weights(second.objective.model, checkpoint.model)
    second.optimizer.load_state_dict(checkpoint.optimizer)
    second.objective.train()
    for step in range(3, 6):
        whole(step)
        second(step)
    pairs = zip(whole.objective.parameters(), second.objective.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def skip_error(device: torch.device, optimizer: OptimKind) -> float:
    """The largest change that an update whose gradient is not finite makes in a weight or in what the optimiser remembers."""
    update = updater(TINY, 512, 1024, device, Precision.fp32, packed=False, optimizer=optimizer)
    update.objective.train()
    update(0)
    state = [value for values in update.optimizer.state.values() for value in values.values()]
    changing = [parameter.detach() for parameter in update.objective.parameters()] + state
    before = [tensor.clone() for tensor in changing]
    backward = update.backward

    def poisoned(*arguments: Any) -> None:
        backward(*arguments)
        for parameter in update.objective.parameters():
            assert parameter.grad is not None
            parameter.grad.fill_(float("nan"))

    with mock.patch.object(update, "backward", poisoned):
        update(1)
    return float(torch.stack([(a - b).abs().max().cpu() for a, b in zip(changing, before, strict=True)]).max())


def search_difference(config: ModelConfig, device: torch.device) -> int:
    """How many of 31 sentences are translated otherwise than on the CPU, both in float32."""
    torch.manual_seed(3)
    model = build_model(config, (512, 512)).eval()
    rows = [torch.randint(4, 512, (int(n),)) for n in torch.randint(2, 14, (31,))]
    layout = Layout.of([len(row) for row in rows])
    source = layout.pad_packed(torch.cat(rows))
    found = [
        search(copy.deepcopy(model).to(where), source.to(where), layout.to(where), SearchConfig(beam_size=4))
        for where in (CPU, device)
    ]
    return sum(a[0].ids != b[0].ids for a, b in zip(*found, strict=True))


def decoding_speed(config: ModelConfig, vocab_size: int, device: torch.device, precision: Precision, sentences: int) -> float:
    """Generated pieces a second, beam 5, of fresh weights that never end before 30 pieces."""
    torch.manual_seed(1)
    model = build_model(config, (vocab_size, vocab_size)).to(device).eval()
    layout = Layout.of([22] * sentences)
    source = torch.randint(4, vocab_size, (sentences, 22)).to(device)
    settings = SearchConfig(beam_size=5, max_length_ratio=0.0, max_length_offset=30)
    seconds = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        with autocast(device, precision):
            hypotheses = search(model, source, layout.to(device), settings)
        seconds = min(seconds, time.perf_counter() - begun)
    return sum(len(best[0].ids) + 1 for best in hypotheses) / seconds


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.empty(1 << (28 if device.type == "cuda" else 24), device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * source.numel() * source.element_size() / best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    device = torch.device(parser.parse_args().device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here")
        return 1
    print(json.dumps({"torch": torch.__version__, **describe(device)}))
    on_gpu = device.type == "cuda"
    failures = 0

    def check(what: str, value: Callable[[], float], limit: float) -> None:
        nonlocal failures
        found = value()
        failures += not found <= limit
        print(f"{'ok  ' if found <= limit else 'FAIL'} {what}: {found:.2e} (at most {limit:.0e})", flush=True)

    for dtype, limit in ((torch.bfloat16, 0.03), (torch.float32, 1e-4)):
        for (name, form), packed in itertools.product(FORMS.items(), (False, True)):
            kernel, error = attention_error(device, dtype, form, packed=packed)
            check(f"attention {name} {kernel} {dtype} packed={packed}", lambda error=error: error, limit)
    for name, config in SMALL.items():
        for packed in (False, True) if name == "transformer" else (False,):
            halves = (Precision.bf16, Precision.fp16) if on_gpu else (Precision.bf16,)
            for precision, limit in ((Precision.fp32, 1e-3), *((half, 0.1) for half in halves)):
                what = f"{name} gradients {precision.name} packed={packed} against the CPU"
                check(what, lambda c=config, q=precision, r=packed: gradient_error(c, device, q, r), limit)
            for kind in (OptimKind.adam, OptimKind.muon):
                what = f"{name} resumed with {kind.name}, packed={packed}"
                check(what, lambda c=config, r=packed, o=kind: resume_error(c, device, r, o), 1e-3 if on_gpu else 0.0)
        check(f"{name} sentences translated otherwise than on the CPU", lambda c=config: search_difference(c, device), 1)

    for kind in OptimKind:
        check(f"what a bad update changes with {kind.name}", lambda o=kind: skip_error(device, o), 0.0)

    peak, bytes_per_s = matmul_peak(device, Precision.bf16 if on_gpu else Precision.fp32), bandwidth(device)
    ridge = peak / bytes_per_s
    print(
        f"roofline: {peak / 1e12:.2f} TFLOP/s, {bytes_per_s / 1e9:.0f} GB/s: products with under {ridge:.0f} FLOP a byte wait for memory"
    )
    for name, (config, vocab_size, max_tokens) in SPEED.items():
        if not on_gpu:  # in small
            if name not in ("tiny", "luong"):
                continue
            max_tokens = 512
        precision = Precision.bf16 if on_gpu else Precision.fp32
        update = updater(
            config, vocab_size, max_tokens, device, precision, packed=on_gpu and isinstance(config, TransformerConfig)
        )
        measured = measure(update, updates=20 if on_gpu else 2, warmup=5 if on_gpu else 1)
        del update
        measured["decoding_tokens_per_s"] = round(decoding_speed(config, vocab_size, device, precision, 256 if on_gpu else 4), 1)
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        print(json.dumps({"model": name, "max_tokens": max_tokens, **measured}), flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main())
