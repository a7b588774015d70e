"""``nmt heads run=outputs/NAME``: how important each head is, what leaving some out costs, and a run without them."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from nmt.alignment.importance import Importance, head_importance, least_important, multihead_attentions
from nmt.attention.pruning import remove_heads
from nmt.commands.finished import FinishedRun, load_finished
from nmt.commands.options import HeadsCommand
from nmt.commands.texts import read_text
from nmt.config import TransformerConfig
from nmt.data.pairs import ParallelText
from nmt.decoding.scorer import Scorer
from nmt.errors import ConfigError
from nmt.files import write_json_atomic
from nmt.models.interface import Seq2Seq
from nmt.report.heatmap import importance_figure, save_figure
from nmt.rules import validate_name
from nmt.run_folder import PRUNED, RunFolder, write_made
from nmt.tables import format_table


def main(command: HeadsCommand) -> int:
    _validate(command)
    run = load_finished(command)
    if not isinstance(run.config.model, TransformerConfig):
        raise ConfigError(f"the model in {command.run} is {run.config.model.kind.name}, whose attention has one head")
    text = read_text(command.run, run.config, "dev", command.source, command.target)
    importance = head_importance(run.decoder, text.sources, text.targets)
    folder = Path(command.run) / "heads" / command.name
    folder.mkdir(parents=True, exist_ok=True)
    save_figure(folder / "importance.png", importance_figure(importance))
    print(format_importance(importance))
    costs: dict[int, float] = {}
    for share in (0.0, *command.shares):
        removed = _chosen(run.model, importance, share)
        if (count := count_heads(removed)) not in costs:  # each attention keeps a head, so that large shares may be the same
            costs[count] = _nll_without(run, text, removed)
    print("\n" + format_costs(costs, count_heads(importance)))
    write_json_atomic(
        folder / "importance.json",
        {"pairs": len(text), "importance": importance, "nll_without": costs},
    )
    print(f"\nimportance.png and importance.json are in {folder}")
    if command.output is not None:
        assert command.prune is not None
        removed = _chosen(run.model, importance, command.prune)
        write_pruned(run, Path(command.run), Path(command.output), removed)
        print(f"a run without {count_heads(removed)} heads is in {command.output}")
    return 0


def _validate(command: HeadsCommand) -> None:
    validate_name(command.name)
    for share in (*command.shares, *([] if command.prune is None else [command.prune])):
        if not 0 < share < 1:
            raise ConfigError(f"a share of the heads must be above 0 and below 1, but is {share}")
    if (command.prune is None) != (command.output is None):
        raise ConfigError("`prune`, a share of the heads, and `output`, a new folder, must be given together")
    if command.output is not None and Path(command.output).exists():
        raise ConfigError(f"`output` must be a new folder, but {command.output} exists")


def _chosen(model: Seq2Seq, importance: Importance, share: float) -> dict[str, list[int]]:
    shared = {name: module.num_kv_heads for name, module in multihead_attentions(model).items()}
    return least_important(importance, share, shared)


def without_heads(model: Seq2Seq, removed: Mapping[str, list[int]]) -> Seq2Seq:
    """A copy of a model that has lost these heads."""
    model = copy.deepcopy(model)
    attentions = multihead_attentions(model)
    for name, heads in removed.items():
        remove_heads(attentions[name], heads)
    return model


def _nll_without(run: FinishedRun, text: ParallelText, removed: Mapping[str, list[int]]) -> float:
    """Nats a target piece."""
    model = without_heads(run.model, removed)
    scores = Scorer(model, run.tokenizers, run.device, run.precision).score(text.sources, text.targets)
    return -math.fsum(score.score for score in scores) / sum(len(score.log_probs) for score in scores)


def write_pruned(run: FinishedRun, source: Path, output: Path, removed: Mapping[str, list[int]]) -> None:
    """A run of its own, without these heads, which can be evaluated, or trained further by ``init_from``."""
    first, model_config = RunFolder(source), run.config.model
    assert isinstance(model_config, TransformerConfig)
    before = model_config.pruned_heads
    pruned = before | {
        name: sorted([*before.get(name, []), *in_full(before.get(name, []), heads, model_config.num_heads)])
        for name, heads in removed.items()
    }
    config = dataclasses.replace(run.config, model=dataclasses.replace(model_config, pruned_heads=pruned))
    step = max(first.checkpoints.steps())
    model = without_heads(run.model, removed).cpu()
    write_made(output, first, config, model, step=step, state=PRUNED, made_of={str(source): [step]})


def in_full(gone: list[int], heads: list[int], num_heads: int) -> list[int]:
    """Heads of an attention from which some are gone already, by their numbers when none was."""
    left = [head for head in range(num_heads) if head not in gone]
    return [left[head] for head in heads]


def count_heads(by_attention: Mapping[str, Sequence[object]]) -> int:
    return sum(map(len, by_attention.values()))


def format_importance(importance: Importance) -> str:
    """A line an attention, a column a head."""
    width = max(map(len, importance.values()))
    rows = [[name, *(f"{value:.2f}" for value in values), *[""] * (width - len(values))] for name, values in importance.items()]
    return format_table(["attention", *(f"head {head}" for head in range(width))], rows)


def format_costs(costs: Mapping[int, float], num_heads: int) -> str:
    """By how many of all heads are left out."""
    return format_table(
        ["heads left out", "nats a piece"], [[f"{count} of {num_heads}", f"{nll:.3f}"] for count, nll in costs.items()]
    )
