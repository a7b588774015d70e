"""Attention of several heads: every kernel against one sentence and one head at a time, and the choice between kernels."""

import pytest
import torch
from torch.nn.attention import varlen

from nmt.attention import kernels
from nmt.attention.distributions import SOFTMAX, Entmax, SinkSoftmax
from nmt.attention.kernels import Kernel, attend, choose_kernel
from nmt.attention.plain import Form, attention_mask, attention_weights
from nmt.attention.positions import BucketBias, LinearBias
from nmt.attention.scopes import CAUSAL, FULL, Scope, Strided, Window
from nmt.layout import Layout

HEADS, HEAD_DIM = 2, 5
FULL_FORM = Form()
QUERY_LENGTHS, KEY_LENGTHS = [3, 1, 7], [2, 5, 4]


def reference(query, key, value, causal=False):
    """softmax(q k^T / sqrt(d)) v of one sentence, (L, h, d) each."""
    heads = []
    for h in range(query.shape[1]):
        scores = query[:, h] @ key[:, h].T / query.shape[2] ** 0.5
        if causal:
            scores = scores + torch.full_like(scores, -torch.inf).triu(1)
        heads.append(scores.softmax(-1) @ value[:, h])
    return torch.stack(heads, 1)


def random(num_tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_tokens, HEADS, HEAD_DIM, generator=generator, dtype=torch.float64)


def example(causal, packed, width=None):
    """Inputs in one layout, and what attention must give for all real queries."""
    query_layout = Layout.of(QUERY_LENGTHS, packed=packed, width=width)
    key_layout = query_layout if causal else Layout.of(KEY_LENGTHS, packed=packed, width=width)
    query, key, value = (random(layout.num_tokens, seed) for seed, layout in enumerate((query_layout, key_layout, key_layout)))
    splits = (query.split(query_layout.lengths.tolist()), *(x.split(key_layout.lengths.tolist()) for x in (key, value)))
    expected = torch.cat([reference(*parts, causal=causal) for parts in zip(*splits, strict=True)])
    if not packed:
        query, key, value = query_layout.pad_packed(query), key_layout.pad_packed(key), key_layout.pad_packed(value)
    return query, key, value, query_layout, key_layout, expected


@pytest.mark.parametrize("kernel", [Kernel.plain, Kernel.fused])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("packed", "width"), [(False, None), (False, 11), (True, None)])
def test_a_kernel_on_padded_rows(monkeypatch, kernel, causal, packed, width):
    monkeypatch.setattr(kernels, "choose_kernel", lambda *_, **__: kernel)
    query, key, value, query_layout, key_layout, expected = example(causal, packed, width)
    context = attend(query, key, value, query_layout, key_layout, Form(Scope(causal)))
    torch.testing.assert_close(query_layout.real(context), expected)
    assert context.isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_the_varlen_kernel_is_called_as_it_wants_to_be(monkeypatch, causal):
    """It runs on CUDA alone: here a slow stand-in takes its place, which holds its arguments to its documentation."""

    def varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1)):
        assert window_size in {(-1, 0), (-1, -1)}
        assert scale is None
        assert cu_seq_q.dtype is cu_seq_k.dtype is torch.int32
        assert isinstance(max_q, int)
        assert isinstance(max_k, int)
        assert max_q == cu_seq_q.diff().max()
        assert max_k == cu_seq_k.diff().max()
        rows = []
        for b in range(len(cu_seq_q) - 1):
            queries, keys = slice(*cu_seq_q[b : b + 2].tolist()), slice(*cu_seq_k[b : b + 2].tolist())
            rows.append(reference(query[queries], key[keys], value[keys], causal=window_size == (-1, 0)))
        return torch.cat(rows)

    monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)
    monkeypatch.setattr(kernels, "choose_kernel", lambda *_, **__: Kernel.varlen)
    query, key, value, query_layout, key_layout, expected = example(causal, packed=True)
    torch.testing.assert_close(attend(query, key, value, query_layout, key_layout, Form(Scope(causal))), expected)


@pytest.mark.parametrize("causal", [False, True])
def test_the_varlen_kernel_has_windows(monkeypatch, causal):
    calls = []

    def varlen_attn(query, *_, window_size, **__):
        calls.append(window_size)
        return query

    monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)
    monkeypatch.setattr(kernels, "choose_kernel", lambda *_, **__: Kernel.varlen)
    query, key, value, layout, _, _ = example(True, packed=True)
    attend(query, key, value, layout, layout, Form(Window(causal, 3)))
    assert calls == [(3, 0 if causal else 3)]


@pytest.mark.parametrize(
    ("device", "dtype", "head_dim", "packed", "dropout_prob", "kernel"),
    [
        ("cpu", torch.float32, 64, False, 0.0, Kernel.plain),
        ("cpu", torch.bfloat16, 64, True, 0.0, Kernel.plain),
        ("cuda", torch.bfloat16, 64, True, 0.0, Kernel.varlen),
        ("cuda", torch.float16, 64, True, 0.0, Kernel.varlen),
        ("cuda", torch.bfloat16, 64, True, 0.1, Kernel.fused),
        ("cuda", torch.bfloat16, 64, False, 0.0, Kernel.fused),
        ("cuda", torch.float32, 64, True, 0.0, Kernel.fused),
        ("cuda", torch.bfloat16, 22, True, 0.0, Kernel.fused),
        ("cuda", torch.bfloat16, 264, True, 0.0, Kernel.fused),
    ],
)
def test_the_choice_of_a_kernel(device, dtype, head_dim, packed, dropout_prob, kernel):
    assert choose_kernel(device, dtype, head_dim, FULL_FORM, length=20, packed=packed, dropout_prob=dropout_prob) is kernel


@pytest.mark.parametrize(
    ("form", "length", "on_cpu", "on_cuda", "on_cuda_with_dropout"),
    [
        (Form(), 99, Kernel.plain, Kernel.varlen, Kernel.fused),
        (Form(CAUSAL), 99, Kernel.plain, Kernel.varlen, Kernel.fused),
        (Form(Window(True, 8)), 99, Kernel.blocks, Kernel.varlen, Kernel.blocks),
        (Form(Window(True, 8)), 16, Kernel.plain, Kernel.varlen, Kernel.fused),
        (Form(Window(False, 8)), 24, Kernel.plain, Kernel.varlen, Kernel.fused),
        (Form(Window(True, 8, num_sinks=4)), 99, Kernel.blocks, Kernel.blocks, Kernel.blocks),
        (Form(Strided(True, 8)), 99, Kernel.blocks, Kernel.blocks, Kernel.blocks),
        (Form(CAUSAL, bias=LinearBias(2)), 99, Kernel.plain, Kernel.fused, Kernel.fused),
        (Form(CAUSAL, SinkSoftmax(2, learned=True)), 99, Kernel.plain, Kernel.fused, Kernel.fused),
        (Form(CAUSAL, Entmax(2, alpha=2.0)), 99, Kernel.plain, Kernel.plain, Kernel.plain),
        (Form(Window(True, 8), Entmax(2, alpha=1.5)), 99, Kernel.blocks, Kernel.blocks, Kernel.blocks),
    ],
)
def test_the_choice_by_form(form, length, on_cpu, on_cuda, on_cuda_with_dropout):
    def choose(device, dropout_prob=0.0):
        return choose_kernel(device, torch.bfloat16, 64, form, length=length, packed=True, dropout_prob=dropout_prob)

    assert (choose("cpu"), choose("cuda"), choose("cuda", 0.1)) == (on_cpu, on_cuda, on_cuda_with_dropout)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("shared", [1, 2, 4])
@pytest.mark.parametrize("scope", [FULL, CAUSAL, Window(True, 3), Window(False, 2)], ids=str)
@pytest.mark.parametrize("biased", [False, True])
def test_a_sink_in_the_fused_kernel_is_the_distribution(monkeypatch, learned, shared, scope, biased):
    """Contexts, and gradients of queries, keys, values and the sinks, against plain products with a sink beside them."""
    heads, layout = 4, Layout.of(QUERY_LENGTHS)
    sink = SinkSoftmax(heads, learned=learned).double()
    if learned:
        torch.nn.init.normal_(sink.logit)
    form, found = Form(scope, sink, LinearBias(heads).double() if biased else None), []
    weight = torch.randn(3, 7, heads, HEAD_DIM, dtype=torch.float64)
    for kernel in (Kernel.fused, Kernel.plain):
        monkeypatch.setattr(kernels, "choose_kernel", lambda *_, kernel=kernel, **__: kernel)
        torch.manual_seed(1)
        inputs = [
            torch.randn(3, 7, count, HEAD_DIM, dtype=torch.float64, requires_grad=True) for count in (heads, shared, shared)
        ]
        context = attend(*inputs, layout, layout, form)
        real = layout.real(context)
        parameters = [*inputs, *sink.parameters()]
        found.append([real, *torch.autograd.grad((real * layout.real(weight)).sum(), parameters)])
    for fused, plain in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain)


@pytest.mark.parametrize("scope", [FULL, CAUSAL], ids=str)
@pytest.mark.parametrize("distribution", [SOFTMAX, SinkSoftmax(4, learned=False)], ids=["softmax", "off by one"])
def test_a_bias_is_never_there_for_all_queries_of_a_long_sentence(monkeypatch, scope, distribution):
    """Contexts and gradients, those of the bias too, against plain products; and how many queries have their bias at a time."""
    heads, layout, bias = 4, Layout.of(QUERY_LENGTHS), BucketBias(4, causal=scope.causal, num_buckets=8, max_distance=5).double()
    torch.nn.init.normal_(bias.weight)
    weight, found, seen = torch.randn(3, 7, heads, HEAD_DIM, dtype=torch.float64), [], []
    bias.register_forward_hook(lambda module, inputs, added: seen.append(added.shape[1]))
    monkeypatch.setattr(kernels, "BIASED_ROWS", 3)
    for kernel in (Kernel.fused, Kernel.plain):
        monkeypatch.setattr(kernels, "choose_kernel", lambda *_, kernel=kernel, **__: kernel)
        torch.manual_seed(1)
        inputs = [torch.randn(3, 7, count, HEAD_DIM, dtype=torch.float64, requires_grad=True) for count in (heads, 2, 2)]
        context = attend(*inputs, layout, layout, Form(scope, distribution, bias))
        real = layout.real(context)
        found.append([real, *torch.autograd.grad((real * layout.real(weight)).sum(), [*inputs, bias.weight])])
    for fused, plain in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain)
    assert sorted(seen[:-1]) == [1, 1, 3, 3, 3, 3]  # forward, and anew backward
    assert seen[-1] == 7


def test_rows_in_two_layouts_are_not_packed(monkeypatch):
    seen = []
    monkeypatch.setattr(kernels, "choose_kernel", lambda *_, packed, **__: seen.append(packed) or Kernel.plain)
    query, _, _, query_layout, _, expected = example(causal=False, packed=True)
    _, key, value, _, key_layout, _ = example(causal=False, packed=False)
    torch.testing.assert_close(attend(query, key, value, query_layout, key_layout, Form()), expected)
    assert seen == [False]


def test_the_mask():
    layout = Layout.of([2, 3])
    assert attention_mask(layout, layout, FULL).int().tolist() == [[[[1, 1, 0]]], [[[1, 1, 1]]]]
    triangle = [[1, 0, 0], [1, 1, 0]]
    assert attention_mask(layout, layout, CAUSAL).int().tolist() == [[[*triangle, [1, 1, 0]]], [[*triangle, [1, 1, 1]]]]


def test_autocast_leaves_scores_in_float32():
    queries, keys = random(6, 1).float().transpose(0, 1)[None], random(4, 2).float().transpose(0, 1)[None]
    exact = attention_weights(queries, keys, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(attention_weights(queries, keys, None), exact)
        assert attention_weights(queries.bfloat16(), keys.bfloat16(), None).dtype is torch.float32


def test_dropout_acts_on_the_weights():
    """With unit vectors for values the context is the weights: some are dropped, and the rest grows by 1 / (1 - p)."""
    length = 31
    layout = Layout.of([length])
    query, key = torch.randn(1, length, 1, length), torch.randn(1, length, 1, length)
    value = torch.eye(length)[None, :, None]
    torch.manual_seed(1)
    weights = attend(query, key, value, layout, layout, Form())
    dropped = attend(query, key, value, layout, layout, Form(), dropout_prob=0.5)
    gone = dropped == 0
    assert 0.4 < gone.float().mean() < 0.6
    torch.testing.assert_close(dropped[~gone], 2 * weights[~gone])
