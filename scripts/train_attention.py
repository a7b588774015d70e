"""Trains every mechanism of attention on the built-in corpus and measures it, for ``docs/attention.md``.

    python scripts/train_attention.py train FOLDER [--lane 1/2]    a run for each line of the table, those that are finished left alone
    python scripts/train_attention.py measure FOLDER               their speeds, against the first of their family, in turns
    python scripts/train_attention.py collect FOLDER               docs/attention.json and docs/attention/*.png

Runs are on one thread, so that two lanes fit two cores. The first of each family has three seeds, for the spread; the others one.
``write_attention.py`` makes the page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nmt.commands.assemble import build_updater
from nmt.commands.options import RunCommand
from nmt.data.prepare import prepare
from nmt.hardware import resolve_precision, set_up_cpu

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PICTURES = ROOT / "docs" / "attention.json", ROOT / "docs" / "attention"

SHARED = ["threads=1", "tracking.tensorboard=false", "tracking.progress=plain"]


def updates(count: int) -> list[str]:
    """Settings of so many, in the second half of which the learning rate falls."""
    return [f"train.max_steps={count}", f"train.validate_every={count}", f"schedule.decay_steps={count // 2}"]


TRANSFORMER = [
    "model=transformer",
    "tokenizer=unigram",
    "tokenizer.vocab_size=2000",
    "model.model_dim=128",
    "model.feedforward_dim=512",
    "schedule=warmup_stable_decay",
    "schedule.warmup_steps=150",
    "optim.learning_rate=3e-3",
    "train.max_epochs=null",
    "train.max_tokens=2048",
    *updates(700),
]


@dataclass(frozen=True)
class Variant:
    """A line of the table: what differs from its family's first, as words of a command line."""

    name: str
    words: str
    seeds: tuple[int, ...] = (1,)


def everywhere(setting: str) -> str:
    """A setting of all three places of a Transformer."""
    return " ".join(f"model.{place}.{setting}" for place in ("encoder_self", "decoder_self", "decoder_cross"))


def in_self(settings: str) -> str:
    """Settings of both self-attentions."""
    return " ".join(f"model.{place}.{setting}" for place in ("encoder_self", "decoder_self") for setting in settings.split())


SEEDS = (1, 2, 3)
FAMILIES: dict[str, tuple[list[str], list[Variant]]] = {
    "Bahdanau": (
        ["experiment=quickstart", "model=bahdanau", *updates(700)],
        [
            Variant("additive", "", SEEDS),
            Variant("normed additive", "model.attention.score=normed_additive"),
            Variant("general", "model.attention.score=general"),
            Variant("dot", "model.attention.score=dot"),
            Variant("scaled dot", "model.attention.score=scaled_dot"),
            Variant("learned scaled dot", "model.attention.score=learned_scaled_dot"),
            Variant("location", "model.attention.score=location"),
            Variant("temperature 0.5", "model.attention.temperature=0.5"),
            Variant("sparsemax", "model.attention.distribution=sparsemax"),
            Variant("entmax 1.5", "model.attention.distribution=entmax15"),
            Variant("learned entmax", "model.attention.distribution=entmax"),
            Variant("learned sink", "model.attention.distribution=sink"),
            Variant("off by one", "model.attention.distribution=off_by_one"),
            Variant("local-m", "model.attention.scope=local_m model.attention.window=5"),
            Variant("local-p", "model.attention.scope=local_p model.attention.window=5"),
            Variant("local-p, window of 10", "model.attention.scope=local_p model.attention.window=10"),
            Variant("linguistic coverage", "model.attention.coverage=linguistic"),
            Variant("neural coverage", "model.attention.coverage=neural"),
            Variant("conditional GRU", "model=conditional_gru"),
        ],
    ),
    "Luong": (
        ["experiment=quickstart", "model=luong", *updates(1400)],  # whose attention is found later
        [
            Variant("general, input feeding", "", SEEDS),
            Variant("without input feeding", "model.input_feeding=false"),
            Variant("concat", "model.attention.score=concat"),
            Variant("dot", "model.attention.score=dot"),
            Variant("location", "model.attention.score=location"),
            Variant("local-m", "model.attention.scope=local_m model.attention.window=5"),
            Variant("local-p", "model.attention.scope=local_p model.attention.window=5"),
            Variant("local-p, window of 10", "model.attention.scope=local_p model.attention.window=10"),
            Variant("reversed source", "model.encoder_direction=backward"),
            Variant("no attention", "model.encoder_direction=backward model.attention.scope=final"),
            Variant("GNMT", "model=gnmt model.encoder_layers=3 model.decoder_layers=3"),
        ],
    ),
    "Transformer": (
        ["data=builtin", *TRANSFORMER],
        [
            Variant("sinusoidal positions", "", SEEDS),
            Variant("learned positions", "model.position=learned"),
            Variant("rotary positions", "model.position=rotary"),
            Variant("ALiBi", "model.position=alibi"),
            Variant("T5 buckets", "model.position=buckets"),
            Variant("window of 4", in_self("scope=window window=4")),
            Variant("window and 2 sinks", in_self("scope=window window=4 num_sinks=2")),
            Variant("window and 2 global", in_self("scope=window window=4 num_global=2")),
            Variant("strides of 4", in_self("scope=strided window=4")),
            Variant("linear", in_self("linear=true")),
            Variant("multi-query", everywhere("num_kv_heads=1")),
            Variant("grouped queries", everywhere("num_kv_heads=2")),
            Variant("learned scale", everywhere("score=learned_scaled_dot")),
            Variant("sparsemax", everywhere("distribution=sparsemax")),
            Variant("entmax 1.5", everywhere("distribution=entmax15")),
            Variant("learned entmax", everywhere("distribution=entmax")),
            Variant("learned sinks", everywhere("distribution=sink")),
            Variant("off by one", everywhere("distribution=off_by_one")),
            Variant("head dropout 0.1", everywhere("head_dropout=0.1")),
            Variant("deep encoder, shallow decoder", "model.encoder.num_layers=5 model.decoder.num_layers=1"),
        ],
    ),
}


def folder_name(family: str, variant: Variant, seed: int) -> str:
    return f"{family}-{variant.name}-{seed}".lower().replace(" ", "_").replace(",", "")


def runs() -> list[tuple[str, list[str]]]:
    """The folder and the words of every run, first seeds first."""
    found = []
    for family, (shared, variants) in FAMILIES.items():
        for variant in variants:
            for seed in variant.seeds:
                name = folder_name(family, variant, seed)
                found.append((seed, name, [*shared, *SHARED, *variant.words.split(), f"seed={seed}"]))
    return [(name, words) for _, name, words in sorted(found, key=lambda run: run[0])]


def train(folder: Path, runs: list[tuple[str, list[str]]], lane: str) -> None:
    """Train every so many-th of these runs, such as ``1/2``; those that are finished are left alone."""
    number, lanes = map(int, lane.split("/"))
    for name, words in runs[number - 1 :: lanes]:
        if is_finished(folder / name):
            continue
        places = [f"name={name}", f"output_dir={folder}", f"data.store_dir={folder / 'store'}"]
        command = [sys.executable, "-m", "nmt", "run", *words, *places]
        begin = time.monotonic()
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        print(f"{name}: exit {result.returncode}, {time.monotonic() - begin:.0f} s", flush=True)
        if result.returncode:
            print(result.stderr[-2000:], file=sys.stderr, flush=True)


def is_finished(run: Path) -> bool:
    status = run / "status.json"
    return status.exists() and json.loads(status.read_text())["state"] == "finished"


def measure(folder: Path, rounds: int = 3) -> None:
    """Tokens a second in training and in beam search, as ratios to the first of the family: the median of rounds in turns.

    Those that are known are not measured again.
    """
    from nmt.commands.finished import load_finished

    set_up_cpu(1)
    file = folder / "speeds.json"
    speeds: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    for family, (_, variants) in FAMILIES.items():
        runs_of_family = {v.name: folder / folder_name(family, v, 1) for v in variants}
        first = variants[0].name
        new = {name: run for name, run in runs_of_family.items() if is_finished(run) and f"{family}/{name}" not in speeds}
        if not new:
            continue
        timed = {name: _workload(run, load_finished) for name, run in ({first: runs_of_family[first]} | new).items()}
        seconds: dict[str, dict[str, list[float]]] = {name: {"training": [], "decoding": []} for name in timed}
        for kind in ("training", "decoding"):
            for turn in range(rounds + 1):  # the first warms up
                for name, workloads in timed.items():
                    begin = time.perf_counter()
                    workloads[kind]()
                    if turn:
                        seconds[name][kind].append(time.perf_counter() - begin)
        for name in new:
            speeds[f"{family}/{name}"] = {
                kind: statistics.median(a / b for a, b in zip(seconds[first][kind], seconds[name][kind], strict=True))
                for kind in ("training", "decoding")
            }
            print(family, name, speeds[f"{family}/{name}"], flush=True)
    file.write_text(json.dumps(speeds, indent=1) + "\n")


def _workload(path: Path, load_finished: Any) -> dict[str, Any]:
    """Eight updates of a new model like a run's, and translating 100 dev sentences with the trained one."""
    run = load_finished(RunCommand(run=str(path), threads=1))
    config = run.config
    store = prepare(config.data, config.tokenizer, config.seed)
    config.precision = resolve_precision(config.precision, run.device)
    update = build_updater(config, store.split("train"), store.tokenizers.vocab_sizes, torch.device("cpu"))
    update.objective.train()
    translator = run.translator(config.search, 1)
    lines = store.split("dev").source_lines[:100]
    return {"training": lambda: [update(step) for step in range(8)], "decoding": lambda: translator.translate(lines)}


def collect(folder: Path) -> None:
    """What is known so far: variants that were not trained, or whose speed was not measured, are left out."""
    from nmt.run_folder import load_run

    speeds = json.loads((folder / "speeds.json").read_text())
    PICTURES.mkdir(exist_ok=True)
    results: dict[str, Any] = {}
    for family, (_, variants) in FAMILIES.items():
        for variant in variants:
            names = [name for seed in variant.seeds if is_finished(folder / (name := folder_name(family, variant, seed)))]
            if not names or f"{family}/{variant.name}" not in speeds:
                continue
            statuses = [json.loads((folder / name / "status.json").read_text()) for name in names]
            scores = [json.loads((folder / name / "alignment/test/scores.json").read_text()) for name in names]
            _, model, _ = load_run(folder / names[0], None, torch.device("cpu"))
            results[f"{family}/{variant.name}"] = {
                "words": variant.words,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "bleu": [status["scores"]["bleu"] for status in statuses],
                "aer": [score["sure_and_possible"]["aer"] for score in scores],
                "updates": [status["step"] for status in statuses],
                "training_s": [status["training_s"] for status in statuses],
                "speed": speeds[f"{family}/{variant.name}"],
                "commit": statuses[0]["commit"],
                "hardware": statuses[0]["hardware"]["processor"],
            }
            shutil.copyfile(folder / names[0] / "alignment/test/sentence_0000.png", PICTURES / f"{names[0][:-2]}.png")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "measure", "collect"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lane", default="1/1")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.what == "train":
        train(folder, runs(), arguments.lane)
    elif arguments.what == "measure":
        measure(folder)
    else:
        collect(folder)


if __name__ == "__main__":
    main()
