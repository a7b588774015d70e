"""The built-in English-German corpus: sentence pairs with gold alignments, drawn from a synchronous grammar.

Both sentences and the links between their words come from one structure. The English sentence determines the German one: tenses,
word order and vocabulary correspond one to one, so a model that has learned the grammar can translate without error. The German
sentence determines the English one as well: a pronoun or a tense that would leave a choice does not occur without what decides it.
"""

from __future__ import annotations

from random import Random

from nmt.config import Difficulty
from nmt.data.grammar.constructions import CONSTRUCTIONS, draw
from nmt.data.grammar.difficulty import suitable, suits
from nmt.data.grammar.lexicon import load_lexicon
from nmt.data.grammar.sampling import Sampler
from nmt.data.grammar.words import Example

__all__ = ["Example", "generate"]

SEED = 20_140_901


def generate(
    train_size: int, dev_size: int, test_size: int, seed: int = SEED, difficulty: Difficulty = Difficulty.mixed
) -> dict[str, list[Example]]:
    """The splits "train", "dev" and "test", a function of the arguments alone.

    Every English sentence occurs once in all splits together, and so does every German one. Sentences have 5 to 22 words on both sides.
    """
    random = Random(seed)
    sampler = Sampler(load_lexicon(), random)
    weights = suitable(CONSTRUCTIONS, sampler, difficulty)
    examples: dict[str, Example] = {}
    targets: set[str] = set()
    while len(examples) < train_size + dev_size + test_size:
        (construction,) = random.choices(list(weights), list(weights.values()))
        example = draw(construction, sampler)
        if example.source not in examples and example.target not in targets and suits(example, difficulty):
            examples[example.source] = example
            targets.add(example.target)
    pairs = list(examples.values())
    return {
        "train": pairs[dev_size + test_size :],
        "dev": pairs[:dev_size],
        "test": pairs[dev_size : dev_size + test_size],
    }
