import gzip
import json
from dataclasses import replace

import pytest
import torch

from nmt.commands.assemble import build_updater
from nmt.config import TrainConfig
from nmt.data.prepare import prepare
from nmt.training.profile import KINDS, format_profile, profile_updates


def test_the_time_of_an_update_is_told_apart(run_config, family_config, tmp_path):
    dropout = {name: 0.1 for name in ("dropout", "output_dropout") if hasattr(family_config, name)}
    config = run_config(replace(family_config, **dropout), train=TrainConfig(max_steps=9, max_tokens=256))
    store = prepare(config.data, config.tokenizer, config.seed)
    update = build_updater(config, store.split("train"), store.tokenizers.vocab_sizes, torch.device("cpu"))
    trace = tmp_path / "trace.json.gz"
    times = profile_updates(update, 2, trace)
    assert tuple(times) == KINDS
    assert all(milliseconds > 0 for milliseconds in times.values())
    with gzip.open(trace) as file:
        events = [event for event in json.load(file)["traceEvents"] if event.get("ph") == "X"]
    assert [event["name"] for event in events].count("_OutputLoss") == 2
    updates = [event["dur"] for event in events if event["name"].startswith("ProfilerStep") and event["cat"] == "user_annotation"]
    assert len(updates) == 2
    assert sum(times.values()) == pytest.approx(sum(updates) / 1000 / 2, rel=0.05)
    lines = format_profile(times).splitlines()
    assert [line.split()[0] for line in lines] == [*KINDS, "an"]
    assert lines[-1].endswith("100.0%")
