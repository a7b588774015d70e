"""``nmt attend`` and ``nmt faithfulness``: what they look at, and what they leave behind."""

import json
from pathlib import Path

import numpy as np
import pytest

import nmt.commands.run
from nmt.commands import attend, evaluate, faithfulness, train
from nmt.commands.finished import load_finished
from nmt.commands.options import AttendCommand, AttentionFormat, EvaluateCommand, FaithfulnessCommand, RunCommand
from nmt.config import AlignmentConfig, StackConfig, TrainConfig, TransformerConfig
from nmt.errors import ConfigError, DataError
from nmt.run_folder import RunFolder

MODEL = TransformerConfig(
    model_dim=24, num_heads=2, feedforward_dim=29, encoder=StackConfig(num_layers=1), decoder=StackConfig(num_layers=1)
)
LIMITS = TrainConfig(max_steps=4, max_tokens=256, validate_every=4, log_every=1)
NAMES = "encoder.self.0, decoder.self.0, decoder.cross.0"


@pytest.fixture
def run(run_config):
    config = run_config(MODEL, train=LIMITS, name="explained", alignment=AlignmentConfig(num_erased=2, num_diagnosed=3))
    assert train.main(config) == 0
    return Path(config.output_dir) / "explained"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "x.de").write_text("Eins zwei drei vier fuenf\nsechs acht\nnull neun acht\n")
    (tmp_path / "x.en").write_text("eins drei Vier zwei\nsieben acht\nneun acht null\n")
    return {"source": str(tmp_path / "x.de"), "target": str(tmp_path / "x.en")}


def labels(folder, name):
    return [json.loads(line) for line in (folder / "attention" / name / "sentences.jsonl").read_text().splitlines()]


def test_attention_over_the_test_set_and_over_files(run, files, capsys):
    assert attend.main(AttendCommand(run=str(run), num_pairs=3)) == 0
    assert capsys.readouterr().out.startswith(f"{NAMES} of 3 pairs: ")
    with np.load(run / "attention/test/attention.npz", allow_pickle=False) as arrays:
        assert len(arrays.files) == 9
    command = AttendCommand(
        run=str(run), name="mine", attentions=["decoder.*"], words=True, format=AttentionFormat.jsonl, num_heatmaps=2, **files
    )
    assert attend.main(command) == 0
    objects = [json.loads(line) for line in (run / "attention/mine/attention.jsonl").read_text().splitlines()]
    assert [each["target_out"] for each in objects] == [
        [*line.split(), "</s>"] for line in Path(files["target"]).read_text().splitlines()
    ]
    assert all(list(each["weights"]) == ["decoder.self.0", "decoder.cross.0"] for each in objects)
    kinds = [f"sentence_000{i}.decoder.{kind}.png" for i in (0, 1) for kind in ("cross", "self")]
    assert sorted(path.name for path in (run / "attention/mine").glob("*.png")) == kinds


def test_attention_over_its_own_translations(run, files):
    assert attend.main(AttendCommand(run=str(run), name="own", words=True, source=files["source"])) == 0
    assert evaluate.main(EvaluateCommand(run=str(run), name="own", source=files["source"], target=files["target"])) == 0
    translations = (run / "evaluation/own/hypotheses.txt").read_text().splitlines()
    assert [each["target_out"] for each in labels(run, "own")] == [[*line.split(), "</s>"] for line in translations]
    assert attend.main(AttendCommand(run=str(run), name="all", translations=True)) == 0
    assert evaluate.main(EvaluateCommand(run=str(run))) == 0
    assert len(labels(run, "all")) == len((run / "evaluation/test/hypotheses.txt").read_text().splitlines())


def test_faithfulness_is_a_table_and_a_file(run, files, capsys):
    assert faithfulness.main(FaithfulnessCommand(run=str(run), counts=[2, 1], num_pairs=2, name="mine", **files)) == 0
    table = capsys.readouterr().out
    assert table.index("top 2 erased") < table.index("top 1 erased") < table.index("top 1 kept")
    assert "gradient attention" in table
    written = json.loads((run / "faithfulness/mine/faithfulness.json").read_text())
    assert written["pairs"] == 2
    assert set(written["methods"]["norms"]["comprehensiveness"]) == {"1", "2"}
    assert faithfulness.main(FaithfulnessCommand(run=str(run), num_pairs=3, translations=False)) == 0


def test_a_run_does_not_try_endless_translations(run, monkeypatch):
    tried = []
    short, long = "eins zwei", "eins zwei drei"
    finished = load_finished(RunCommand(run=str(run)))
    ids = finished.decoder.pairs([short], [short]).ids
    monkeypatch.setattr(nmt.commands.run, "LONGEST_ERASED", max(len(ids.source[0]), len(ids.target[0])))
    monkeypatch.setattr(
        nmt.commands.run, "faithfulness", lambda decoder, sources, targets, config: tried.append((sources, targets)) or {}
    )
    sources, translations = [short, short, long, short], [short, long, short, "zwei eins"]
    nmt.commands.run.look_into(finished, RunFolder(run), (sources, translations), ([short], [short]))
    assert tried == [([short, short], [short, "zwei eins"])]


def test_a_finished_model_differentiates_nothing_with_respect_to_its_parameters(run):
    assert not any(parameter.requires_grad for parameter in load_finished(RunCommand(run=str(run))).decoder.model.parameters())


def test_what_is_refused(run, files):
    for command, message in (
        (AttendCommand(run=str(run), attentions=["decoder.crass.*"]), r"is named decoder\.crass\.\*; there are " + NAMES),
        (AttendCommand(run=str(run), target=files["target"]), "must be given together"),
        (AttendCommand(run=str(run), name="../x"), "name"),
    ):
        with pytest.raises(ConfigError, match=message):
            attend.main(command)
    for counts in ([], [0]):
        with pytest.raises(ConfigError, match="`counts` must be"):
            faithfulness.main(FaithfulnessCommand(run=str(run), counts=counts))
    Path(files["source"]).write_text("eins\n\nzwei\n")
    with pytest.raises(DataError, match="faithfulness needs a pair with two source words"):
        faithfulness.main(FaithfulnessCommand(run=str(run), **files))
    Path(files["source"]).write_text("eins zwei\n\nzwei\n")
    with pytest.raises(ConfigError, match=r"`alignment.layer` must be from -1 to 0 .* but is 1"):
        faithfulness.main(FaithfulnessCommand(run=str(run), layer=1, **files))
