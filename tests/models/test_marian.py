"""The Transformer against Hugging Face's Marian with the same weights: logits, attention and gradients."""

import os

import pytest
import torch
from torch.nn import functional as F

from nmt.attention.capture import capture
from nmt.config import NormPlacement, StackConfig, TransformerConfig, Tying
from nmt.layout import Layout
from nmt.models import build_model

VOCAB, DIM, HEADS, INNER = 37, 22, 2, 29
SOURCE_LENGTHS, TARGET_LENGTHS = [5, 3, 7], [4, 6, 1]


def ours():
    torch.manual_seed(1)
    config = TransformerConfig(
        model_dim=DIM,
        num_heads=HEADS,
        feedforward_dim=INNER,
        norm=NormPlacement.post,
        tying=Tying.three_way,
        dropout=0.0,
        encoder=StackConfig(num_layers=2),
        decoder=StackConfig(num_layers=3),
    )
    model = build_model(config, (VOCAB, VOCAB)).double()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
    return model


def theirs(model):
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=VOCAB,
        d_model=DIM,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=INNER,
        decoder_ffn_dim=INNER,
        activation_function="relu",
        dropout=0.0,
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        max_position_embeddings=16,
        pad_token_id=0,
        eos_token_id=3,
        decoder_start_token_id=2,
        attn_implementation="eager",
    )
    marian = MarianMTModel(config).double()
    marian.load_state_dict(renamed(model), strict=False)
    for stack in (marian.model.encoder, marian.model.decoder):
        stack.embed_positions.weight.data = model.source_positions(torch.arange(16)).double()
    return marian


def renamed(model):
    """Our weights by their names."""
    state = model.state_dict()
    found = {
        "model.shared.weight": state["embeddings.source.weight"],
        "model.encoder.embed_tokens.weight": state["embeddings.source.weight"],
        "model.decoder.embed_tokens.weight": state["embeddings.source.weight"],
        "lm_head.weight": state["embeddings.source.weight"],
        "final_logits_bias": state["embeddings.output.bias"][None],
    }

    def attention(there, here, stacked):
        for part, names in stacked.items():
            for name, weight, bias in zip(
                names, state[f"{here}.{part}.weight"].split(DIM), state[f"{here}.{part}.bias"].split(DIM), strict=True
            ):
                found[f"{there}.{name}.weight"], found[f"{there}.{name}.bias"] = weight, bias

    def copy(there, here):
        for kind in ("weight", "bias"):
            found[f"{there}.{kind}"] = state[f"{here}.{kind}"]

    for stack, layers in (("encoder", 2), ("decoder", 3)):
        for i in range(layers):
            there, here = f"model.{stack}.layers.{i}", f"{stack}.{i}"
            stacked = {"query_key_value": ["q_proj", "k_proj", "v_proj"], "output": ["out_proj"]}
            attention(f"{there}.self_attn", f"{here}.self_attention", stacked)
            copy(f"{there}.self_attn_layer_norm", f"{here}.around_self.norm")
            if stack == "decoder":
                stacked = {"query": ["q_proj"], "key_value": ["k_proj", "v_proj"], "output": ["out_proj"]}
                attention(f"{there}.encoder_attn", f"{here}.cross_attention", stacked)
                copy(f"{there}.encoder_attn_layer_norm", f"{here}.around_cross.norm")
            copy(f"{there}.fc1", f"{here}.feedforward.inner")
            copy(f"{there}.fc2", f"{here}.feedforward.outer")
            copy(f"{there}.final_layer_norm", f"{here}.around_feedforward.norm")
    return found


@pytest.fixture(scope="module")
def models():
    model = ours()
    marian = theirs(model)
    known, copied = set(marian.state_dict()), set(renamed(model))
    assert copied <= known
    assert {name for name in known - copied if "embed_positions" not in name} == set()
    return model, marian


def ids(lengths, seed):
    layout = Layout.of(lengths)
    generator = torch.Generator().manual_seed(seed)
    return layout.pad_packed(torch.randint(4, VOCAB, (layout.num_tokens,), generator=generator)), layout


def test_logits_attention_and_gradients_are_those_of_marian(models):
    model, marian = models
    (source, source_layout), (target, target_layout) = ids(SOURCE_LENGTHS, 2), ids(TARGET_LENGTHS, 3)
    with capture(model.attentions()) as records:
        hidden = model.decode(target, target_layout, model.encode(source, source_layout))
    logits = target_layout.real(model.output(hidden))
    output = marian(
        input_ids=source,
        attention_mask=source_layout.mask.long(),
        decoder_input_ids=target,
        decoder_attention_mask=target_layout.mask.long(),
        output_attentions=True,
        use_cache=False,
    )
    expected = target_layout.real(output.logits)
    torch.testing.assert_close(logits, expected)

    of_marian = {"encoder.self": output.encoder_attentions, "decoder.self": output.decoder_attentions}
    of_marian["decoder.cross"] = output.cross_attentions
    assert len(records) == 2 + 3 + 3
    for record in records:
        kind, layer = record.name.rsplit(".", 1)
        rows = (source_layout if kind == "encoder.self" else target_layout).mask
        found, theirs = (weights.transpose(1, 2)[rows] for weights in (record.weights, of_marian[kind][int(layer)]))
        torch.testing.assert_close(found, theirs)

    wanted = torch.randint(4, VOCAB, (len(logits),), generator=torch.Generator().manual_seed(4))
    F.cross_entropy(logits, wanted).backward()
    F.cross_entropy(expected, wanted).backward()
    gradients = dict(model.named_parameters())
    torch.testing.assert_close(gradients["embeddings.source.weight"].grad, marian.model.shared.weight.grad)
    first = marian.model.encoder.layers[0].self_attn
    joined = torch.cat([first.q_proj.weight.grad, first.k_proj.weight.grad, first.v_proj.weight.grad])
    torch.testing.assert_close(gradients["encoder.0.self_attention.query_key_value.weight"].grad, joined)
