"""Times this project's training on the pieces that other toolkits are timed on, with their command line and line of JSON.

Put a link named ``run_nmt.py`` to this file beside the other ``run_*.py``, and an environment ``venv-nmt`` beside theirs. The
model: Transformer 3+3 layers, 256, 4 heads, feed-forward 1024, dropout 0.1 everywhere the others have it (embeddings, sub-layers,
attention weights, inside the feed-forward), or ``--model rnn``, a bidirectional LSTM of 2 x 256 and an LSTM of 512 with Luong's
general attention and input feeding, embeddings 512; three-way tied embeddings, label smoothing 0.1, Adam, gradients clipped to 1.
Under ``torchrun`` the tokens of a batch are shared among its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from bench_train import measure

from nmt import distributed
from nmt.cli import conf_dir
from nmt.commands.assemble import build_updater
from nmt.commands.launch import compose
from nmt.data.store import Split
from nmt.data.tokenizer import EOS, UNK
from nmt.hardware import set_up_cpu
from nmt.startup import tune_process

RECURRENT = ["embedding_dim=512", "hidden_dim=512", "embedding_dropout=0.1", "context_dropout=0.1", "output_dropout=0.1"]
MODELS = {
    "transformer": ["model=transformer"]
    + ["model.feedforward_dropout=0.1"]
    + [f"model.{place}.dropout=0.1" for place in ("encoder_self", "decoder_self", "decoder_cross")],
    "rnn": ["model=luong"] + [f"model.{setting}" for setting in RECURRENT],
    "rnn-without-feeding": ["model=luong", "model.input_feeding=false"] + [f"model.{setting}" for setting in RECURRENT],
    "bahdanau": ["model=bahdanau", "model.attention.attention_dim=512"] + [f"model.{setting}" for setting in RECURRENT],
}


def read_pieces(folder: Path, work: Path) -> tuple[Split, int]:
    """The training pairs of files of pieces separated by blanks, as ids, and the size of their vocabulary."""
    words = (folder / "vocab.joey").read_text(encoding="utf-8").rstrip("\n").split("\n")
    ids = {word: EOS + 1 + i for i, word in enumerate(words)}
    for side, language in (("source", "en"), ("target", "de")):
        lines = (folder / f"train.pc.{language}").read_bytes().decode().split("\n")[:-1]
        rows = [[ids.get(piece, UNK) for piece in line.split(" ") if piece] for line in lines]
        np.save(work / f"train.{side}.ids.npy", np.fromiter((i for row in rows for i in row), dtype=np.uint16))
        np.save(work / f"train.{side}.offsets.npy", np.cumsum([0, *map(len, rows)]))
    return Split(work, "train"), EOS + 1 + len(words)


def main() -> None:
    tune_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="transformer", choices=sorted(MODELS))
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    arguments = parser.parse_args()
    peers = Path(os.environ.get("PEERS", Path.home() / "peers"))
    folder = Path(os.environ.get("PEER_DATA", peers / "data" / "m30k"))
    processes = distributed.world_size()
    settings = [f"train.max_tokens={arguments.batch_tokens // processes}", f"train.microbatches={processes}"]
    settings += ["optim.learning_rate=5e-4", f"precision={arguments.precision}"]
    config = compose("train", MODELS[arguments.model] + settings, conf_dir())
    set_up_cpu(arguments.threads // processes)
    with distributed.process_group(torch.device("cpu")), tempfile.TemporaryDirectory() as work:
        split, vocab_size = read_pieces(folder, Path(work))
        update = build_updater(config, split, (vocab_size, vocab_size), torch.device("cpu"))
        measured = measure(update, arguments.updates, arguments.warmup)
    line = {
        "peer": "nmt" if arguments.precision == "fp32" else f"nmt-{arguments.precision}",
        "work": f"train-{arguments.model}",
        "updates": arguments.updates,
        "real_target_tokens_per_update": measured["tokens_per_update"],
        "target_fill": measured["real_target"],
        "how_tokens_counted": "padded positions of the longer side of a batch are at most batch-tokens",
        "batch_tokens": arguments.batch_tokens,
        "max_rss_mib": measured["memory_mib"],
        **measured,
    }
    if distributed.is_main():
        print(json.dumps(line))


if __name__ == "__main__":
    main()
