"""The command line: what Hydra gives, and what people get wrong."""

import logging
import os
import resource
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml

from nmt.cli import COMMANDS, conf_dir, main
from nmt.commands.launch import SCHEMAS
from nmt.config import Config, LongLines
from nmt.conversion import from_dict
from nmt.errors import UserError
from nmt.rules import validate

CONF = conf_dir()


@pytest.fixture
def nmt(monkeypatch, capsys, tmp_path):
    """Run a command line in this process; gives exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["nmt", *words])
        status = 0
        try:
            main()
        except SystemExit as exit:
            status = exit.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    yield run
    root.handlers[:], root.level = handlers, level  # Hydra has put its own there


@pytest.mark.promise(22, 23)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.max_step=3"], "`train.max_step` is not a setting; did you mean `train.max_steps`?"),
        (["data.tag=<2de>"], """`data.tag=<2de>` cannot be read: quote the value and the whole, such as 'data.tag="<2de>"'"""),
        (["modle=luong"], "`modle` is not a setting; did you mean `model`?"),
        (
            ["model=transformr"],
            "`model=transformr` does not exist; there are bahdanau, conditional_gru, gnmt, luong, transformer; did you mean `transformer`?",
        ),
        (["experiment=quikstart"], "did you mean `quickstart`?"),
        (
            ["optim.kind=adm"],
            "`optim.kind` must be one of adam, adamw, radam, adafactor, muon, adagrad, adadelta, sgd, but is 'adm'; "
            "did you mean `adam`?",
        ),
        (["+model.typo=1"], "`model.typo` is not a setting"),
        (["model=luong", "model.num_heads=3"], "`model.num_heads` is not a setting of the `model` that is chosen"),
        (["optim=sgd", "optim.beta1=0.5"], "`optim.beta1` is not a setting of the `optim` that is chosen"),
        (
            ["schedule=cosine", "schedule.decay_steps=5"],
            "`schedule.decay_steps` is not a setting of the `schedule` that is chosen",
        ),
        (["train.freeze=encoder"], "`train.freeze`: "),
        (["train.max_steps=soon"], "`train.max_steps`: Value 'soon'"),
        (["name=../x"], "`name` must be 1 to 64"),
        (["name=/tmp/x"], "`name` must be 1 to 64"),
        (["train.max_epochs=null"], "training has no end"),
        (["data=files"], "`data.source` and `data.target` must name"),
        (["data=files", "data.source=no.de", "data.target=no.en"], "no.de: No such file"),
    ],
)
def test_mistakes_are_named_in_one_line_with_status_2(nmt, words, message):
    status, out, err = nmt("run", *words)
    assert status == 2
    assert message in err
    assert err.startswith("nmt run: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.promise(22)
def test_a_mistake_leaves_nothing_behind(nmt, tmp_path):
    nmt("run", "name=../x")
    nmt("run", "train.max_step=3")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("words", [["evaluate"], ["translate"], ["align"], ["score", "source=x", "target=y"]], ids=str)
def test_commands_on_a_run_say_what_is_missing(nmt, words):
    status, _, err = nmt(*words)
    assert status == 2
    assert "`run` must be given" in err
    status, _, err = nmt(*words, "run=outputs/none")
    assert status == 2
    assert "outputs/none is no run" in err


def test_an_ensemble_is_a_list_of_folders(nmt, monkeypatch):
    seen = []
    monkeypatch.setattr("nmt.commands.translate.main", lambda command: seen.append(command) or 0)
    assert nmt("translate", "run=a", "ensemble=[outputs/b,outputs/c]", "search.long_lines=split")[0] == 0
    assert seen[0].ensemble == ["outputs/b", "outputs/c"]
    assert seen[0].search.long_lines is LongLines.split
    status, _, err = nmt("align", "run=a", "ensemble=[b]")
    assert (status, "`ensemble` is not a setting" in err) == (2, True)


def test_nobody_reads_on(tmp_path):
    """As in `nmt translate ... | head`: no traceback, and nothing about what could not be written at the end."""
    code = """
import sys, nmt.cli, nmt.commands.translate

def write(command):
    while True:
        print("x" * 1000)

nmt.commands.translate.main = write
sys.argv = ["nmt", "translate", "run=a"]
nmt.cli.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout.readline() == "x" * 1000 + "\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 141


@pytest.mark.promise(23)
def test_a_misspelt_key_fails_within_five_seconds(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(
        [sys.executable, "-m", "nmt", "run", "train.max_step=3"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5  # of the processor, which others may share
    assert result.returncode == 2
    assert "did you mean `train.max_steps`?" in result.stderr


@pytest.mark.parametrize("words", [[], ["--help"], ["trian"], ["--version"]])
def test_without_a_command(nmt, words):
    status, out, err = nmt(*words)
    assert status == (0 if words and words[0].startswith("--") else 2)
    if words == ["trian"]:
        assert "did you mean `train`?" in err
    if words != ["--version"]:
        assert all(command in out + err for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_configuration_of_every_command(nmt, command):
    status, out, _ = nmt(command, "--help")
    assert status == 0
    assert f"explained in nmt/{'config.py' if SCHEMAS[command] is Config else 'commands/options.py'}" in out
    missing = [f.name for f in fields(SCHEMAS[command]) if f.default is f.default_factory is MISSING]
    words = [] if SCHEMAS[command] is Config else ["runs=[x]" if name == "runs" else f"{name}=x" for name in missing]
    status, out, err = nmt(command, "--cfg", "job", *words)
    assert status == 0, err
    assert from_dict(SCHEMAS[command], yaml.safe_load(out))


CHOICES = sorted(f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml") if path.parent.name != "hydra")


@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_of_conf_composes(nmt, choice):
    """Into a configuration that keeps all rules."""
    words = ["model.tying=two_way"] if choice == "tokenizer=word" else []  # it has a vocabulary for each language
    status, out, err = nmt("run", choice, *words, "--cfg", "job", "--resolve")
    assert status == 0, err
    validate(from_dict(Config, yaml.safe_load(out)))


def test_a_list_is_given_in_brackets(nmt):
    status, out, _ = nmt("run", "train.freeze=[encoder,embeddings.source]", "--cfg", "job")
    assert status == 0
    assert from_dict(Config, yaml.safe_load(out)).train.freeze == ["encoder", "embeddings.source"]


def test_an_own_folder_of_configuration(nmt, tmp_path):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/own.yaml").write_text("# @package _global_\nname: my-own\n")
    status, out, _ = nmt("run", "--config-dir", str(tmp_path / "mine"), "experiment=own", "--cfg", "job")
    assert status == 0
    assert yaml.safe_load(out)["name"] == "my-own"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nmt tra", {"train", "translate"}),
        ("nmt run train.max_st", {"train.max_steps="}),
        ("nmt run model=tr", {"model=transformer"}),
        ("nmt translate search.beam", {"search.beam_size="}),
        ("nmt sc", {"score"}),
        ("nmt score form", {"format="}),
    ],
)
def test_completion(nmt, monkeypatch, line, expected):
    monkeypatch.setenv("COMP_LINE", line)
    status, out, _ = nmt("-sc", "query=bash")
    assert status == 0
    assert expected <= set(out.split())


def test_completion_installs(nmt):
    assert "complete -o nospace -o default -F hydra_bash_completion" in nmt("-sc", "install=bash")[1]


def test_a_sweep_names_its_runs(nmt, monkeypatch):
    seen = []
    monkeypatch.setattr("nmt.commands.prepare.main", lambda config: seen.append((config.name, config.seed)) or 0)
    status, _, _ = nmt("prepare", "-m", "name=x", "seed=1,2", "model=luong,bahdanau")
    assert status == 0
    assert seen == [
        ("x-model-luong-seed-1", 1),
        ("x-model-bahdanau-seed-1", 1),
        ("x-model-luong-seed-2", 2),
        ("x-model-bahdanau-seed-2", 2),
    ]


def test_long_names_of_a_sweep_differ(nmt, monkeypatch):
    seen = []
    monkeypatch.setattr("nmt.commands.prepare.main", lambda config: seen.append(config.name) or 0)
    words = ["name=dot", "model=luong", "model.attention.score=dot", "optim.learning_rate=5e-4", "train.patience=3", "seed=1,2,3"]
    assert nmt("prepare", "-m", *words)[0] == 0
    assert len(set(seen)) == 3
    assert all(len(name) == 64 and name.startswith("dot-model") for name in seen)


def test_every_process_says_what_it_alone_found_wrong(nmt, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, err = nmt("train", "train.max_step=1")  # as all the others
    assert (status, err) == (2, "")

    def alone(config):
        raise UserError("its disk is not there")

    monkeypatch.setattr("nmt.commands.train.main", alone)
    status, _, err = nmt("train")
    assert (status, err) == (2, "nmt train, process 1: its disk is not there\n")


def test_what_is_refused_under_torchrun(nmt, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, err = nmt("run", "-m", "seed=1,2")
    assert status == 2
    assert "torchrun" in err
    status, _, err = nmt("translate", "run=outputs/run")
    assert (status, err) == (2, "nmt translate: `nmt translate` is one process, but torchrun has started 2\n")


@pytest.fixture(scope="session")
def multi30k(copy_files, tmp_path_factory):
    """A folder that looks like Multi30k's."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "multi30k").mkdir()
    for language in ("en", "de"):
        lines = (copy_files / f"x.{language}").read_text().splitlines(keepends=True)
        for name, part in (("train", lines[:300]), ("val", lines[300:310]), ("test_2016_flickr", lines[310:320])):
            (folder / "multi30k" / f"{name}.{language}").write_text("".join(part))
    return folder


PAPERS = {
    "bahdanau2015": ["model.embedding_dim=13", "model.hidden_dim=14", "model.encoder_dim=18"],
    "luong2015": ["model.embedding_dim=13", "model.hidden_dim=14"],
    "vaswani2017_base": ["model.model_dim=24", "model.feedforward_dim=29"],
    "vaswani2017_big": ["model.model_dim=48", "model.feedforward_dim=29"],
}
"""Experiments whose text is given, in small."""


@pytest.mark.promise(23)
@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_of_conf_runs_one_step(nmt, monkeypatch, multi30k, choice):
    monkeypatch.setenv("NMT_DATA", str(multi30k))
    words = [
        "train.max_steps=1",
        "train.max_tokens=256",
        "train.log_every=1",
        "schedule.warmup_steps=0",
        "tokenizer.vocab_size=30",
        "data.cleaning.max_copy_length=null",
        "search.max_length_ratio=0.1",
        "tracking.num_samples=1",
    ]
    experiment = choice.removeprefix("experiment=")
    if choice == "data=files" or experiment in PAPERS:
        words += [f"data.{side}={multi30k}/multi30k/train.{language}" for side, language in (("source", "en"), ("target", "de"))]
        words += ["data.dev_size=5", "data.test_size=5"]
    elif choice in ("data=builtin", "experiment=quickstart"):
        words += ["data.train_size=200", "data.dev_size=5", "data.test_size=5", "tokenizer.vocab_size=300"]
    elif experiment == choice:
        words += ["data=multi30k"]
    if choice == "debug=profile":
        words += ["train.profile_updates=1"]
    if choice.startswith("tokenizer="):
        words += ["tokenizer.hard_limit=false", "model.tying=two_way"]
    if experiment in PAPERS:
        words += ["tokenizer.hard_limit=false", "evaluation.weights=best", *PAPERS[experiment]]
    elif experiment != choice or choice == "schedule=warmup_stable_decay":
        words += ["schedule.decay_steps=1"]
    status, out, err = nmt("train", choice, *words)
    assert status == 0, err
    assert out.startswith("TRAINED step=1 ")
