"""What is trained, put together from a configuration and a store: model, optimiser, plan, trainer."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from nmt import distributed
from nmt.alignment.attribution import cross_attention_name
from nmt.config import Config, FilesDataConfig, ModelKind, ProgressStyle
from nmt.data.batching import TrainingText
from nmt.data.plan import BatchPlan
from nmt.data.reader import corpora
from nmt.data.sampled import SampledSplit
from nmt.data.store import Store
from nmt.decoding.translator import Translator
from nmt.errors import ConfigError
from nmt.hardware import resolve_device
from nmt.models import build_model
from nmt.models.interface import Seq2Seq
from nmt.rules import AUTO, token_budget
from nmt.run_folder import RunFolder, load_initial
from nmt.tracking import Progress, Tracker
from nmt.training.checkpoint import load_weights
from nmt.training.ema import EMA
from nmt.training.freezing import freeze
from nmt.training.guided import Guide
from nmt.training.memory import OutOfMemory, largest_budget
from nmt.training.objective import Objective
from nmt.training.optim import build_optimizer
from nmt.training.schedule import build_schedule
from nmt.training.trainer import Trainer
from nmt.training.update import Updater
from nmt.validation import Validation

log = logging.getLogger(__name__)


def resolve_budget(folder: RunFolder, config: Config, store: Store) -> Config:
    """The settings with a number for ``train.max_tokens=auto``: the largest budget with which the trained model fits into the memory of a
    GPU. It is written down, so that the run keeps it.

    Raises:
        ConfigError: there is no GPU.
        OutOfMemory: no budget fits.
    """
    if config.train.max_tokens != AUTO:
        return config
    device = resolve_device(config.device)
    if device.type != "cuda":
        raise ConfigError("`train.max_tokens=auto` measures the memory of a GPU; set a number on the CPU")

    def with_budget(budget: int) -> Config:
        return replace(config, train=replace(config.train, max_tokens=budget))

    def fits(budget: int) -> bool:
        update = build_updater(with_budget(budget), train_split(config, store), store.tokenizers.vocab_sizes, device)
        try:
            update.objective.train()
            update(0)  # so that the optimiser has its state
            update.rehearse()
        except OutOfMemory:
            return False
        finally:
            del update
            torch.cuda.empty_cache()
        return True

    split = store.split("train")
    longest = 1 + int(max(split.source_lengths.max(), split.target_lengths.max()))
    budget = int(distributed.from_main(lambda: largest_budget(fits, longest)))
    log.info("`train.max_tokens` is %d, the largest that fits", budget)
    config = with_budget(budget)
    distributed.main_first(lambda: folder.write_config(config) if distributed.is_main() else None)
    return config


def build_trainer(folder: RunFolder, config: Config, store: Store, device: torch.device) -> Trainer:
    """The trainer of a run, resumed from its newest checkpoint where there is one."""
    checkpoint = folder.checkpoints.load_latest()
    if not checkpoint and distributed.is_main():
        shutil.rmtree(folder.training_alignments, ignore_errors=True)  # of an attempt that ended before its first checkpoint

    def begin(model: Seq2Seq) -> None:
        if checkpoint:
            load_weights(model, checkpoint.model)
            log.info("resuming %s after step %d", folder.path, checkpoint.step)
        elif config.init_from:
            load_initial(model, Path(config.init_from), store.tokenizers)

    vocab_sizes = store.tokenizers.vocab_sizes
    update = build_updater(config, train_split(config, store), vocab_sizes, device, mixture(config, store), begin)
    objective = update.objective
    tracker = Tracker(folder.path, config.tracking, checkpoint.step if checkpoint else 0)
    translator = Translator(objective.model, store.tokenizers, config.search, device, config.precision, config.seed)
    trainer = Trainer(
        update=update,
        checkpoints=folder.checkpoints,
        validate=Validation(objective, translator, store.split("dev"), tracker, config, folder.training_alignments),
        tracker=tracker,
        progress=Progress(config.tracking.progress if distributed.is_main() else ProgressStyle.plain),
        config=config.train,
        statistics=config.tracking.statistics,
    )
    if checkpoint:
        trainer.resume(checkpoint)
    return trainer


def train_split(config: Config, store: Store) -> TrainingText:
    """The training text, its pieces drawn anew each time where that is asked for."""
    alpha = config.tokenizer.sampling_alpha
    return store.split("train") if alpha is None else SampledSplit(store, alpha)


def mixture(config: Config, store: Store) -> list[tuple[int, float]]:
    """The number of pairs and the weight of each corpus of the training text."""
    weights = (
        {name: part.weight for name, part in corpora(config.data).items()} if isinstance(config.data, FilesDataConfig) else {}
    )
    return [(size, weights.get(name, 1.0)) for name, size in store.meta["corpora"].items()]


def build_guide(model: Seq2Seq, config: Config) -> Guide | None:
    """What is guided: the attention that alignments are read from.

    Raises:
        ConfigError: the model does not have the layer or head.
    """
    alignment, weight = config.alignment, config.loss.alignment_weight
    if not weight:
        return None
    name = cross_attention_name(model, alignment.layer, alignment.head)
    return Guide(name, alignment.head, alignment.shift, weight)


def build_updater(
    config: Config,
    split: TrainingText,
    vocab_sizes: tuple[int, int],
    device: torch.device,
    corpora: Sequence[tuple[int, float]] = (),
    begin: Callable[[Seq2Seq], None] | None = None,
) -> Updater:
    """A new model, to which ``begin`` may give other weights, and all that its updates need; packed rows where a kernel reads them
    without padding."""
    torch.manual_seed(config.seed)
    model = build_model(config.model, vocab_sizes).to(device)
    if begin:
        begin(model)
    freeze(model, config.train.freeze)
    model.recompute = config.train.recompute
    return Updater(
        objective=Objective(model, config.loss, build_guide(model, config)),
        optimizer=build_optimizer(model, config.optim),
        schedule=build_schedule(config.schedule, config.train.max_steps),
        split=split,
        plan=BatchPlan(
            split.source_lengths,
            split.target_lengths,
            max_tokens=token_budget(config.train),
            microbatches=config.train.microbatches,
            seed=config.seed,
            corpora=corpora,
        ),
        max_grad_norm=config.optim.max_grad_norm,
        seed=config.seed,
        device=device,
        precision=config.precision,
        packed=config.model.kind is ModelKind.transformer and device.type == "cuda",
        ema=EMA(model, config.train.ema_decay) if config.train.ema_decay is not None else None,
    )
