"""Drawing among ways to cut words: against the definition of the two methods, and the same in every process."""

import hashlib
import itertools
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from nmt.config import TokenizerConfig, TokenizerKind
from nmt.data.normalization import PLAIN
from nmt.data.subwords import Sampler
from nmt.data.tokenizer import UNK, Tokenizer, learn_pieces

ROOT = Path(__file__).parent.parent.parent
NUMBERS = Random(1)
WORDS = ["".join(NUMBERS.choices(["ba", "kel", "lim", "mo", "nu", "sat"], k=3)) for _ in range(60)]
LINES = [" ".join(NUMBERS.choices(WORDS, k=7)) for _ in range(60)]


@pytest.fixture(scope="module", params=[TokenizerKind.unigram, TokenizerKind.bpe], ids=lambda kind: kind.name)
def tokenizer(request):
    return Tokenizer(learn_pieces(LINES, TokenizerConfig(kind=request.param), 70, ["<x>"]), PLAIN)


def drawn(tokenizer, alpha, seed, lines=LINES):
    return Sampler(tokenizer, alpha)(lines, np.random.default_rng(seed).random)


def test_drawn_pieces_spell_the_text_and_follow_the_numbers(tokenizer):
    rows = [drawn(tokenizer, 0.3, seed) for seed in (7, 7, 8)]
    assert rows[0] == rows[1] != rows[2]
    assert rows[0] != tokenizer.encode(LINES)
    assert tokenizer.decode(rows[2]) == LINES
    assert drawn(tokenizer, 0.3, 7, LINES[:4]) == rows[0][:4]


def test_unigram_ways_have_their_probabilities():
    """All ways to cut a word are listed by hand, with the product of their pieces' probabilities to the power of alpha."""
    tokenizer = Tokenizer(learn_pieces(LINES, TokenizerConfig(), 70), PLAIN)
    word = max(WORDS, key=lambda word: len(tokenizer.best_ways(word, 64)))
    alpha, count = 0.2, 20_000
    text = "\u2581" + word
    ways = {}
    for cuts in itertools.product([False, True], repeat=len(text) - 1):
        bounds = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(text)]
        pieces = [text[begin:end] for begin, end in itertools.pairwise(bounds)]
        if all(tokenizer.has_piece(piece) for piece in pieces):
            key = tuple(map(tokenizer.piece_id, pieces))
            ways[key] = math.exp(alpha * sum(map(tokenizer.score, key)))
    assert 3 < len(ways) <= 64
    found = Counter(map(tuple, drawn(tokenizer, alpha, 1, [word] * count)))
    assert found.keys() <= ways.keys()
    for way, weight in ways.items():
        expected = weight / sum(ways.values())
        assert found[way] / count == pytest.approx(expected, abs=5 * math.sqrt(expected / count) + 1e-4)


def test_bpe_leaves_out_as_many_merges_as_it_is_told():
    """With no merge left out it is BPE, with all of them left out there are characters; between, the first merge of a word of two
    characters is made as often as it should be."""
    tokenizer = Tokenizer(learn_pieces(LINES, TokenizerConfig(kind=TokenizerKind.bpe), 70), PLAIN)
    assert drawn(tokenizer, 1e-12, 1) == tokenizer.encode(LINES)
    single = [list("\u2581" + line.replace(" ", "\u2581")) for line in LINES]
    assert [tokenizer.pieces(row) for row in drawn(tokenizer, 1 - 1e-12, 1)] == single
    words = [a + b for a in "abeiklmnostu" for b in "abeiklmnostu"]
    mergeable = [word for word in words if tokenizer.has_piece(word) and not tokenizer.has_piece("\u2581" + word[0])]
    assert mergeable
    share = np.mean([len(row) < 3 for word in mergeable for row in drawn(tokenizer, 0.3, 3, [word] * 200)])
    assert share == pytest.approx(0.7, abs=0.15)  # of 64 ways a word


def test_what_is_unknown_or_a_symbol_is_cut_as_always():
    tokenizer = Tokenizer(learn_pieces(LINES, TokenizerConfig(kind=TokenizerKind.bpe), 70, ["<x>"]), PLAIN)
    for line in ("<x>bakel ba", "ba\u72ackel"):
        assert drawn(tokenizer, 0.5, 1, [line.split()[0]]) == tokenizer.encode([line.split()[0]])
    assert UNK in drawn(tokenizer, 0.5, 1, ["ba\u72ac"])[0]


CODE = """
import hashlib, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from tests.data.test_subwords import LINES
from nmt.config import TokenizerConfig, TokenizerKind
from nmt.data.normalization import PLAIN
from nmt.data.subwords import Sampler
from nmt.data.tokenizer import Tokenizer, learn_pieces
for kind in (TokenizerKind.unigram, TokenizerKind.bpe):
    tokenizer = Tokenizer(learn_pieces(LINES, TokenizerConfig(kind=kind), 70, ["<x>"]), PLAIN)
    rows = Sampler(tokenizer, 0.3)(LINES, np.random.default_rng(7).random)
    print(kind.name, hashlib.sha256(str(rows).encode()).hexdigest())
"""


@pytest.mark.promise(1)
def test_every_process_draws_the_same(tokenizer):
    words = [sys.executable, "-c", CODE, str(ROOT)]
    output = subprocess.run(
        words, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "3", "PYTHONPATH": str(ROOT)}
    )
    digest = hashlib.sha256(str(drawn(tokenizer, 0.3, 7)).encode()).hexdigest()
    assert f"{tokenizer.kind.name} {digest}" in output.stdout.splitlines()
