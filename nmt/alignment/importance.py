"""How much a model needs each head of its attention: Michel, Levy and Neubig 2019, section 4.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nmt.alignment.forced import ForcedDecoder
from nmt.attention.capture import gate
from nmt.attention.multihead import MultiHeadAttention
from nmt.data.batching import Batch
from nmt.errors import DataError
from nmt.models.interface import Seq2Seq
from nmt.refusals import unremovable

Importance = dict[str, list[float]]
"""Of each head, by the name of its attention."""


def multihead_attentions(model: Seq2Seq) -> dict[str, MultiHeadAttention]:
    """The attentions of a model that have heads to lose, by name."""
    return {name: module for name, module in model.attentions().items() if isinstance(module, MultiHeadAttention)}


def head_importance(decoder: ForcedDecoder, sources: Sequence[str], targets: Sequence[str]) -> Importance:
    """E |dL / dg| of each head, where g = 1 is a gate on its weights and L a pair's negative log-likelihood, in the model's own
    type whatever the precision.

    Scaled so that the squares of an attention's heads sum to 1, as the paper does after Molchanov et al. 2017. Pairs with a blank side
    are left out; none of the parameters gets a gradient.

    Raises:
        DataError: no pair has words on both sides.
    """
    pairs = decoder.pairs(sources, targets)
    if not len(pairs.filled):
        raise DataError("the importance of heads needs a pair with words on both sides, but there is none")
    attentions = multihead_attentions(decoder.model)
    sums = {name: torch.zeros(module.num_heads) for name, module in attentions.items()}
    for batch in decoder.batches(pairs):
        gates = {
            name: torch.ones(len(batch.sentences), module.num_heads, 1, 1, device=decoder.device, requires_grad=True)
            for name, module in attentions.items()
        }
        with gate(attentions, gates):
            loss = _nll(decoder, batch)
        for name, gradient in zip(gates, torch.autograd.grad(loss, list(gates.values())), strict=True):
            sums[name] += gradient.abs().sum((0, 2, 3)).cpu()
    return {name: (total / total.norm()).tolist() for name, total in sums.items()}


def _nll(decoder: ForcedDecoder, batch: Batch) -> Tensor:
    """The sum over all pairs; a pair's gates know of its own part alone."""
    layout = batch.target_layout
    logits = decoder.model.output(layout.real(decoder.decode(batch)))
    return F.cross_entropy(logits, layout.real(batch.target_out), reduction="sum")


def least_important(importance: Importance, share: float, num_kv_heads: Mapping[str, int]) -> dict[str, list[int]]:
    """The heads to leave out so that so large a ``share`` of all is gone, from the least important on; those that cannot go stay."""
    ranked = sorted((value, name, head) for name, values in importance.items() for head, value in enumerate(values))
    wanted, removed = round(share * len(ranked)), dict[str, list[int]]()
    for _, name, head in ranked:
        if sum(map(len, removed.values())) >= wanted:
            break
        heads = sorted([*removed.get(name, []), head])
        if unremovable(heads, len(importance[name]), num_kv_heads[name]) is None:
            removed[name] = heads
    return removed
