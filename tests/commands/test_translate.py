"""`nmt translate` and `nmt score` on small runs: formats, streams, terminals, ensembles."""

import gzip
import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.commands import score, translate
from nmt.commands.options import ScoreCommand, ScoreFormat, SearchOverrides, TranslateCommand, TranslationFormat
from nmt.commands.streams import batched, typed_lines
from nmt.config import LongLines, LuongConfig, Precision, TokenizerConfig, TransformerConfig
from nmt.data.links import parse_links
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import Tokenizer, Tokenizers, learn_pieces
from nmt.errors import ConfigError, DataError
from nmt.models import build_model
from nmt.run_folder import RunFolder

LINES = ["eins zwei", "", "drei\u2028vier acht", "\u00a0", "fuenf sieben neun null eins", "zwei"]
MODELS = {
    "luong": LuongConfig(embedding_dim=13, hidden_dim=14),
    "transformer": TransformerConfig(model_dim=22, num_heads=2, feedforward_dim=29),
    "other": LuongConfig(embedding_dim=13, hidden_dim=14),
}


@pytest.fixture
def runs(run_config, copy_files):
    """Folders of runs with random weights; the tokenizer of `other` is another."""
    text = (copy_files / "x.de").read_text().splitlines()
    paths = {}
    for name, config in MODELS.items():
        vocab_size = 29 if name == "other" else 30
        folder = RunFolder(Path(run_config(config).output_dir) / name)
        folder.path.mkdir()
        folder.write_config(run_config(config, name=name, seed=5))
        tokenizer = Tokenizer(learn_pieces(text, TokenizerConfig(), vocab_size), PLAIN)
        Tokenizers(tokenizer, tokenizer).save(folder.tokenizer_folder)
        torch.manual_seed(3)
        model = build_model(config, (vocab_size, vocab_size))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        folder.checkpoints.save(1, model, optimizer, {}, keep_last=1, best=1)
        paths[name] = str(folder.path)
    return paths


@pytest.fixture
def translated(runs, tmp_path):
    """A function that gives the lines that `nmt translate` writes for LINES, or others."""

    def run(lines=LINES, *, name="luong", **options):
        (tmp_path / "in").write_text("".join(f"{line}\n" for line in lines))
        command = TranslateCommand(run=runs[name], input=str(tmp_path / "in"), output=str(tmp_path / "out"), **options)
        assert translate.main(command) == 0
        written = (tmp_path / "out").read_text().split("\n")
        assert written.pop() == ""
        return written

    return run


def test_formats_say_the_same(translated):
    search = SearchOverrides(beam_size=3, num_best=2)
    text = translated(search=search)
    assert len(text) == len(LINES)
    assert [i for i, line in enumerate(text) if not line] == [1, 3]
    rows = [line.split(" ||| ") for line in translated(search=search, format=TranslationFormat.nbest)]
    assert [int(row[0]) for row in rows] == [0, 0, 1, 2, 2, 3, 4, 4, 5, 5]
    records = [json.loads(line) for line in translated(search=search, format=TranslationFormat.jsonl)]
    assert [record["source"] for record in records] == LINES
    assert [record["translation"] for record in records] == text
    for number, record in enumerate(records):
        of_line = [row for row in rows if int(row[0]) == number]
        assert [each["translation"] for each in record["n_best"]] == [row[1] for row in of_line]
        assert [each["score"] for each in record["n_best"]] == pytest.approx([float(row[2]) for row in of_line])
        assert [each["normalized_score"] for each in record["n_best"]] == pytest.approx([float(row[3]) for row in of_line])
        assert record["n_best"][0]["pieces"] == record["pieces"]
        links = parse_links(record["alignment"]).sure
        assert sorted(t for _, t in links) == list(range(len(record["translation"].split())))
        assert all(s < len(record["source"].split()) for s, _ in links)


def test_alignments_of_a_split_line_point_into_the_whole_line(translated, runs):
    sentences = ["eins zwei drei.", "vier fuenf sechs.", "sieben acht neun"]
    longest = max(map(len, Tokenizers.load(Path(runs["luong"]) / "tokenizer", (PLAIN, PLAIN)).source.encode(sentences)))
    search = SearchOverrides(max_source_length=longest, long_lines=LongLines.split)
    found = translated([" ".join(sentences), *sentences], search=search, format=TranslationFormat.jsonl)
    whole, *parts = (json.loads(line) for line in found)
    assert whole["translation"] == " ".join(part["translation"] for part in parts)
    expected, source_before, target_before = set(), 0, 0
    for part in parts:
        expected |= {(source_before + s, target_before + t) for s, t in parse_links(part["alignment"]).sure}
        source_before += len(part["source"].split())
        target_before += len(part["translation"].split())
    assert parse_links(whole["alignment"]).sure == expected


def test_sampling_is_repeated_by_the_same_command(translated):
    def sample(lines=LINES, **options):
        return translated(lines, search=SearchOverrides(sample=True, temperature=1.5, **options.pop("search", {})), **options)

    first = sample()
    assert sample() == first
    assert sample(buffer_size=1) == first
    assert sample(search={"max_sentences": 2}) == first
    assert sample(seed=5) == first, "the run's own seed"
    assert sample(seed=6) != first


def test_prefixes(translated, tmp_path):
    prefixes = ["acht", "acht", "", "", "neun neun", "zwei drei"]
    (tmp_path / "prefix").write_text("".join(f"{line}\n" for line in prefixes))
    found = translated(prefix=str(tmp_path / "prefix"), buffer_size=4)
    for line, prefix, translation in zip(LINES, prefixes, found, strict=True):
        assert translation.startswith(prefix if line.strip() else "")
    assert found[2] == translated()[2]
    for lines in (LINES[:4], [*LINES, "eins"]):
        with pytest.raises(DataError, match=r"prefix has 6 lines, but the input has (4|more): they must be aligned"):
            translated(lines, prefix=str(tmp_path / "prefix"), buffer_size=4)


def test_ensembles(translated, runs):
    alone = [json.loads(line) for line in translated(format=TranslationFormat.jsonl)]
    together = [json.loads(line) for line in translated(format=TranslationFormat.jsonl, ensemble=[runs["transformer"]])]
    doubled = [json.loads(line) for line in translated(format=TranslationFormat.jsonl, ensemble=[runs["luong"]])]
    assert [record["translation"] for record in doubled] == [record["translation"] for record in alone]
    assert [record["score"] for record in together] != [record["score"] for record in alone]
    with pytest.raises(
        ConfigError, match=r"one vocabulary, but in .*other the tokenizer of the source is \w+ and not \w+, as it is in .*luong"
    ):
        translated(ensemble=[runs["transformer"], runs["other"]])


@pytest.mark.parametrize("ensemble", [False, True], ids=["alone", "ensemble"])
def test_a_forced_translation_has_its_score(translated, runs, tmp_path, ensemble):
    """Nothing may follow the prefix but EOS."""
    others = [runs["luong"]] if ensemble else []
    targets = ["drei", "", "acht acht sieben", "", "eins", "null neun"]
    (tmp_path / "target").write_text("".join(f"{line}\n" for line in targets))
    forced = translated(
        name="transformer",
        format=TranslationFormat.jsonl,
        ensemble=others,
        prefix=str(tmp_path / "target"),
        search=SearchOverrides(beam_size=1, max_length_ratio=0.0, max_length_offset=0),
    )
    records = [json.loads(line) for line in forced]
    assert [record["translation"] for record in records] == targets
    command = ScoreCommand(
        run=runs["transformer"],
        ensemble=others,
        source=str(tmp_path / "in"),
        target=str(tmp_path / "target"),
        output=str(tmp_path / "scores"),
    )
    assert score.main(command) == 0
    numbers = [float(line) for line in (tmp_path / "scores").read_text().splitlines()]
    assert numbers == pytest.approx([record["score"] for record in records], abs=1e-4)
    assert [i for i, number in enumerate(numbers) if number == 0] == [1, 3]
    assert score.main(replace(command, format=ScoreFormat.jsonl)) == 0
    details = [json.loads(line) for line in (tmp_path / "scores").read_text().splitlines()]
    for record, number, detail in zip(records, numbers, details, strict=True):
        assert detail["score"] == number
        assert detail["pieces"] == ([*record["pieces"], "</s>"] if record["pieces"] else [])
        assert math.fsum(detail["log_probs"]) == pytest.approx(number, abs=1e-4)


def test_what_score_refuses(runs, tmp_path):
    (tmp_path / "a").write_text("eins\nzwei\n")
    (tmp_path / "b").write_text("eins\n")
    (tmp_path / "c").write_bytes(b"eins\n\xff\n")
    command = ScoreCommand(
        run=runs["luong"], source=str(tmp_path / "a"), target=str(tmp_path / "b"), output=str(tmp_path / "out")
    )
    with pytest.raises(DataError, match=r"a has 2 lines, but .*b has 1"):
        score.main(command)
    with pytest.raises(DataError, match=r"c:2: invalid UTF-8 at byte 1 \(0xff\)"):
        score.main(replace(command, target=str(tmp_path / "c")))
    with pytest.raises(DataError, match="no: No such file"):
        score.main(replace(command, source=str(tmp_path / "no")))
    with pytest.raises(DataError, match="Is a directory"):
        score.main(replace(command, output=str(tmp_path)))
    with pytest.raises(ConfigError, match="`precision=int8`"):
        score.main(replace(command, precision=Precision.int8))


class Pipe(io.TextIOWrapper):
    """Standard input that is no terminal."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))


def test_standard_input_and_output(runs, translated, monkeypatch, capfdbinary):
    expected = translated()
    capfdbinary.readouterr()
    content = "\n".join(LINES).encode()  # without an end of the last line
    monkeypatch.setattr(sys, "stdin", Pipe(content))
    assert translate.main(TranslateCommand(run=runs["luong"])) == 0
    assert capfdbinary.readouterr().out.decode().split("\n") == [*expected, ""]

    monkeypatch.setattr(sys, "stdin", Pipe(b"eins\r\nzwei\n\xe4cht\ndrei"))
    with pytest.raises(DataError, match=r"standard input:3: invalid UTF-8 at byte 1 \(0xe4\)"):
        translate.main(TranslateCommand(run=runs["luong"], buffer_size=2))
    assert len(capfdbinary.readouterr().out.splitlines()) == 2, "what came before is written"


def test_input_may_be_gzip_and_mistakes_are_named(runs, tmp_path, capfdbinary):
    (tmp_path / "in.gz").write_bytes(gzip.compress(b"eins\nzwei\n"))
    assert translate.main(TranslateCommand(run=runs["luong"], input=str(tmp_path / "in.gz"))) == 0
    assert len(capfdbinary.readouterr().out.splitlines()) == 2
    with pytest.raises(DataError, match="nowhere: No such file"):
        translate.main(TranslateCommand(run=runs["luong"], input=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="`buffer_size` must be at least 1, but is 0"):
        translate.main(TranslateCommand(run=runs["luong"], buffer_size=0))


class Terminal(Pipe):
    def isatty(self):
        return True


@pytest.mark.parametrize("shown", [True, False])
def test_a_terminal_is_asked_line_by_line(runs, monkeypatch, capsys, shown):
    typed = iter(["eins zwei", "", "drei"])
    prompts, written = [], []

    def answer(prompt=""):
        prompts.append(prompt)
        written.append(len(capsys.readouterr().out.splitlines()))
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(sys, "stdin", Terminal(b""))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: shown)
    monkeypatch.setattr("builtins.input", answer)
    assert translate.main(TranslateCommand(run=runs["luong"])) == 0
    assert prompts == ["> " if shown else ""] * 4
    assert written == [0, 1, 1, 1], "every line is answered before the next one is asked for"


def test_broken_bytes_that_are_typed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal(b""))
    monkeypatch.setattr("builtins.input", lambda prompt: b"gr\xfcn".decode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="standard input:1: invalid UTF-8 at byte 3"):
        next(typed_lines())


def test_batches_come_as_soon_as_they_are_full():
    seen = []
    batches = batched((seen.append(i) or i for i in range(5)), 2)
    assert next(batches) == [0, 1]
    assert seen == [0, 1]
    assert list(batches) == [[2, 3], [4]]
    assert list(batched([], 3)) == []
