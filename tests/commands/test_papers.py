"""The papers' experiments at their own sizes, a few updates on real text."""

import json
import os
from pathlib import Path

import pytest

from nmt.cli import main

DATA = Path(os.environ.get("NMT_DATA", "../shared/data")) / "tatoeba-en-de"

LUONG_ROWS = {
    "base": "model.attention.scope=final model.attention.score=general model.input_feeding=false model.encoder_direction=forward "
    "model.embedding_dropout=0 model.output_dropout=0",
    "reverse": "model.attention.scope=final model.attention.score=general model.input_feeding=false "
    "model.embedding_dropout=0 model.output_dropout=0",
    "dropout": "model.attention.scope=final model.attention.score=general model.input_feeding=false",
    "global": "model.attention.scope=full model.attention.score=location model.input_feeding=false",
    "feed": "model.attention.scope=full model.attention.score=location",
    "local-p": "",
    "global-dot": "model.attention.scope=full model.attention.score=dot",
    "global-general": "model.attention.scope=full",
    "local-m-dot": "model.attention.scope=local_m model.attention.score=dot",
    "local-m": "model.attention.scope=local_m",
    "local-p-dot": "model.attention.score=dot",
}
RUNS = {
    "bahdanau2015": "experiment=bahdanau2015",
    **{f"luong2015-{row}": f"experiment=luong2015 {words}" for row, words in LUONG_ROWS.items()},
    "vaswani2017_base": "experiment=vaswani2017_base",
    "vaswani2017_big": "experiment=vaswani2017_big",
}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
@pytest.mark.parametrize("name", RUNS)
def test_a_paper_trains_on_real_text(name, tmp_path, monkeypatch):
    """Six updates, whose losses are numbers and whose gradients are not zero, a validation, the test set and its alignment."""
    for side in ("en", "de"):
        lines = (DATA / f"train.{side}").read_text().splitlines(keepends=True)[:2_000]
        (tmp_path / f"train.{side}").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    words = [
        f"data.source={tmp_path}/train.en",
        f"data.target={tmp_path}/train.de",
        "data.dev_size=4",
        "data.test_size=4",
        "tokenizer.hard_limit=false",
        "train.max_tokens=800",
        "train.max_steps=6",
        "train.log_every=1",
        "train.keep_last=1",
        "train.average_last=1",
        "evaluation.weights=latest",
        "search.max_length_ratio=1",
        "search.max_length_offset=2",
        "tracking.tensorboard=false",
    ]
    monkeypatch.setattr("sys.argv", ["nmt", "run", *RUNS[name].split(), *words])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 0
    [run] = [path.parent for path in (tmp_path / "outputs").glob("*/status.json")]
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "finished"
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses, norms = ([record[name] for record in records if name in record] for name in ("train/loss", "train/gradient_norm"))
    assert len(losses) == len(norms) == 6
    assert all(0 < loss < 20 for loss in losses)
    assert all(norm > 0 for norm in norms)
    assert len(list((run / "alignment").glob("*/links.txt"))) == 1
