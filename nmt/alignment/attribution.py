"""How much each source piece has to do with each target piece: attention itself, and other answers to the same question.

Letters: B sentences, T target positions (each predicts a piece, or EOS), S source positions (the last is EOS), Q and K queries and keys,
h heads, D width of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nmt.alignment.forced import sides
from nmt.attention.capture import Attention, AttentionRecord, capture, gate
from nmt.attention.scores import at_least_float32
from nmt.config import AlignmentConfig, Attribution
from nmt.data.batching import Batch
from nmt.errors import ConfigError
from nmt.models.interface import Seq2Seq

Weights = Mapping[str, Float[Tensor, "B _Q _K"]]
"""Of every attention, by name; sources and targets differ in length."""


def attribute(model: Seq2Seq, batch: Batch, config: AlignmentConfig) -> Float[Tensor, "B T S"]:
    """The attribution that is set, of a padded batch, for a model in eval mode.

    Attention as it is: the decoder layer's and head's, or the mean of the heads. Of others each row is in shares of what speaks for the
    piece (:func:`shares`).

    Raises:
        ConfigError: the model does not have the layer or head.
    """
    if config.attribution is Attribution.attention:
        return attention(model, batch, config.layer, config.head)
    return shares(raw_attribution(model, batch, config))


def raw_attribution(model: Seq2Seq, batch: Batch, config: AlignmentConfig) -> Float[Tensor, "B T S"]:
    """The same in the units that the method has; what speaks against a piece is below 0."""
    match config.attribution:
        case Attribution.attention:
            return attention(model, batch, config.layer, config.head)
        case Attribution.norms:
            return norms(model, batch, config.layer)
        case Attribution.rollout:
            return rollout(model, batch)
        case Attribution.gradient_attention:
            return gradient_attention(model, batch)
        case Attribution.input_gradient:
            return input_gradient(model, batch)


def shares(scores: Float[Tensor, "B T S"]) -> Float[Tensor, "B T S"]:
    """Each row over its sum, without what is below 0; a row where nothing is above stays 0."""
    positive = scores.clamp(min=0)
    total = positive.sum(-1, keepdim=True)
    return positive / total.where(total > 0, 1)


@torch.no_grad()
def attention(model: Seq2Seq, batch: Batch, layer: int, head: int | None) -> Float[Tensor, "B T S"]:
    """Weights of a decoder layer's cross-attention: of a head, or the mean of all.

    Raises:
        ConfigError: the model does not have the layer or head.
    """
    [record] = _forced(model, batch, [cross_attention_name(model, layer, head)])
    weights = at_least_float32(record.weights)  # (B, h, T, S)
    return weights.mean(1) if head is None else weights[:, head]


@torch.no_grad()
def norms(model: Seq2Seq, batch: Batch, layer: int) -> Float[Tensor, "B T S"]:
    """||sum_h a_ts f_h(x_s)||: how long the vector is that a source position adds to the output of a layer's cross-attention, where f_h
    is what a head's values and its part of the output projection make of the position. Kobayashi et al. 2020, section 3.

    In a recurrent model f is the identity.

    Raises:
        ConfigError: the model does not have the layer.
    """
    [record] = _forced(model, batch, [cross_attention_name(model, layer)])
    with torch.autocast(batch.source.device.type, enabled=False):
        weights, added = at_least_float32(record.weights), at_least_float32(record.values)
        if record.output_weight is not None:
            added = added @ at_least_float32(record.output_weight)  # (B, h, S, D)
        products = torch.einsum("bhsd,bgsd->bshg", added, added)  # the T x S vectors themselves would be D times as much
        squares = torch.einsum("bhts,bshg,bgts->bts", weights, products, weights)
        return squares.clamp(min=0).sqrt()


@torch.no_grad()
def rollout(model: Seq2Seq, batch: Batch) -> Float[Tensor, "B T S"]:
    """Attention times attention, layer by layer, beside residual connections: Abnar and Zuidema 2020, eq. 1.

    Theirs is for encoders. Here target positions carry shares of the target and of the source on: self-attention, half of each output,
    mixes both, and cross-attention, again half, brings in what the encoder's rollout says of its states. The share of the source is given;
    with that of the target a row sums to 1. In a recurrent model, which has neither layer nor residual connection, it is the attention
    but for a factor.
    """
    records = _forced(model, batch, list(model.attentions()))
    with torch.autocast(batch.source.device.type, enabled=False):
        return roll_out({record.name: at_least_float32(record.weights).mean(1) for record in records})[1]


def roll_out(weights: Weights) -> tuple[Float[Tensor, "B T T"], Float[Tensor, "B T S"]]:
    """Shares of the target and of the source in the decoder's output, of weights whose rows sum to 1 or less."""
    of_source = _identity(weights["decoder.cross.0"].mT)
    for layer in _layers(weights, "encoder.self"):
        of_source = _beside_residual(layer, _identity(layer)) @ of_source
    target = _identity(weights["decoder.cross.0"])
    source = torch.zeros_like(weights["decoder.cross.0"])
    for i, cross in enumerate(_layers(weights, "decoder.cross")):
        if (own := weights.get(f"decoder.self.{i}")) is not None:
            mixed = _beside_residual(own, _identity(own))
            target, source = mixed @ target, mixed @ source
        kept = 1 / (1 + cross.sum(-1, keepdim=True))
        target, source = kept * target, kept * (source + cross @ of_source)
    return target, source


def gradient_attention(model: Seq2Seq, batch: Batch) -> Float[Tensor, "B T S"]:
    """Attention weighted by the gradient of the piece's logit, carried through the layers: Chefer, Gur and Wolf 2021, eq. 5 to 10.

    In a recurrent model it is the positive part of gradient times attention. It costs a backward pass a target position.
    """
    attentions = model.attentions()
    num_sentences, num_source = batch.source.shape
    num_target = batch.target_in.shape[1]
    lengths = {"source": num_source, "target_in": num_target, "target_out": num_target}
    gates = {
        name: _gates(model, num_sentences, module.num_heads, *(lengths[side] for side in sides(name)))
        for name, module in attentions.items()
    }
    rows = []
    with gate(attentions, gates):
        logits = _logits(model, batch)
    for position, gradients in enumerate(_gradients(logits, batch, list(gates.values()))):
        relevance = {name: gradient.clamp(min=0).mean(1) for name, gradient in zip(gates, gradients, strict=True)}
        with torch.autocast(batch.source.device.type, enabled=False):
            rows.append(carry_relevance(relevance)[:, position])
    return torch.stack(rows, 1)


def carry_relevance(relevance: Weights) -> Float[Tensor, "B T S"]:
    """What the attentions of all layers together say of each target position, from what each says by itself, mean_h (grad A * A)+ (eq. 5).

    The rules are eq. 6 and 7 for self-attention, and eq. 8 to 10 for cross-attention.
    """
    source = _identity(relevance["decoder.cross.0"].mT)
    for layer in _layers(relevance, "encoder.self"):
        source = source + layer @ source
    target = _identity(relevance["decoder.cross.0"])
    across = torch.zeros_like(relevance["decoder.cross.0"])
    for i, cross in enumerate(_layers(relevance, "decoder.cross")):
        if (own := relevance.get(f"decoder.self.{i}")) is not None:
            target, across = target + own @ target, across + own @ across
        across = across + _normalised(target).mT @ cross @ _normalised(source)
    return across


def input_gradient(model: Seq2Seq, batch: Batch) -> Float[Tensor, "B T S"]:
    """x . grad x of the piece's logit, where x is the embedding of a source piece: gradient times input (Shrikumar et al.
    2016), signed.

    It costs a backward pass a target position.
    """
    gates = _gates(model, *batch.source.shape, 1)
    logits = _logits(model, batch, gates)
    return torch.stack([gradient.squeeze(-1) for (gradient,) in _gradients(logits, batch, [gates])], 1)


def cross_attentions(model: Seq2Seq) -> dict[str, Attention]:
    """The decoder's attentions over the source, from the bottom layer to the top."""
    return {name: module for name, module in model.attentions().items() if name.startswith("decoder.cross.")}


def cross_attention_name(model: Seq2Seq, layer: int, head: int | None = None) -> str:
    """The name of a decoder layer's cross-attention; negative layers count from the top.

    Raises:
        ConfigError: there is no such layer, or it has no such head.
    """
    names = list(cross_attentions(model))
    if not -len(names) <= layer < len(names):
        raise ConfigError(f"`alignment.layer` must be from {-len(names)} to {len(names) - 1} in this model, but is {layer}")
    num_heads = cross_attentions(model)[names[layer]].num_heads
    if head is not None and not 0 <= head < num_heads:
        raise ConfigError(f"`alignment.head` must be null or from 0 to {num_heads - 1} in this model, but is {head}")
    return names[layer]


def _forced(model: Seq2Seq, batch: Batch, names: Sequence[str]) -> list[AttentionRecord]:
    """What the named attentions do while each target piece and EOS is predicted."""
    with capture(model.attentions(), names) as records:
        model.decode(batch.target_in, batch.target_layout, model.encode(batch.source, batch.source_layout))
    return records


def _gates(model: Seq2Seq, *size: int) -> Tensor:
    """Ones with the model's type and device, to be differentiated with respect to."""
    return at_least_float32(model.output_layer().weight).new_ones(size).requires_grad_()


def _logits(model: Seq2Seq, batch: Batch, source_gates: Float[Tensor, "B S 1"] | None = None) -> Float[Tensor, "B T"]:
    """The logit of each piece that is predicted, and of EOS, to be differentiated with respect to gates."""
    # cuDNN has no backward pass for a recurrent layer in eval mode
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), _gated_embedding(model, source_gates):
        memory = model.encode(batch.source, batch.source_layout)
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        logits = model.output(model.decode(batch.target_in, batch.target_layout, memory))
        return logits.gather(2, batch.target_out.unsqueeze(-1)).squeeze(-1)


@contextmanager
def _gated_embedding(model: Seq2Seq, gates: Tensor | None) -> Iterator[None]:
    if gates is None:
        yield
        return

    def multiply(module: nn.Module, ids: tuple[Tensor, ...], vectors: Tensor) -> Tensor:
        return vectors * gates

    hook = model.source_embedding().register_forward_hook(multiply)
    try:
        yield
    finally:
        hook.remove()


def _gradients(logits: Float[Tensor, "B T"], batch: Batch, inputs: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Of each target position, the gradients of its logit; sentences do not know of each other, so that all have theirs at once."""
    with torch.enable_grad():
        totals = logits.sum(0).unbind()
    for total in totals:
        yield torch.autograd.grad(total, inputs, retain_graph=True)


def _layers(weights: Weights, kind: str) -> Iterator[Float[Tensor, "B _Q _K"]]:
    """The attentions of a kind, from the bottom to the top."""
    for i in range(sum(name.startswith(f"{kind}.") for name in weights)):
        yield weights[f"{kind}.{i}"]


def _identity(like: Float[Tensor, "B Q K"]) -> Float[Tensor, "B Q Q"]:
    return torch.eye(like.shape[1], dtype=like.dtype, device=like.device).expand(len(like), -1, -1)


def _beside_residual(weights: Float[Tensor, "B Q Q"], identity: Float[Tensor, "B Q Q"]) -> Float[Tensor, "B Q Q"]:
    """Rows that sum to 1, of attention and the residual connection round it."""
    return (weights + identity) / (1 + weights.sum(-1, keepdim=True))


def _normalised(relevance: Float[Tensor, "B Q Q"]) -> Float[Tensor, "B Q Q"]:
    """Eq. 8 and 9: what was added to the identity, row by row over its sum, and the identity; a row to which nothing was stays."""
    identity = _identity(relevance)
    added = relevance - identity
    total = added.sum(-1, keepdim=True)
    return added / total.where(total > 0, 1) + identity
