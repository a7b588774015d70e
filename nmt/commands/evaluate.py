"""``nmt evaluate run=outputs/NAME``: translate a test set and score it."""

from __future__ import annotations

from pathlib import Path

from nmt.commands.translate import build_translator
from nmt.config import AlignCommand, Config, EvaluateCommand
from nmt.data.pairs import ParallelText
from nmt.data.prepare import prepare
from nmt.data.reader import languages, read_pairs
from nmt.errors import ConfigError
from nmt.evaluation.evaluator import evaluate
from nmt.evaluation.metrics import Score
from nmt.rules import validate_name
from nmt.run_folder import RunFolder


def main(command: EvaluateCommand) -> int:
    validate_name(command.name)
    config, translator = build_translator(command)
    text = read_test_set(command, config)
    evaluation = evaluate(
        translator, text.sources, text.targets, Path(command.run) / "evaluation" / command.name, lc_tok_language(config)
    )
    print(format_scores(evaluation.scores))
    return 0


def lc_tok_language(config: Config) -> str | None:
    """The language that lower-cased tokenised BLEU is to be measured in, where it is."""
    return languages(config.data)[1] if config.evaluation.lc_tok else None


def read_test_set(command: EvaluateCommand | AlignCommand, config: Config, links: str | None = None) -> ParallelText:
    """The pairs of the files that a command names, with gold ``links`` where a file of them is given, or the test set of its run.

    Raises:
        ConfigError: some of the files are not given.
        RunError: the run's data changed, so that its test set cannot be told from what it was trained on.
    """
    if command.source and command.target:
        return read_pairs(Path(command.source), Path(command.target), Path(links) if links else None)
    if command.source or command.target or links:
        raise ConfigError("`source` and `target` must be given together, and `links` only with them")
    store = prepare(config.data, config.tokenizer, config.seed)
    RunFolder(Path(command.run)).check_data(store)
    split = store.split("test")
    return ParallelText(split.source_lines, split.target_lines, split.links)


def format_scores(scores: list[Score]) -> str:
    """A line a score, with its signature."""
    return "\n".join(f"{score.name} = {score.value:.2f}  {score.signature}" for score in scores)
