"""How fast does a model translate? Prints one line of JSON.

``python scripts/bench_decode.py [--forced 20] OVERRIDES``: fresh weights of any settings of ``nmt run``, over its test set, for example
``data=multi30k model=luong tokenizer.vocab_size=8000``. With ``--forced`` every hypothesis has that many pieces, so that the weights do
not change the amount of work.

``python scripts/bench_decode.py run=outputs/NAME OVERRIDES``: a finished run over its test set, with the overrides of ``nmt evaluate``;
the line has BLEU too.

Time is that of the searches, from ids to ids; loading is left out. A token is a piece of a best hypothesis, or its EOS where the length
is free.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import time
from collections.abc import Sequence
from typing import Any

import torch

from nmt.cli import conf_dir
from nmt.commands.finished import load_translator
from nmt.commands.launch import compose
from nmt.commands.texts import read_text
from nmt.config import MetricName
from nmt.conversion import to_dict
from nmt.data.prepare import prepare
from nmt.data.tokenizer import EOS
from nmt.decoding.frozen import frozen
from nmt.decoding.translator import Translator
from nmt.evaluation.metrics import score
from nmt.hardware import count_flops, describe, matmul_peak, resolve_device, resolve_precision, set_up_cpu
from nmt.models import build_model
from nmt.startup import tune_process


def main() -> None:
    tune_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forced", type=int, default=None)
    arguments, overrides = parser.parse_known_args()
    references = None
    if any(word.startswith("run=") for word in overrides):
        command = compose("evaluate", overrides, conf_dir())
        run, translator = load_translator(command)
        text = read_text(command.run, run.config, "test", command.source, command.target)
        sources, references = text.sources, text.targets
    else:
        config = compose("run", overrides, conf_dir())
        set_up_cpu(config.threads)
        store = prepare(config.data, config.tokenizer, config.seed)
        torch.manual_seed(config.seed)
        device = resolve_device(config.device)
        model = build_model(config.model, store.tokenizers.vocab_sizes).to(device)
        precision = resolve_precision(config.precision, device)
        translator = Translator(frozen(model, precision), store.tokenizers, config.search, device, precision)
        sources = store.split("test").source_lines
    ids = [row for row in translator.tokenizers.source.encode(sources) if row]
    result: dict[str, Any] = {"work": " ".join(overrides), **measure(translator, ids, arguments.forced)}
    if references and arguments.forced is None:
        result["bleu"] = round(score(MetricName.bleu, [t.text for t in translator.translate(sources)], [references], "").value, 2)
    print(json.dumps(result))


def measure(translator: Translator, sources: Sequence[list[int]], forced: int | None = None) -> dict[str, Any]:
    """Tokens a second of one pass over the sources, after a pass that warms up and counts the products.

    With ``forced``, EOS is all but impossible, and its bias in the translator's model is spoilt.
    """
    if forced is not None:
        bias = translator.model.output_layer().bias
        assert bias is not None
        bias.data[EOS] = -1e9
        translator.search = dataclasses.replace(translator.search, max_length_ratio=0.0, max_length_offset=forced)
    flops = count_flops(lambda: translator.search_all(sources))
    begin = time.perf_counter()
    found = translator.search_all(sources)
    seconds = time.perf_counter() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    tokens = sum(len(n_best[0].ids) + (forced is None) for n_best in found)
    peak = matmul_peak(translator.device, translator.precision)
    return {
        "target_tokens_per_s": round(tokens / seconds, 1),
        "seconds": round(seconds, 3),
        "target_tokens": tokens,
        "sentences": len(sources),
        "forced": forced,
        "search": to_dict(translator.search),
        "precision": translator.precision.name,
        "peak_gflops": round(peak / 1e9, 1),
        "share_of_peak": round(flops / seconds / peak, 3),
        "memory_mib": memory,
        **describe(translator.device),
    }


if __name__ == "__main__":
    main()
