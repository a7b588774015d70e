"""Leaving some of a model as it is."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nmt.conversion import suggestion
from nmt.errors import ConfigError


def freeze(model: nn.Module, names: Sequence[str]) -> None:
    """Take the parameters of the named modules, or those of these very names, out of training: they have no gradient and never change.

    A name is one of ``named_modules()`` or ``named_parameters()``, such as ``encoder`` or ``embeddings.source``. Parameters that several
    modules share (tied embeddings) are frozen in all of them. Dropout stays on.

    Raises:
        ConfigError: a name that no parameter has, with the nearest that exists, or nothing is left to train.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name in names:
        chosen = [parameter for full, parameter in parameters.items() if f"{full}.".startswith(f"{name}.")]
        if not chosen:
            known = {full[:end] for full in parameters for end in _ends(full)}
            top = sorted({full.split(".")[0] for full in parameters})
            raise ConfigError(
                f"`train.freeze` names {name!r}, but no parameter of the model is there; "
                f"it consists of {', '.join(top)}{suggestion(name, sorted(known))}"
            )
        for parameter in chosen:
            parameter.requires_grad = False
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(f"`train.freeze` leaves nothing to train: {', '.join(names)}")


def _ends(name: str) -> list[int]:
    """Where each name that a dotted one begins with ends."""
    return [i for i, character in enumerate(name) if character == "."] + [len(name)]
