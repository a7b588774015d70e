"""Writes ``docs/attention.md``: what each mechanism of attention is, what it costs and gives, and where its equation and its test stand.

    python scripts/write_attention.py [--check]

Figures and heatmaps are those that ``scripts/train_attention.py`` collected. With ``--check`` nothing is written, and the exit status is 1
where the page is not what it should be. A class or a test of the map that does not exist is refused.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from train_attention import FAMILIES, PICTURES, RESULTS, ROOT, folder_name

PAGE = ROOT / "docs" / "attention.md"


@dataclass(frozen=True)
class Concept:
    """A paper's concept, where it is in the paper, the class that is it, and the test that proves it."""

    paper: str
    name: str
    place: str
    code: str
    test: str


BAHDANAU, LUONG, VASWANI = "Bahdanau et al. 2015", "Luong et al. 2015", "Vaswani et al. 2017"
CONCEPTS = [
    Concept(
        BAHDANAU,
        "alignment model",
        "A.1.2",
        "attention.scores.AdditiveScore",
        "attention/test_scores.py::test_a_score_is_its_equation",
    ),
    Concept(
        BAHDANAU, "RNNsearch", "A.1, A.2", "models.bahdanau.Bahdanau", "models/test_bahdanau.py::test_the_equations_of_the_paper"
    ),
    Concept(LUONG, "dot", "3.1", "attention.scores.DotScore", "attention/test_scores.py::test_a_score_is_its_equation"),
    Concept(LUONG, "general", "3.1", "attention.scores.GeneralScore", "attention/test_scores.py::test_a_score_is_its_equation"),
    Concept(LUONG, "concat", "3.1", "attention.scores.AdditiveScore", "attention/test_scores.py::test_a_score_is_its_equation"),
    Concept(
        LUONG,
        "location",
        "eq. 8",
        "attention.scores.LocationScore",
        "attention/test_scores.py::test_location_scores_positions_whatever_stands_there",
    ),
    Concept(LUONG, "local-m", "3.2", "attention.scopes.LocalMonotonic", "attention/test_scopes.py::test_a_scope_is_its_equation"),
    Concept(
        LUONG,
        "local-p",
        "eq. 9, 10",
        "attention.scopes.LocalPredictive",
        "attention/test_scopes.py::test_a_scope_is_its_equation",
    ),
    Concept(LUONG, "input feeding", "3.3", "models.luong.Luong", "models/test_luong.py::test_the_equations_of_the_paper"),
    Concept(
        "Tu et al. 2016",
        "linguistic coverage",
        "3.1.1",
        "attention.coverage.LinguisticCoverage",
        "attention/test_coverage.py::test_a_coverage_is_its_equation",
    ),
    Concept(
        "Tu et al. 2016",
        "neural coverage",
        "3.1.2",
        "attention.coverage.NeuralCoverage",
        "attention/test_coverage.py::test_a_coverage_is_its_equation",
    ),
    Concept(
        "Sennrich et al. 2017",
        "conditional GRU",
        "2",
        "models.conditional_gru.ConditionalGru",
        "models/test_conditional_gru.py::test_the_equations_of_the_paper",
    ),
    Concept("Wu et al. 2016", "GNMT", "3", "models.gnmt.Gnmt", "models/test_gnmt.py::test_the_equations"),
    Concept(
        "Wu et al. 2016",
        "coverage penalty",
        "eq. 14",
        "decoding.coverage.Coverage",
        "decoding/test_constraints.py::test_coverage_is_that_of_the_equation",
    ),
    Concept(
        "TensorFlow NMT tutorial",
        "normed Bahdanau",
        "",
        "attention.scores.NormedAdditiveScore",
        "attention/test_scores.py::test_a_score_is_its_equation",
    ),
    Concept(
        VASWANI,
        "scaled dot-product attention",
        "eq. 1",
        "attention.plain.attention_weights",
        "attention/test_multihead.py::test_self_attention_is_that_of_torch",
    ),
    Concept(
        VASWANI,
        "multi-head attention",
        "3.2.2",
        "attention.multihead.MultiHeadAttention",
        "attention/test_multihead.py::test_cross_attention_is_that_of_torch",
    ),
    Concept(
        VASWANI,
        "Transformer",
        "3",
        "models.transformer.Transformer",
        "models/test_marian.py::test_logits_attention_and_gradients_are_those_of_marian",
    ),
    Concept(
        "Shazeer 2019, Ainslie et al. 2023",
        "multi-query and grouped-query attention",
        "2, 2.2",
        "attention.multihead.MultiHeadAttention",
        "attention/test_multihead.py::test_shared_keys_and_values_are_copies_of_them",
    ),
    Concept(
        "Zhou et al. 2020",
        "head dropout",
        "3.1",
        "attention.multihead.MultiHeadAttention",
        "attention/test_multihead.py::test_heads_are_left_out_sentence_by_sentence",
    ),
    Concept(
        "Michel et al. 2019",
        "importance of heads",
        "4.1",
        "alignment.importance.head_importance",
        "alignment/test_importance.py::test_importance_is_its_definition",
    ),
    Concept(
        "Michel et al. 2019",
        "pruning of heads",
        "4",
        "attention.pruning.remove_heads",
        "attention/test_pruning.py::test_what_is_left_computes_what_it_did",
    ),
    Concept(
        "Garg et al. 2019",
        "guided alignment",
        "4.2",
        "training.guided.Guide",
        "training/test_guided.py::test_the_loss_is_its_equation",
    ),
    Concept(
        "Chen et al. 2020",
        "Shift-Att",
        "3.1",
        "alignment.aligner.align",
        "alignment/test_aligner.py::test_rows_are_the_attention_that_predicts_or_reads_each_word",
    ),
    Concept(
        "Abnar and Zuidema 2020",
        "attention rollout",
        "eq. 1",
        "alignment.attribution.rollout",
        "alignment/test_attribution.py::test_rollout_follows_every_walk",
    ),
    Concept(
        "Chefer et al. 2021",
        "attention weighted by gradients",
        "eq. 5 to 10",
        "alignment.attribution.gradient_attention",
        "alignment/test_attribution.py::test_gradient_attention_is_its_equations",
    ),
    Concept(
        "Kobayashi et al. 2020",
        "norms of weighted vectors",
        "3",
        "alignment.attribution.norms",
        "alignment/test_attribution.py::test_norms_are_those_of_the_vectors",
    ),
    Concept(
        "Shrikumar et al. 2016",
        "gradient times input",
        "",
        "alignment.attribution.input_gradient",
        "alignment/test_attribution.py::test_input_gradient_is_a_difference",
    ),
    Concept(
        "DeYoung et al. 2020",
        "comprehensiveness, sufficiency",
        "4",
        "alignment.faithfulness.faithfulness",
        "alignment/test_faithfulness.py::test_it_is_its_definition_and_no_single_word_does_more_than_the_best",
    ),
    Concept(
        "Gehring et al. 2017",
        "learned positions",
        "3.1",
        "models.layers.LearnedPositions",
        "models/test_transformer.py::test_learned_positions_begin_as_sinusoidal_ones_and_end_with_the_last",
    ),
    Concept(
        "Su et al. 2021",
        "rotary positions",
        "eq. 34",
        "attention.positions.rotate",
        "attention/test_positions.py::test_rotation_is_a_product_of_complex_numbers",
    ),
    Concept(
        "Press et al. 2022", "ALiBi", "3", "attention.positions.LinearBias", "attention/test_positions.py::test_slopes_of_alibi"
    ),
    Concept(
        "Raffel et al. 2020", "T5's buckets", "2.1", "attention.positions.BucketBias", "attention/test_positions.py::test_buckets"
    ),
    Concept(
        "Child et al. 2019",
        "strided attention",
        "4.2",
        "attention.scopes.Strided",
        "attention/test_blocks.py::test_what_strides_allow",
    ),
    Concept(
        "Beltagy et al. 2020",
        "window and global tokens",
        "3.1",
        "attention.scopes.Window",
        "attention/test_blocks.py::test_what_a_window_allows",
    ),
    Concept(
        "Xiao et al. 2024", "sink tokens", "3.2", "attention.scopes.Window", "attention/test_blocks.py::test_what_a_window_allows"
    ),
    Concept(
        "Katharopoulos et al. 2020",
        "linear attention",
        "eq. 4, 9",
        "attention.linear.LinearSelfAttention",
        "attention/test_linear.py::test_it_is_its_equation",
    ),
    Concept(
        "Martins and Astudillo 2016",
        "sparsemax",
        "algorithm 1",
        "attention.distributions.Entmax",
        "attention/test_distributions.py::test_sparse_distributions_are_those_of_another_library",
    ),
    Concept(
        "Peters et al. 2019",
        "entmax",
        "eq. 8",
        "attention.distributions.Entmax",
        "attention/test_distributions.py::test_sparse_distributions_are_those_of_another_library",
    ),
    Concept(
        "Correia et al. 2019",
        "learned alpha",
        "3",
        "attention.distributions.Entmax",
        "attention/test_distributions.py::test_sparse_distributions_are_those_of_another_library",
    ),
    Concept(
        "Miller 2023",
        "softmax off by one",
        "",
        "attention.distributions.SinkSoftmax",
        "attention/test_distributions.py::test_a_distribution_is_its_equation_where_the_mask_allows_and_zero_elsewhere",
    ),
]
"""In the order in which a reader meets them: recurrent models, the Transformer, positions, scopes, distributions."""


INTRODUCTION = """\
Each line of the tables below is a model of the built-in English-German corpus, trained for so few updates that what is easy to learn
shows: a better score says that a mechanism finds its attention sooner, not that it wins in the end. The first line of a family has three
seeds, mean ± standard deviation, the others one; what differs by less than twice that spread is no difference. Training and decoding are
speeds as ratios to the first line (updates of 2,048 tokens; beam 5; medians of three rounds in turns). AER is the alignment error rate
against the corpus's own links, read as `alignment.method=mutual` reads the weights while a word is predicted.
`python scripts/train_attention.py` trains, measures and collects; `+changes` are those of that script.
"""

LESSONS = {
    "Bahdanau": """\
- **When attention is computed decides how it looks.** The conditional GRU attends after it has read the previous word, and its links are
  by far the best here, at the same BLEU: Bahdanau's state has not seen that word and points ahead.
- **Any score that compares states learns to align; a flat one later.** Dot products divided by the square root of the width begin with
  nearly equal weights and are behind; a learned scale mends that, and additive scores too gain from a temperature of 0.5. A location score
  knows where the target is and nothing of the words: it can follow monotone sentences alone.
- **Zeros are final.** Where sparsemax gives a word no weight no gradient says that it should have some; entmax with 1.5 lies between.
- **A window must be where the word is.** One that goes along with the target (local-m) loses what moves farther than it reaches. One that
  is predicted (local-p) begins in the middle of the source whatever the target word, and finds its way only as far as it sees: five
  words to each side are too few to begin with; ten see most of these sentences whole and are as good as the whole source.
- **Coverage helps**: a memory of what was attended to before keeps the decoder from going back.
- A sink, learned or of one more, changes nothing here: these sentences always have something to attend to.
""",
    "Luong": """\
- **Input feeding is how the decoder learns what was translated.** Without it 3 BLEU are lost and links are worse, and attention is found
  later ([experiments.md](experiments.md)).
- **A predicted window is found last**, as in Bahdanau's family, and a narrow one hardly in so few updates.
- **An encoder should read both ways.** One that reads the source from its end alone (Luong's reversed source) knows of each word only
  what follows it: 30 BLEU less than two directions of half the width.
- **Depth is for longer training.** GNMT's three layers have three times the parameters, take more than twice the time and reach the BLEU
  of one layer; after half of these updates they had 12 ([experiments.md](experiments.md)).
- **Scores differ less than what is wired**: concat, dot and general all align, because they are computed from the state after the previous
  word was read.
- **Without attention one vector must hold the sentence**, and these few updates do not teach it that.
""",
    "Transformer": """\
- **Self-attention wants to know distances.** Rotary positions, ALiBi and windows of four positions to each side are all ahead of positions
  that are added to the embeddings once, and their links are better: neighbours are found sooner. In sentences as short as these
  windows cost more than they save.
- **Sharing keys and values costs little** with two heads of them, more with one.
- **Linear attention translates nearly as well** as the first line, and its cross-attention's links are blurred.
- **Sparse weights learn later** in every place at once, sparsemax most of all.
- **A shallow decoder is fast and late**: five layers of encoder and one of decoder decode faster, and need more updates than these.
""",
}
"""What a reader may take from a table, by family."""

REAL_TEXT = """\
## On real text: Multi30k

| model | parameters | seeds | BLEU | lower-cased | first test sentence |
| --- | --- | --- | --- | --- | --- |
| Bahdanau, additive | 4,959,744 | 1 | 36.68 | 37.08 | [picture](attention/multi30k_bahdanau.png) |
| Luong, general, input feeding | 4,951,520 | 3 | 38.04 ± 0.36 | 38.43 ± 0.38 | [picture](attention/multi30k_luong.png) |
| Transformer | 2,476,000 | 3 | 40.13 ± 0.07 | 40.58 ± 0.11 | [picture](attention/multi30k_transformer.png) |

`experiment=multi30k_bahdanau`, `multi30k_luong` and `multi30k_transformer`, each with a recipe of its own; commands, commits and hardware
stand in [results.md](results.md). Bahdanau's attention is the broadest and often lies partly a word too far right: it is computed from
the state before the word, which has to choose what comes next. Luong's, computed from the state that has read the word before, is sharp,
and puts an article where its noun's gender is decided. The Transformer's, the mean of the top layer's heads, looks at several words that
it will need, which is good for translating and blurs the picture.
"""

TRUST = """\
## Can heatmaps be trusted?

A heatmap shows where a model looks, which need not be what it says a word because of. `nmt faithfulness` asks: erase the source word
that a method names first, and see what the word's probability loses, beside the best single word (found by erasing each) and a random
one. What [results.md](results.md#looking-into-models) has of two models of Multi30k:

- **The recurrent model's attention can mostly be trusted**: the word that it looks at most is worth 88 % of what the best word is, seven
  times chance. Beside its first state this one attention is all that the decoder sees of the source.
- **So can the mean of the heads of the Transformer's top layer** (84 %). Weighted by gradients, attention is the best of all methods in
  both models (92 and 95 %), for a backward pass a target word. Norms say what attention says.
- **Rollout and input times gradient cannot**, in the Transformer: what they name first is worth 26 and 38 % of the best, where chance is
  12 %. Rollout spreads over all that the encoder mixed; in a recurrent model it is the attention itself.
- **One word is not all**: where nothing is kept but the three words that attention names, a word still loses 0.2 of its probability.

Every report says the same of its own model, on its own translations. That a method is faithful does not make it an alignment: links are
for what translates what, and are measured by their error rate. It can help, though: on Europarl's free translations
`nmt align attribution=gradient_attention`, which asks about the very word that is there, has 40 % less error than attention, which was made
before that word was known; on the built-in corpus, where each word follows from the source, attention has the lower one
([results.md](results.md#alignment-europarl)).
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    if missing := [concept.name for concept in CONCEPTS if not (code_exists(concept.code) and test_exists(concept.test))]:
        print(f"no such class or test: {', '.join(missing)}", file=sys.stderr)
        return 1
    page = render(json.loads(RESULTS.read_text(encoding="utf-8")))
    if not parser.parse_args().check:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is not what it should be; python scripts/write_attention.py writes it", file=sys.stderr)
    return 1


def code_exists(name: str) -> bool:
    module, _, member = f"nmt.{name}".rpartition(".")
    return hasattr(importlib.import_module(module), member)


def test_exists(name: str) -> bool:
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def render(results: dict[str, Any]) -> str:
    """The page."""
    lines = [
        "# Attention",
        "",
        "Made by `python scripts/write_attention.py`. All mechanisms are put together by settings: `model.attention.*` of",
        "recurrent models, `model.encoder_self.*`, `model.decoder_self.*` and `model.decoder_cross.*` of the Transformer. What does not go",
        "together is refused, with the reason (`nmt/refusals.py`).",
        "",
        INTRODUCTION,
        provenance(results),
        "",
    ]
    for family in FAMILIES:
        lines += [f"## {family}", "", *table_of(family, results), "", "What it teaches:", "", LESSONS[family]]
    lines += [
        REAL_TEXT,
        TRUST,
        "## From papers to code",
        "",
        "| paper | concept | where | code, in `nmt/` | test, in `tests/` |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {c.paper} | {c.name} | {c.place} | `{c.code}` | `{c.test}` |" for c in CONCEPTS),
    ]
    return "\n".join(lines) + "\n"


def provenance(results: dict[str, Any]) -> str:
    """Where the figures come from, and which are not there yet."""
    commits, processors = ({result[name] for result in results.values()} for name in ("commit", "hardware"))
    hours = sum(sum(result["training_s"]) for result in results.values()) / 3600
    missing = [f"{family}/{v.name}" for family, (_, variants) in FAMILIES.items() for v in variants]
    missing = [name for name in missing if name not in results]
    where = f"Commit {', '.join(sorted(commits))}; {', '.join(sorted(processors))}, one thread a run"
    text = f"{where}; {hours:.1f} hours of training by the clock, two to five busy processes side by side."
    return f"{text} Not there yet: {', '.join(missing)}." if missing else text


def table_of(family: str, results: dict[str, Any]) -> list[str]:
    """A line a variant; of the first the mean over seeds with their standard deviation, of others the one seed."""
    _, variants = FAMILIES[family]
    lines = [
        "| mechanism | settings | parameters | training | decoding | BLEU | AER | heatmap |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for variant in variants:
        if (result := results.get(f"{family}/{variant.name}")) is None:
            continue
        picture = f"{PICTURES.name}/{folder_name(family, variant, 1)[:-2]}.png"
        bleu, aer = (spread(result[name], digits) for name, digits in (("bleu", 2), ("aer", 3)))
        words = f"`{variant.words}`" if variant.words else ""
        speeds = f"{result['speed']['training']:.2f} x | {result['speed']['decoding']:.2f} x"
        lines.append(
            f"| {variant.name} | {words} | {result['parameters']:,} | {speeds} | {bleu} | {aer} | [picture]({picture}) |"
        )
    return lines


def spread(values: list[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
