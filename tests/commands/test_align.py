"""``nmt align`` with a run of the other direction, and with the layer and head that align best."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nmt.alignment.symmetrization import symmetrize
from nmt.commands import align, train
from nmt.commands.finished import load_finished
from nmt.commands.options import AlignCommand, RunCommand, Selection
from nmt.commands.texts import read_text
from nmt.config import (
    BuiltinDataConfig,
    LuongConfig,
    NormalizationConfig,
    StackConfig,
    Symmetrization,
    TokenizerConfig,
    TrainConfig,
    TransformerConfig,
)
from nmt.data.links import parse_links
from nmt.errors import ConfigError

MODEL = LuongConfig(embedding_dim=13, hidden_dim=14)
LIMITS = TrainConfig(max_steps=4, max_tokens=256, validate_every=4, log_every=1)


@pytest.fixture
def runs(run_config):
    """Folders of a run, one of the other direction, and one that writes in lower case."""
    config = run_config(MODEL, train=LIMITS, name="there")
    turned = replace(config.data, direction="en-de")
    lower = replace(turned, normalization=NormalizationConfig(lowercase=True))
    for name, data in (("there", config.data), ("back", turned), ("lower", lower)):
        assert train.main(replace(config, name=name, data=data)) == 0
    return {name: str(Path(config.output_dir) / name) for name in ("there", "back", "lower")}


def links(folder, name):
    return [parse_links(line).sure for line in (Path(folder) / "alignment" / name / "links.txt").read_text().splitlines()]


def test_links_of_two_directions_are_joined(runs, tmp_path):
    (tmp_path / "x.de").write_text("Eins zwei drei vier fuenf\nsechs\nnull neun acht\n")
    (tmp_path / "x.en").write_text("eins drei Vier zwei\nsieben acht\nneun acht null\n")
    pairs = {"source": str(tmp_path / "x.de"), "target": str(tmp_path / "x.en")}
    turned = {"source": pairs["target"], "target": pairs["source"]}
    assert align.main(AlignCommand(run=runs["there"], name="alone", **pairs)) == 0
    assert align.main(AlignCommand(run=runs["back"], name="alone", **turned)) == 0
    forward, backward = links(runs["there"], "alone"), links(runs["back"], "alone")
    for method in Symmetrization:
        both = AlignCommand(run=runs["there"], name=method.name, reverse=runs["back"], symmetrization=method, **pairs)
        assert align.main(both) == 0
        expected = [symmetrize(a, frozenset((s, t) for t, s in b), method) for a, b in zip(forward, backward, strict=True)]
        assert links(runs["there"], method.name) == expected

    with pytest.raises(ConfigError, match="`reverse` must translate en-de, but"):
        align.main(AlignCommand(run=runs["there"], reverse=runs["there"], **pairs))
    with pytest.raises(ConfigError, match="of pair 1 they see other words"):
        align.main(AlignCommand(run=runs["there"], reverse=runs["lower"], **pairs))


def test_layer_head_and_shift_are_chosen_on_dev(run_config, tmp_path, capsys):
    """Two directions of the built-in corpus, whose dev set has gold links."""
    model = TransformerConfig(
        model_dim=12, num_heads=2, feedforward_dim=17, encoder=StackConfig(num_layers=1), decoder=StackConfig(num_layers=1)
    )
    config = run_config(model, train=LIMITS)
    runs = {}
    for name, direction in (("there", "en-de"), ("back", "de-en")):
        data = BuiltinDataConfig(train_size=300, dev_size=20, test_size=7, direction=direction, store_dir=config.data.store_dir)
        tokenizer = TokenizerConfig(vocab_size=300, hard_limit=False)
        assert train.main(replace(config, name=name, data=data, tokenizer=tokenizer)) == 0
        runs[name] = str(Path(config.output_dir) / name)
    capsys.readouterr()
    assert align.main(AlignCommand(run=runs["there"], select=Selection.gold)) == 0
    out = capsys.readouterr().out
    [(head, shift, rate)] = re.findall(
        r"^layer 0, (?:head )?(\w+)(?: of heads)?(, shifted)? has the lowest AER on dev, (\S+) %$", out, re.MULTILINE
    )
    assert align.main(AlignCommand(run=runs["there"], select=Selection.gold, reverse=runs["back"])) == 0
    assert re.search(r"^back layer 0, .* has, \S+ %$", capsys.readouterr().out, re.MULTILINE)
    assert align.main(AlignCommand(run=runs["there"], select=Selection.agreement, reverse=runs["back"], num_selected=9)) == 0
    assert re.search(
        r"^layer 0, .* and back layer 0, .* agree in \S+ % of their links on dev$", capsys.readouterr().out, re.MULTILINE
    )
    with pytest.raises(ConfigError, match="`select=agreement` needs `reverse`"):
        align.main(AlignCommand(run=runs["there"], select=Selection.agreement))
    text = read_text(runs["there"], load_finished(RunCommand(run=runs["there"])).config, "dev", None, None)
    (tmp_path / "dev.en").write_text("".join(f"{line}\n" for line in text.sources))
    (tmp_path / "dev.de").write_text("".join(f"{line}\n" for line in text.targets))
    (tmp_path / "dev.align").write_text("".join(f"{line}\n" for line in text.links))
    files = {"source": str(tmp_path / "dev.en"), "target": str(tmp_path / "dev.de"), "links": str(tmp_path / "dev.align")}
    chosen = {"layer": 0, "head": int(head) if head.isdigit() else None, "shift": bool(shift)}
    assert align.main(AlignCommand(run=runs["there"], name="dev", **chosen, **files)) == 0
    assert f"AER {rate} %" in capsys.readouterr().out


def test_without_gold_links_on_dev_nothing_is_chosen_by_them(runs):
    with pytest.raises(ConfigError, match="`select=gold` needs gold links of the dev set"):
        align.main(AlignCommand(run=runs["there"], select=Selection.gold))
