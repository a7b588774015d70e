"""``nmt run``: prepare, train, evaluate, align and report; the same command again goes on, or says what came of it."""

from __future__ import annotations

import time

from nmt import distributed
from nmt.alignment.aligner import read_steps
from nmt.alignment.diagnostics import diagnose, write_diagnostics
from nmt.alignment.faithfulness import faithfulness, write_faithfulness
from nmt.alignment.links import AlignmentScores
from nmt.commands.align import align_text
from nmt.commands.finished import FinishedRun, load_finished
from nmt.commands.options import RunCommand
from nmt.commands.train import describe, train
from nmt.config import Config, Picture
from nmt.conversion import flat, to_dict
from nmt.data.links import parse_links
from nmt.data.prepare import prepare
from nmt.data.reader import languages
from nmt.data.store import Store
from nmt.evaluation.evaluator import evaluate
from nmt.hardware import resolve_device
from nmt.report.heatmap import emergence_figure, heatmap_figure, picture, save_figure
from nmt.report.page import Sample, WordViews, read_run, write_report
from nmt.report.views import word_views
from nmt.run_folder import RunFolder, limits, own
from nmt.text import format_time
from nmt.tracking import write_hyperparameters

Translated = tuple[list[str], list[str]]
"""Sources and their translations."""

LONGEST_ERASED = 100
"""Pieces of the longest sentences and translations on which attributions are tried. Gradients cost the square of a translation's length,
and one in which an unfinished model repeats itself is as long as search allows."""


def main(config: Config) -> int:
    if config.dry_run:
        return describe(config)
    with distributed.process_group(resolve_device(config.device)), own(config) as (folder, config):
        if not folder.is_finished(config):
            begun = time.monotonic() - folder.status.get("time_s", 0.0)
            store = distributed.main_first(lambda: prepare(config.data, config.tokenizer, config.seed))
            status = train(folder, config, store)
            folder.update_status(time_s=round(time.monotonic() - begun, 1))
            if status:
                return status
            measure(folder, config, store)
            folder.update_status(state="finished", limits=limits(config), time_s=round(time.monotonic() - begun, 1))
        line = done_line(folder) if distributed.is_main() else None
    if line is not None:  # when the run is over, which it is also where nobody reads on
        print(line)
    return 0


def measure(folder: RunFolder, config: Config, store: Store) -> None:
    """Evaluate and align the test set with the run's chosen weights, look into the model, and write the report; scores are in the status.

    Pairs of ``data.gold_source`` are aligned too; their error rates are ``gold_aer`` and ``gold_aer_sure``. Several processes share the
    sentences to be translated; all the rest is done by the main one.
    """
    run = load_finished(RunCommand(run=str(folder.path), device=config.device))
    text = store.split("test").text
    translator = run.translator(config.search, config.seed)
    evaluation = evaluate(
        translator,
        text.sources,
        [text.targets],
        config.evaluation.metrics,
        languages(config.data)[1],
        folder.path / "evaluation" / "test" if distributed.is_main() else None,
    )
    dev = store.split("dev").text.sources[: config.alignment.num_diagnosed]
    dev_translations = [translation.text for translation in translator.translate(dev)]
    if not distributed.is_main():
        return
    scores = {score.name: round(score.value, 2) for score in evaluation.scores}
    alignments, alignment_scores = align_text(run, text, config.alignment, folder.path / "alignment" / "test")
    scores |= error_rates(alignment_scores, "")
    if "gold" in store.meta["splits"]:
        _, gold_scores = align_text(run, store.split("gold").text, config.alignment, folder.path / "alignment" / "gold")
        scores |= error_rates(gold_scores, "gold_")
    folder.update_status(scores=scores, signatures={score.name: score.signature for score in evaluation.scores})
    if config.tracking.tensorboard:
        write_hyperparameters(folder.path, flat(to_dict(config)), scores, folder.status["step"])
    hypotheses = [translation.text for translation in evaluation.translations]
    look_into(run, folder, (text.sources, hypotheses), (dev, dev_translations))
    shown = slice(config.alignment.num_heatmaps)
    views = word_views(run.decoder, text.sources[shown], text.targets[shown], config.alignment)
    samples = []
    for i, of_pair in enumerate(views):
        if alignments[i].links:
            gold = parse_links(text.links[i]) if text.links else None
            words = WordViews(alignments[i].source_words, alignments[i].target_words, of_pair, gold)
            png = picture(heatmap_figure(alignments[i], gold), Picture.png)
            samples.append(Sample(text.sources[i], text.targets[i], hypotheses[i], png, words))
    write_report(folder.report_file, read_run(folder.path, samples, draw_emergence(folder, config, store)))


def draw_emergence(folder: RunFolder, config: Config, store: Store) -> list[bytes]:
    """Pictures of how the alignments of the first dev sentences came about while the model was trained, as PNG; they are written too."""
    steps = read_steps(folder.training_alignments)
    gold = store.split("dev").links
    pictures = []
    for i in range(config.tracking.num_samples):
        of_pair = {step: alignments[i] for step, alignments in steps.items() if i < len(alignments) and alignments[i].links}
        if len(of_pair) > 1:
            figure = emergence_figure(of_pair, parse_links(gold[i]) if gold else None)
            save_figure(folder.path / "alignment" / f"emergence_{i:04d}.{config.alignment.picture.name}", figure)
            pictures.append(picture(figure, Picture.png))
    return pictures


def look_into(run: FinishedRun, folder: RunFolder, test: Translated, dev: Translated) -> None:
    """Write how far attributions of translations of the test set can be trusted, and diagnostics of the dev set's."""
    config = run.config.alignment
    pieces = run.decoder.pairs(*test).ids
    short = [i for i, both in enumerate(zip(pieces.source, pieces.target, strict=True)) if max(map(len, both)) <= LONGEST_ERASED]
    sources, translations = ([lines[i] for i in short[: config.num_erased]] for lines in test)
    trust = faithfulness(run.decoder, sources, translations, config)
    write_faithfulness(folder.path / "faithfulness" / "test", trust, len(sources))
    found = diagnose(run.decoder, *dev, config)
    write_diagnostics(folder.path / "diagnostics" / "dev", found)


def error_rates(scores: dict[str, AlignmentScores], prefix: str) -> dict[str, float]:
    """``aer``, and ``aer_sure`` against sure links alone; nothing without gold links."""
    names = {"sure_and_possible": f"{prefix}aer", "sure_only": f"{prefix}aer_sure"}
    return {names[name]: round(score.aer, 4) for name, score in scores.items()}


def done_line(folder: RunFolder) -> str:
    """``DONE step=... bleu=... chrf=... aer=... report=... time=...``, then what else is known; ``aer`` only with gold links."""
    status = folder.status
    fields = {
        "step": status["step"],
        **{name: status["scores"][name] for name in ("bleu", "chrf", "aer") if name in status["scores"]},
        "report": folder.report_file,
        "time": format_time(status["time_s"]),
        "stop": status["stop"],
        **{name: status["scores"][name] for name in ("aer_sure", "gold_aer", "gold_aer_sure") if name in status["scores"]},
    }
    return "DONE " + " ".join(f"{name}={value}" for name, value in fields.items())
