"""``nmt align`` with a run of the other direction."""

from dataclasses import replace
from pathlib import Path

import pytest

from nmt.alignment.symmetrization import symmetrize
from nmt.commands import align, train
from nmt.commands.options import AlignCommand
from nmt.config import LuongConfig, NormalizationConfig, Symmetrization, TrainConfig
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


@pytest.mark.parametrize("method", Symmetrization)
def test_links_of_two_directions_are_joined(runs, tmp_path, method):
    (tmp_path / "x.de").write_text("Eins zwei drei vier fuenf\nsechs\nnull neun acht\n")
    (tmp_path / "x.en").write_text("eins drei Vier zwei\nsieben acht\nneun acht null\n")
    pairs = {"source": str(tmp_path / "x.de"), "target": str(tmp_path / "x.en")}
    turned = {"source": pairs["target"], "target": pairs["source"]}
    assert align.main(AlignCommand(run=runs["there"], name="alone", **pairs)) == 0
    assert align.main(AlignCommand(run=runs["back"], name="alone", **turned)) == 0
    assert align.main(AlignCommand(run=runs["there"], name="both", reverse=runs["back"], symmetrization=method, **pairs)) == 0
    forward, backward = links(runs["there"], "alone"), links(runs["back"], "alone")
    expected = [symmetrize(a, frozenset((s, t) for t, s in b), method) for a, b in zip(forward, backward, strict=True)]
    assert links(runs["there"], "both") == expected

    with pytest.raises(ConfigError, match="`reverse` must translate en-de, but"):
        align.main(AlignCommand(run=runs["there"], reverse=runs["there"], **pairs))
    with pytest.raises(ConfigError, match="of pair 1 they see other words"):
        align.main(AlignCommand(run=runs["there"], reverse=runs["lower"], **pairs))
