"""Reading what a model attends to, and how that matters, without making it pay when nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(slots=True)
class AttentionRecord:
    """One application of a named attention; differentiable where gradients are on.

    Attributes:
        name: as in ``Seq2Seq.attentions()``.
        weights: (B, heads, T, S), before any dropout; rows are queries. Zero at padded source positions.
        values: (B, heads, S, head_dim), what the weights average.
        output_weight: (heads, head_dim, D), the map from a head's average into the model, or None where there is none of its own.
    """

    name: str
    weights: Float[Tensor, "B heads T S"]
    values: Float[Tensor, "B heads S head_dim"]
    output_weight: Float[Tensor, "heads head_dim D"] | None


class Attention(nn.Module):
    """A module whose weights can be watched.

    While ``record`` is set (by :func:`capture` alone), the module computes its weights explicitly and hands them over, and while ``gates``
    are (by :func:`gate` alone) it multiplies them with these; otherwise it is free to use a kernel that never builds them.
    """

    num_heads: int = 1

    def __init__(self) -> None:
        super().__init__()
        self.record: Callable[[Tensor, Tensor, Tensor | None], None] | None = None
        self.gates: Float[Tensor, "B #h #T #S"] | None = None


@contextmanager
def capture(attentions: dict[str, Attention], names: Iterable[str] | None = None) -> Iterator[list[AttentionRecord]]:
    """Collect the records of the named attentions (all of them, unless named) while the block runs.

    ``attentions`` is what ``Seq2Seq.attentions()`` returns. Records come in the order of computation.

    Raises:
        KeyError: a name that the model does not have, with those it has.
    """
    chosen = list(attentions) if names is None else list(names)
    for name in chosen:
        if name not in attentions:
            raise KeyError(f"no attention is named {name!r}; there are {', '.join(attentions)}")
    records: list[AttentionRecord] = []

    def recorder(name: str) -> Callable[[Tensor, Tensor, Tensor | None], None]:
        return lambda weights, values, output_weight: records.append(AttentionRecord(name, weights, values, output_weight))

    try:
        for name in chosen:
            attentions[name].record = recorder(name)
        yield records
    finally:
        for name in chosen:
            attentions[name].record = None


@contextmanager
def gate(attentions: Mapping[str, Attention], gates: Mapping[str, Float[Tensor, "B #h #T #S"]]) -> Iterator[None]:
    """Multiply the weights of the named attentions with ``gates`` while the block runs, after they were recorded.

    The gradient with respect to a gate of 1 is that with respect to what it multiplies, times that.
    """
    try:
        for name, factors in gates.items():
            attentions[name].gates = factors
        yield
    finally:
        for name in gates:
            attentions[name].gates = None
