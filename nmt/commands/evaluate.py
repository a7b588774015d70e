"""``nmt evaluate run=outputs/NAME``: translate a test set and score it."""

from __future__ import annotations

from pathlib import Path

from nmt import distributed
from nmt.commands.finished import load_translator
from nmt.commands.options import EvaluateCommand, EvaluationSetConfig
from nmt.commands.texts import read_text
from nmt.data.reader import languages, read_pairs
from nmt.errors import ConfigError
from nmt.evaluation.evaluator import evaluate
from nmt.evaluation.metrics import Score
from nmt.hardware import resolve_device
from nmt.rules import validate_name


def main(command: EvaluateCommand) -> int:
    validate_name(command.name)
    for name in command.sets:
        validate_name(name)
    with distributed.process_group(resolve_device(command.device)):
        run, translator = load_translator(command)
        config = run.config
        sets = {name: read_set(files) for name, files in command.sets.items()}
        if not sets:
            text = distributed.main_first(lambda: read_text(command.run, config, "test", command.source, command.target))
            sets[command.name] = text.sources, [text.targets]
        language = languages(config.data)[1]
        for name, (sources, references) in sets.items():
            folder = Path(command.run) / "evaluation" / name if distributed.is_main() else None
            evaluation = evaluate(translator, sources, references, command.metrics or config.evaluation.metrics, language, folder)
            if distributed.is_main():
                print(f"{name}:\n{format_scores(evaluation.scores)}" if command.sets else format_scores(evaluation.scores))
    return 0


def read_set(files: EvaluationSetConfig) -> tuple[list[str], list[list[str]]]:
    """The sources of a test set and its sets of references.

    Raises:
        ConfigError: it has no reference.
        DataError: files do not have the same number of lines, or cannot be read.
    """
    if not files.references:
        raise ConfigError(f"the test set of {files.source} needs at least one file of `references`")
    texts = [read_pairs(Path(files.source), Path(path)) for path in files.references]
    return texts[0].sources, [text.targets for text in texts]


def format_scores(scores: list[Score]) -> str:
    """A line a score, with its signature."""
    return "\n".join(f"{score.name} = {score.value:.2f}  {score.signature}" for score in scores)
