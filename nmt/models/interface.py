"""The seam between a translation model and everything that uses one.

Search and scoring know a model only as :class:`Predictor`, alignment and training as :class:`Seq2Seq`. Every model keeps one contract:
*stepping through a target gives the hidden states and attention weights of* :meth:`Predictor.decode`.

Letters: B sentences, S source positions, T target positions, N packed tokens, R decoder rows, D width of the hidden states that
:meth:`Predictor.output` reads, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.attention.capture import Attention
from nmt.layout import Layout


class Memory(ABC):
    """An encoded batch: all that a decoder reads of B source sentences, projected once (keys, values, mask)."""

    @abstractmethod
    def select(self, sentences: Int[Tensor, " B2"]) -> Memory:
        """The memory of some of its sentences, in this order; an index may occur more than once."""


class State(ABC):
    """What a decoder carries from one target position to the next, for R = B * width rows; row r reads sentence r // width."""

    @abstractmethod
    def select(self, rows: Int[Tensor, " R2"]) -> State:
        """The state of some of its rows, in this order; an index may occur more than once. The only way to reorder a beam.

        The rows that become a sentence's all come from one sentence. This state is spent: the new one may go on in its memory.
        """


@dataclass(slots=True)
class StepOutput:
    """One target position of R rows: ``hidden`` (R, D), the ``state`` after it, and, where asked for, ``attention`` (R, S).

    The attention is the mean over heads of the top decoder layer's cross-attention; zero at padded source positions.
    """

    hidden: Float[Tensor, "R D"]
    state: State
    attention: Float[Tensor, "R S"] | None = None


class Predictor(nn.Module, ABC):
    """What can be asked which piece comes next: a translation model, or an ensemble of them."""

    @abstractmethod
    def encode(self, source: Int[Tensor, "..."], layout: Layout) -> Memory:
        """Read B source sentences, ids (B, S) or (N,) as ``layout`` says."""

    @abstractmethod
    def init_state(self, memory: Memory, width: int = 1) -> State:
        """The state before the first target position, for ``width`` rows a sentence."""

    @abstractmethod
    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        """One target position: read the previous piece of each row (BOS at first). The given state is spent."""

    @abstractmethod
    def decode(self, target_in: Int[Tensor, "..."], layout: Layout, memory: Memory) -> Float[Tensor, "... D"]:
        """Hidden states of all positions of given targets (teacher forcing), in the layout of ``target_in``.

        Row t has read BOS and the first t target pieces. Rows of padding hold finite numbers without meaning.
        """

    @abstractmethod
    def output(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Logits of hidden states, float32 at least."""


class Seq2Seq(Predictor):
    """A translation model, which can be trained and looked into.

    ``recompute``, which a Transformer alone heeds, makes its layers keep their inputs alone for the backward pass, and compute the rest
    anew there (Chen et al. 2016, "Training deep nets with sublinear memory cost", a layer a segment).
    """

    recompute: bool = False

    @abstractmethod
    def output_layer(self) -> nn.Linear:
        """The last linear map, from hidden states to logits.

        Given apart from :meth:`decode` so that the loss can work in chunks and search on last rows.
        """

    def output(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        logits: Tensor = self.output_layer()(hidden)
        return logits

    @abstractmethod
    def source_embedding(self) -> nn.Module:
        """What makes vectors (..., E) of source ids, before anything else is done with them; it may serve the target too."""

    @abstractmethod
    def attentions(self) -> dict[str, Attention]:
        """Every attention by name: ``encoder.self.2``, ``decoder.self.0``, ``decoder.cross.0``, ..."""
