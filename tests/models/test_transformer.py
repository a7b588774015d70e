"""The Transformer against torch.nn.Transformer with copied weights, its positions, and its dropout."""

import math

import pytest
import torch

from nmt.config import AttentionConfig, NormPlacement, SelfAttentionConfig, StackConfig, TransformerConfig
from nmt.layout import Layout
from nmt.models import build_model
from nmt.models.layers import LearnedPositions, SinusoidalPositions

VOCAB, MODEL_DIM, HEADS, FEEDFORWARD = 29, 10, 2, 13
SOURCE_LENGTHS, TARGET_LENGTHS = [5, 3, 7], [4, 6, 1]


def build(norm, **settings):
    torch.manual_seed(1)
    config = TransformerConfig(
        model_dim=MODEL_DIM,
        num_heads=HEADS,
        feedforward_dim=FEEDFORWARD,
        norm=norm,
        encoder=StackConfig(num_layers=2),
        decoder=StackConfig(num_layers=3),
        **{"dropout": 0.0, **settings},
    )
    model = build_model(config, (VOCAB, VOCAB)).double()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=float("norm" in name and name.endswith("weight")), std=0.3)
    return model


def copy_into(theirs, ours, names):
    """Parameters of ``ours`` into the modules of ``theirs``, by pairs of names."""
    for their_name, our_name in names.items():
        their_module, our_module = theirs.get_submodule(their_name), ours.get_submodule(our_name)
        their_module.weight.data, their_module.bias.data = our_module.weight.data, our_module.bias.data


def torch_transformer(model, norm):
    """torch.nn.Transformer with the model's weights; its final norms only where the model has them."""
    pre = norm is NormPlacement.pre
    theirs = torch.nn.Transformer(MODEL_DIM, HEADS, 2, 3, FEEDFORWARD, dropout=0.0, batch_first=True, norm_first=pre).double()
    shared = {"self_attn.out_proj": "self_attention.output", "linear1": "feedforward.inner", "linear2": "feedforward.outer"}
    encoder_norms = {"norm1": "around_self.norm", "norm2": "around_feedforward.norm"}
    decoder_norms = {"norm1": "around_self.norm", "norm2": "around_cross.norm", "norm3": "around_feedforward.norm"}
    for their_layer, our_layer in zip(theirs.encoder.layers, model.encoder, strict=True):
        copy_into(their_layer, our_layer, shared | encoder_norms)
    for their_layer, our_layer in zip(theirs.decoder.layers, model.decoder, strict=True):
        copy_into(their_layer, our_layer, shared | decoder_norms | {"multihead_attn.out_proj": "cross_attention.output"})
        cross = our_layer.cross_attention
        their_layer.multihead_attn.in_proj_weight.data = torch.cat([cross.query.weight, cross.key_value.weight]).data
        their_layer.multihead_attn.in_proj_bias.data = torch.cat([cross.query.bias, cross.key_value.bias]).data
    for their_layer, our_layer in zip(
        [*theirs.encoder.layers, *theirs.decoder.layers], [*model.encoder, *model.decoder], strict=True
    ):
        projection = our_layer.self_attention.query_key_value
        their_layer.self_attn.in_proj_weight.data = projection.weight.data
        their_layer.self_attn.in_proj_bias.data = projection.bias.data
    if pre:
        copy_into(theirs, model, {"encoder.norm": "encoder_norm", "decoder.norm": "decoder_norm"})
    else:
        theirs.encoder.norm = theirs.decoder.norm = None
    return theirs


def embed(weight, ids):
    """Section 3.4 and 3.5, number by number."""
    positions = torch.tensor(
        [
            [(math.cos if i % 2 else math.sin)(p / 10_000 ** ((i - i % 2) / MODEL_DIM)) for i in range(MODEL_DIM)]
            for p in range(ids.shape[1])
        ]
    )
    return weight[ids] * math.sqrt(MODEL_DIM) + positions


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm", NormPlacement)
def test_it_is_the_transformer_of_torch(norm):
    model = build(norm)
    theirs = torch_transformer(model, norm)
    source_layout, target_layout = Layout.of(SOURCE_LENGTHS), Layout.of(TARGET_LENGTHS)
    source, target = torch.randint(4, VOCAB, source_layout.mask.shape), torch.randint(4, VOCAB, target_layout.mask.shape)
    expected = theirs(
        embed(model.embeddings.source.weight, source),
        embed(model.embeddings.target.weight, target),
        tgt_mask=torch.ones(6, 6, dtype=torch.bool).triu(1),
        src_key_padding_mask=~source_layout.mask,
        tgt_key_padding_mask=~target_layout.mask,
        memory_key_padding_mask=~source_layout.mask,
    )
    hidden = model.decode(target, target_layout, model.encode(source, source_layout))
    # the positions of both are rounded to float32, each in its own way
    torch.testing.assert_close(target_layout.real(hidden), target_layout.real(expected), atol=1e-5, rtol=1e-5)

    weights = (model.embeddings.source.weight, theirs.encoder.layers[0].linear1.weight)
    target_layout.real(expected).square().sum().backward()
    grads = [weight.grad.clone() for weight in weights]
    model.zero_grad()
    target_layout.real(hidden).square().sum().backward()
    ours = (model.embeddings.source.weight.grad, model.encoder[0].feedforward.inner.weight.grad)
    for mine, other in zip(ours, grads, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


PLACES = {"encoder_self": SelfAttentionConfig, "decoder_self": SelfAttentionConfig, "decoder_cross": AttentionConfig}


def test_sinusoidal_positions():
    expected = embed(torch.zeros(1, MODEL_DIM), torch.zeros(1, 1000, dtype=torch.long))
    torch.testing.assert_close(SinusoidalPositions(MODEL_DIM)(torch.arange(1000)), expected[0], atol=1e-4, rtol=0)


def test_learned_positions_begin_as_sinusoidal_ones_and_end_with_the_last():
    positions = LearnedPositions(7, MODEL_DIM)
    assert torch.equal(positions(torch.arange(7)), SinusoidalPositions(MODEL_DIM)(torch.arange(7)))
    assert torch.equal(positions(torch.tensor([6, 7, 1000])), positions(torch.tensor([6, 6, 6])))


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.5},
        {"feedforward_dropout": 0.5},
        *({place: kind(dropout=0.5)} for place, kind in PLACES.items()),
        *({place: kind(head_dropout=0.5)} for place, kind in PLACES.items()),
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_every_dropout_acts_in_training_alone(settings):
    model = build(NormPlacement.pre, **settings)
    layout = Layout.of([5])
    ids = torch.randint(4, VOCAB, (1, 5))

    def run(seed):
        torch.manual_seed(seed)
        return model.decode(ids, layout, model.encode(ids, layout))

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    model.eval()
    assert torch.equal(run(1), run(2))


def test_steps_beyond_the_first_cache(transformer_config):
    """A target longer than a cache has room for at first: the buffers grow, and nothing else changes."""
    torch.manual_seed(1)
    model = build_model(transformer_config, (VOCAB, VOCAB)).double().eval()
    source, target = torch.randint(4, VOCAB, (2, 3)), torch.randint(4, VOCAB, (2, 37))
    memory = model.encode(source, Layout.of([3, 3]))
    hidden = model.decode(target, Layout.of([37, 37]), memory)
    state = model.init_state(memory)
    for t in range(37):
        output = model.step(target[:, t], state, memory)
        state = output.state
    torch.testing.assert_close(output.hidden, hidden[:, -1])


def test_the_output_layer_is_tied_as_asked_for(transformer_config):
    embeddings = build_model(transformer_config, (VOCAB, VOCAB)).embeddings
    with_target = embeddings.output.weight is embeddings.target.weight
    with_source = embeddings.output.weight is embeddings.source.weight
    assert (
        transformer_config.tying.name
        == {(False, False): "none", (True, False): "two_way", (True, True): "three_way"}[with_target, with_source]
    )


@pytest.mark.parametrize("norm", NormPlacement)
def test_recomputed_gradients_are_the_same_to_the_bit_and_less_is_kept(norm):
    """With dropout everywhere, in float32; and the generator is afterwards where it would have been."""
    places = {place: kind(dropout=0.3) for place, kind in PLACES.items()}
    model = build(norm, dropout=0.2, feedforward_dropout=0.1, **places).float().train()
    source_layout, target_layout = Layout.of(SOURCE_LENGTHS), Layout.of(TARGET_LENGTHS)
    source, target = torch.randint(VOCAB, (3, 7)), torch.randint(VOCAB, (3, 6))
    results, kept = [], []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        torch.manual_seed(5)
        sizes = []

        def count(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            hidden = model.decode(target, target_layout, model.encode(source, source_layout))
        model.output(hidden).square().sum().backward()
        results.append([parameter.grad.clone() for parameter in model.parameters()] + [torch.rand(3)])
        kept.append(sum(sizes))
    assert all(map(torch.equal, *results))
    assert kept[1] < 0.5 * kept[0]
    with torch.inference_mode():  # nothing to compute anew
        model.decode(target, target_layout, model.encode(source, source_layout))
