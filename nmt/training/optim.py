"""Optimisers: torch's own, and Muon."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from nmt.config import AdadeltaConfig, AdafactorConfig, AdagradConfig, AdamConfig, MuonConfig, OptimConfig, OptimKind, SgdConfig
from nmt.models.layers import OutputLayer
from nmt.training.muon import Muon


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimiser of a model's trainable parameters; weight decay is of matrices only.

    An update where its ``found_inf``, set before, is 1 changes neither parameters nor what it remembers of them.

    Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019), RAdam (Liu et al. 2020; rectified where the length of the average is
    above 5, as in the authors' code, not above 4), Adafactor (Shazeer and Stern 2018; deviations: no constant is added to squared
    gradients, and the greatest relative step is the learning rate instead of 0.01), :class:`Muon`, Adagrad (Duchi et al. 2011), Adadelta
    (Zeiler 2012), and stochastic gradient descent, whose momentum sums gradients, not updates: v <- mu v + g, W <- W - lr v.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    settings: dict[str, Any] = {"lr": config.learning_rate}
    match config:
        case AdamConfig():
            settings |= {"betas": (config.beta1, config.beta2), "eps": config.eps}
            return _adam(model, config, groups, settings)
        case AdafactorConfig():
            settings |= {"beta2_decay": config.beta2_decay, "d": config.max_update}
            return _eager(_skipping(torch.optim.Adafactor))(groups, **settings)
        case AdagradConfig():
            return _eager(_skipping(torch.optim.Adagrad))(groups, eps=config.eps, **settings)
        case AdadeltaConfig():
            return _eager(_skipping(torch.optim.Adadelta))(groups, rho=config.rho, eps=config.eps, **settings)
        case SgdConfig():
            settings |= {"momentum": config.momentum, "nesterov": config.nesterov, "fused": True}
            optimizer = _eager(torch.optim.SGD)(groups, **settings)
            if config.momentum:  # torch would make it in the first update, and leave it without values where that one is skipped
                optimizer.state.update({p: {"momentum_buffer": torch.zeros_like(p)} for p in parameters})
            return optimizer
    raise TypeError(f"no optimiser has a configuration of {type(config).__name__}")


def _adam(model: nn.Module, config: AdamConfig, groups: list[dict[str, Any]], settings: dict[str, Any]) -> torch.optim.Optimizer:
    if isinstance(config, MuonConfig):
        settings |= {"orthogonal": hidden_matrices(model), "momentum": config.momentum}
        return _eager(Muon)(groups, fused=True, **settings)
    if config.kind is OptimKind.radam:
        return _eager(_skipping(torch.optim.RAdam))(groups, decoupled_weight_decay=True, **settings)
    return _eager(torch.optim.Adam if config.kind is OptimKind.adam else torch.optim.AdamW)(groups, fused=True, **settings)


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The matrices of a model that are neither embeddings nor the output layer's."""
    ends = [module for module in model.modules() if isinstance(module, nn.Embedding | OutputLayer)]
    tables = {id(parameter) for module in ends for parameter in module.parameters()}
    return [p for p in model.parameters() if p.ndim > 1 and id(p) not in tables]


def _skipping(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """An optimiser that torch has no fused kernel for, or not one for every device, with updates that ``found_inf`` skips.

    On CUDA the flag is waited for, once an update, as torch's ``GradScaler`` does with such optimisers: what is undone afterwards, or
    done with zeros, would not be nothing to the moments, and they count their updates on the CPU.
    """
    step = inspect.unwrap(kind.step)

    def skipping_step(self: torch.optim.Optimizer) -> None:
        bad = vars(self).pop("found_inf", None)  # Adafactor refuses to see it
        if bad is None or not bad:
            step(self)

    return type(kind.__name__, (kind,), {"step": skipping_step})


def _eager(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The optimiser without the wrappers that torch puts around its methods for ``torch.compile``, which is not used here.

    On their first call they import the compiler, 1.3 to 1.9 s of the start of a run. What they wrap is the same, to the bit.
    """
    names = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))})
