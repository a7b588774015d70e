"""``nmt evaluate run=outputs/NAME``: translate a test set and score it."""

from __future__ import annotations

from pathlib import Path

from nmt import distributed
from nmt.commands.finished import load_translator
from nmt.commands.options import AlignCommand, EvaluateCommand, EvaluationSetConfig
from nmt.config import Config
from nmt.data.pairs import ParallelText
from nmt.data.prepare import prepare
from nmt.data.reader import languages, read_pairs
from nmt.errors import ConfigError
from nmt.evaluation.evaluator import evaluate
from nmt.evaluation.metrics import Score
from nmt.hardware import resolve_device
from nmt.rules import validate_name
from nmt.run_folder import RunFolder


def main(command: EvaluateCommand) -> int:
    validate_name(command.name)
    for name in command.sets:
        validate_name(name)
    with distributed.process_group(resolve_device(command.device)):
        run, translator = load_translator(command)
        config = run.config
        sets = {name: read_set(files) for name, files in command.sets.items()}
        if not sets:
            text = distributed.main_first(lambda: read_test_set(command, config))
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
    return store.split("test").text


def format_scores(scores: list[Score]) -> str:
    """A line a score, with its signature."""
    return "\n".join(f"{score.name} = {score.value:.2f}  {score.signature}" for score in scores)
