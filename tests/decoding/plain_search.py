"""A model whose every prefix has a distribution of its own, and search in plain loops, for the tests of this folder."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from nmt.attention.capture import capture
from nmt.config import SearchConfig
from nmt.data.tokenizer import BOS, EOS
from nmt.decoding.search import search
from nmt.layout import Layout
from nmt.models.interface import Memory, Seq2Seq, State, StepOutput

NUM_KEYS = 10_007


@dataclass
class TableMemory(Memory):
    keys: torch.Tensor  # (B,)
    mask: torch.Tensor  # (B, S)

    def select(self, sentences):
        return TableMemory(self.keys[sentences], self.mask[sentences])


@dataclass
class TableState(State):
    keys: torch.Tensor  # (R,)

    def select(self, rows):
        return TableState(self.keys[rows])


class TableModel(Seq2Seq):
    """Logits, and scores of attention, are rows of random tables that source and whole target prefix choose; the hidden states are the
    logits."""

    def __init__(self, vocab_size, seed, sharpness=2.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(NUM_KEYS, vocab_size, generator=generator) * sharpness
        self.attention_table = torch.randn(NUM_KEYS, 11, generator=generator) * 3
        self.widths = []  # sentences in the batch at each step

    def encode(self, source, layout):
        keys = torch.zeros(len(source), dtype=torch.int64)
        for ids, mask in zip(source.unbind(1), layout.mask.unbind(1), strict=True):
            keys = torch.where(mask, self.advance(keys, ids), keys)
        return TableMemory(keys, layout.mask)

    def init_state(self, memory, width=1):
        return TableState(memory.keys.repeat_interleave(width))

    def step(self, previous, state, memory, *, with_attention=False):
        assert len(previous) == len(state.keys)
        assert len(previous) % len(memory.keys) == 0
        self.widths.append(len(memory.keys))
        keys = self.advance(state.keys, previous)
        mask = memory.mask.repeat_interleave(len(previous) // len(memory.keys), 0)
        attention = self.attention_table[keys, : mask.shape[1]].masked_fill(~mask, -math.inf).softmax(-1)
        return StepOutput(self.table[keys], TableState(keys), attention if with_attention else None)

    def decode(self, target_in, layout, memory):
        state, rows = self.init_state(memory), []
        for ids in target_in.unbind(1):
            state.keys = self.advance(state.keys, ids)
            rows.append(self.table[state.keys])
        return torch.stack(rows, 1)

    def output_layer(self):
        return nn.Identity()

    def source_embedding(self):
        return nn.Identity()

    def attentions(self):
        return {}

    @staticmethod
    def advance(keys, ids):
        return (keys * 4_099 + ids * 1_009 + 17) % NUM_KEYS


def batch(rows):
    layout = Layout.of([len(row) for row in rows])
    return layout.pad_packed(torch.tensor(list(itertools.chain(*rows)))), layout


def settings(**changes):
    return SearchConfig(**{"beam_size": 3, "length_penalty": 0.0, "max_length_ratio": 1.0, "max_length_offset": 1, **changes})


def run(model, rows, config, **options):
    """``(ids, score)`` of each hypothesis of each sentence."""
    return [[(h.ids, h.score) for h in n_best] for n_best in search(model, *batch(rows), config, **options)]


def rescored(model, row, ids):
    """Log-probability of a target and EOS, by one teacher-forced pass."""
    source, source_layout = batch([row])
    target_in, layout = batch([[BOS, *ids]])
    with torch.inference_mode():
        hidden = model.decode(target_in, layout, model.encode(source, source_layout))
        log_probs = torch.log_softmax(model.output(hidden)[0].double(), -1)
    return sum(float(log_probs[t, piece]) for t, piece in enumerate([*ids, EOS]))


def forced_attention(model, row, ids):
    """(T + 1, S) attention of the top layer, mean over heads, while each piece and EOS is predicted."""
    source, source_layout = batch([row])
    memory = model.encode(source, source_layout)
    if model.attentions():
        top = [name for name in model.attentions() if name.startswith("decoder.cross")][-1]
        with torch.inference_mode(), capture(model.attentions(), [top]) as records:
            model.decode(*batch([[BOS, *ids]]), memory)
        return records[0].weights[0].mean(0)
    state, rows = model.init_state(memory), []
    for piece in [BOS, *ids]:
        output = model.step(torch.tensor([piece]), state, memory, with_attention=True)
        state, rows = output.state, [*rows, output.attention[0]]
    return torch.stack(rows)


def limit(row, config, prefix=()):
    return max(int(config.max_length_ratio * (len(row) - 1) + config.max_length_offset), config.min_length, len(prefix))


def rank(ids, score, config, model=None, row=None):
    """What hypotheses are compared by; model and row only where coverage counts."""
    value = score / (len(ids) + 1) ** config.length_penalty
    if config.coverage_penalty:
        for total in forced_attention(model, row, ids).sum(0)[:-1].tolist():  # the last one is the source's EOS
            value += config.coverage_penalty * math.log(min(max(total, 1e-6), 1))
    return value


def choices(ids, vocab_size, config, prefix=()):
    """The pieces that may follow, EOS among them, below the length limit."""
    if len(ids) < len(prefix):
        return [prefix[len(ids)]]
    pieces = list(range(4, vocab_size))
    if n := config.no_repeat_ngram:
        ngrams = {tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}
        pieces = [piece for piece in pieces if tuple([*ids, piece][-n:]) not in ngrams]
    return pieces if pieces and len(ids) < config.min_length else [EOS, *pieces]


def plain_beam(model, vocab_size, row, config, prefix=()):
    """The same search in plain loops, and to the length limit: nothing is decided early."""
    source, source_layout = batch([row])
    memory = model.encode(source, source_layout)

    def log_probs(ids):
        target_in, layout = batch([[BOS, *ids]])
        hidden = model.decode(target_in, layout, memory)[0, -1]
        return torch.log_softmax(model.output(hidden).double(), -1).tolist()

    beam, ended = [([], 0.0)], []
    for length in range(limit(row, config, prefix) + 1):
        candidates = []
        for ids, score in beam:
            following = log_probs(ids)
            pieces = [EOS] if length == limit(row, config, prefix) else choices(ids, vocab_size, config, prefix)
            candidates += [([*ids, piece], score + following[piece]) for piece in pieces]
        candidates = sorted(candidates, key=lambda c: -c[1])[: config.beam_size]
        ended += [(ids[:-1], score) for ids, score in candidates if ids[-1] == EOS]
        beam = [(ids, score) for ids, score in candidates if ids[-1] != EOS]
    return sorted(ended, key=lambda h: -rank(*h, config, model, row))[: config.beam_size]


def same(found, expected):
    assert [ids for ids, _ in found] == [ids for ids, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-4)


ROWS = [[9, 5, EOS], [4, 4, 6, 7, EOS], [EOS], [8, EOS], [5, 6, 9, 8, 4, EOS], [7, 9, 4, EOS], [6, EOS]]
