"""``nmt evaluate run=outputs/NAME``: translate a test set and score it."""

from __future__ import annotations

from pathlib import Path

from nmt.commands.translate import build_translator
from nmt.config import Config, ConfigError, EvaluateCommand
from nmt.data.prepare import prepare
from nmt.data.reader import ParallelText, languages, read_pairs
from nmt.evaluation.evaluator import evaluate
from nmt.evaluation.metrics import Score


def main(command: EvaluateCommand) -> int:
    config, translator = build_translator(command)
    text = read_test_set(config, command.source, command.target)
    evaluation = evaluate(
        translator, text.sources, text.targets, Path(command.run) / "evaluation" / command.name, lc_tok_language(config)
    )
    print(format_scores(evaluation.scores))
    return 0


def lc_tok_language(config: Config) -> str | None:
    """The language that lower-cased tokenised BLEU is to be measured in, where it is."""
    return languages(config.data)[1] if config.evaluation.lc_tok else None


def read_test_set(config: Config, source: str | None, target: str | None, links: str | None = None) -> ParallelText:
    """The pairs of two given files, or the run's own test set.

    Raises:
        ConfigError: only one file is given.
    """
    if source and target:
        return read_pairs(Path(source), Path(target), Path(links) if links else None)
    if source or target:
        raise ConfigError("`source` and `target` must be given together")
    split = prepare(config.data, config.tokenizer, config.seed).split("test")
    return ParallelText(split.source_lines, split.target_lines, split.links)


def format_scores(scores: list[Score]) -> str:
    """A line a score, with its signature."""
    return "\n".join(f"{score.name} = {score.value:.2f}  {score.signature}" for score in scores)
