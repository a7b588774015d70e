"""The same work as the peers' decoding benchmark, with its arguments and its line of JSON.

``PEERS=~/peers python scripts/peer_decode.py [--model rnn]``: 1,000 sentences of pieces, beam 5, batches of 64 sentences, every hypothesis
forced to 20 pieces, fresh weights. ``$PEERS/data/m30k`` has the vocabulary, ``vocab.joey``, and the text as pieces with
blanks between them, ``test2016.pc.en``.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, cast

import torch
from bench_decode import measure

from nmt.config import Device, LuongConfig, ModelConfig, Precision, SearchConfig, TransformerConfig
from nmt.data.tokenizer import EOS, Tokenizers
from nmt.decoding.frozen import frozen
from nmt.decoding.translator import Translator
from nmt.hardware import resolve_device, resolve_precision, set_up_cpu
from nmt.models import build_model
from nmt.startup import tune_process

MODELS: dict[str, ModelConfig] = {"transformer": TransformerConfig(), "rnn": LuongConfig(embedding_dim=512, hidden_dim=512)}


def main() -> None:
    tune_process()
    parser = argparse.ArgumentParser()
    for name, value in {"threads": 2, "beam": 5, "batch": 64, "length": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--model", choices=list(MODELS), default="transformer")
    parser.add_argument("--precision", choices=[p.name for p in Precision], default="fp32")
    arguments = parser.parse_args()
    set_up_cpu(arguments.threads)

    data = Path(os.environ.get("PEERS", Path.home() / "peers")) / "data" / "m30k"
    # with the pieces that never occur, as the others: the number of columns decides how fast the output layer is
    pieces = (data / "vocab.joey").read_text(encoding="utf-8").rstrip("\n").split("\n")
    ids = {piece: EOS + 1 + i for i, piece in enumerate(pieces)}
    sources = [[ids.get(piece, 1) for piece in line.split()] for line in (data / "test2016.pc.en").read_text().splitlines()]

    torch.manual_seed(1)
    device = resolve_device(Device.cpu)
    model = build_model(MODELS[arguments.model], (EOS + 1 + len(ids), EOS + 1 + len(ids)))
    search = SearchConfig(beam_size=arguments.beam, max_sentences=arguments.batch)
    no_tokenizers = cast(Tokenizers, None)  # ids come in and go out
    precision = resolve_precision(Precision[arguments.precision], device)
    translator = Translator(frozen(model, precision), no_tokenizers, search, device, precision)
    result: dict[str, Any] = measure(translator, sources, arguments.length)
    print(
        json.dumps(
            {
                "peer": f"nmt-{arguments.precision}",
                "work": f"decode-{arguments.model}-beam{arguments.beam}",
                **result,
                "mean_length": round(result["target_tokens"] / result["sentences"], 2),
                "sentences_per_s": round(result["sentences"] / result["seconds"], 1),
                "batch": arguments.batch,
                "how_tokens_counted": "tokens of the best hypothesis without EOS; every length forced",
            }
        )
    )


if __name__ == "__main__":
    main()
