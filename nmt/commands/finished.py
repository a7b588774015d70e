"""A finished run as the commands on it take it: loaded, with the command's settings laid over its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nmt.alignment.forced import ForcedDecoder
from nmt.commands.options import RunCommand, SearchCommand, SearchOverrides
from nmt.config import Config, Precision, SearchConfig
from nmt.data.tokenizer import Tokenizers
from nmt.decoding.ensemble import Ensemble
from nmt.decoding.frozen import frozen
from nmt.decoding.translator import Translator
from nmt.errors import ConfigError
from nmt.hardware import resolve_device, resolve_precision, set_up_cpu
from nmt.models.interface import Predictor, Seq2Seq
from nmt.rules import validate_search
from nmt.run_folder import load_run


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run's settings, model (in eval mode, on the device) and tokenizers; ``others`` are the models it predicts together with."""

    config: Config
    model: Seq2Seq
    others: list[Seq2Seq]
    tokenizers: Tokenizers
    device: torch.device
    precision: Precision

    @property
    def predictor(self) -> Predictor:
        """The model, or the ensemble."""
        return Ensemble([self.model, *self.others]) if self.others else self.model

    @property
    def decoder(self) -> ForcedDecoder:
        """The model, to be looked into."""
        return ForcedDecoder(self.model, self.tokenizers, self.device, self.precision)

    def translator(self, search: SearchConfig, seed: int) -> Translator:
        model = frozen(self.predictor, self.precision)
        return Translator(model, self.tokenizers, search, self.device, self.precision, seed)


def load_finished(command: RunCommand, ensemble: Sequence[str] = ()) -> FinishedRun:
    """The run that a command names, with the device and precision that it asks for, and the models of the runs in ``ensemble``.

    Raises:
        ConfigError: a run of the ensemble has another vocabulary, or the precision is one for translating alone.
    """
    if command.precision is Precision.int8:
        raise ConfigError(
            "`precision=int8` is for `nmt translate` and `nmt evaluate`; other commands compute in fp32, bf16 or fp16"
        )
    return _load(command, ensemble)


def _load(command: RunCommand, ensemble: Sequence[str]) -> FinishedRun:
    set_up_cpu(command.threads)
    device = resolve_device(command.device)
    config, model, tokenizers = load_run(Path(command.run), command.weights, device)
    others = []
    for path in ensemble:
        _, other, known = load_run(Path(path), command.weights, device)
        if difference := known.difference(tokenizers):
            raise ConfigError(
                f"the runs of an `ensemble` must have one vocabulary, but in {path} {difference}, as it is in {command.run}"
            )
        others.append(other)
    precision = resolve_precision(command.precision or config.precision, device)
    return FinishedRun(config, model, others, tokenizers, device, precision)


def load_translator(command: SearchCommand) -> tuple[FinishedRun, Translator]:
    """The run that a command names, and its translator, with the command's search and seed laid over the run's.

    Raises:
        ConfigError: a run of the ensemble has another vocabulary, or the search settings do not go together.
    """
    run = _load(command, command.ensemble)
    search = lay_over(run.config.search, command.search)
    validate_search(search)
    return run, run.translator(search, run.config.seed if command.seed is None else command.seed)


def lay_over(search: SearchConfig, overrides: SearchOverrides) -> SearchConfig:
    """The run's search settings, but for those that were given."""
    given = {f.name: getattr(overrides, f.name) for f in dataclasses.fields(overrides)}
    return dataclasses.replace(search, **{name: value for name, value in given.items() if value is not None})
