"""``nmt score run=outputs/NAME source=FILE target=FILE``: how probable given translations are; a line for each pair."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from nmt.commands.finished import load_finished
from nmt.commands.options import ScoreCommand, ScoreFormat
from nmt.commands.streams import output_stream
from nmt.data.bitext import PairFiles
from nmt.decoding.formats import score_json, score_line
from nmt.decoding.scorer import Scorer

log = logging.getLogger(__name__)


def main(command: ScoreCommand) -> int:
    run = load_finished(command, command.ensemble)
    scorer = Scorer(run.predictor, run.tokenizers, run.device, run.precision, chunk_size=run.config.loss.chunk_size)
    num_pairs, num_tokens, total = 0, 0, 0.0
    with output_stream(command.output) as output:
        for block in PairFiles(Path(command.source), Path(command.target)).blocks():
            scores = scorer.score(block.sources, block.targets)
            lines = (
                map(score_line, scores)
                if command.format is ScoreFormat.text
                else (score_json(s, run.tokenizers.target) for s in scores)
            )
            output.write("".join(lines).encode())
            output.flush()
            num_pairs += len(scores)
            num_tokens += sum(len(score.log_probs) for score in scores)
            total += math.fsum(score.score for score in scores)
    log.info("%d pairs, %d tokens, perplexity %.3f", num_pairs, num_tokens, math.exp(min(-total / max(num_tokens, 1), 700.0)))
    return 0
