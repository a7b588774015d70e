"""One update against a plain computation, and a resumed run against an undisturbed one."""

import json
import time
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nmt.commands.assemble import build_trainer
from nmt.config import (
    VARIANTS,
    AdamConfig,
    LossConfig,
    LuongConfig,
    Metric,
    OptimConfig,
    OptimKind,
    PlateauConfig,
    Precision,
    SgdConfig,
    StackConfig,
    TrackingConfig,
    TrainConfig,
    TransformerConfig,
)
from nmt.data.batching import make_batch
from nmt.data.prepare import prepare
from nmt.run_folder import RunFolder
from nmt.training.trainer import TrainingError
from nmt.training.update import microbatch_seed


@pytest.fixture
def trainer_of():
    """Build the trainer of a configuration, as the command does, in the run folder of this name."""

    built = []

    def build(config, tmp_path, name="run"):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(exist_ok=True)
        store = prepare(config.data, config.tokenizer, config.seed)
        built.append(build_trainer(folder, config, store, torch.device("cpu")))
        return built[-1]

    yield build
    for trainer in built:
        trainer.tracker.close()


def with_dropout(model):
    """Dropout on, so that the random numbers of a resumed run matter."""
    names = ("dropout", "embedding_dropout", "output_dropout")
    return replace(model, **{name: 0.2 for name in names if hasattr(model, name)})


def weights(trainer):
    return {name: value.clone() for name, value in trainer.objective.model.state_dict().items()}


def metrics(folder):
    """Records by step, without what the clock says."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in record.items() if name not in ("train/tokens_per_s", "train/data_wait", "train/mfu")}
        for record in records
    ]


@pytest.mark.promise(1)
@pytest.mark.parametrize("stops", [(3, 4), *(pytest.param(s, marks=pytest.mark.long) for s in [(1,), (8, 9), (5, 10)])], ids=str)
def test_stopped_and_resumed_is_bit_for_bit_undisturbed(run_config, trainer_of, family_config, tmp_path, stops):
    config = run_config(
        with_dropout(family_config),
        train=TrainConfig(max_steps=11, max_tokens=1024, microbatches=2, validate_every=5, log_every=2, keep_last=20),
    )
    whole = trainer_of(config, tmp_path, "whole")
    assert 1 < whole.update.plan.steps(1) < 11
    assert whole.train() == "max_steps"
    for stop in stops:
        part = trainer_of(config, tmp_path, "parts")
        run_until(part, stop)
    last = trainer_of(config, tmp_path, "parts")
    assert last.state.step == stops[-1]
    assert last.train() == "max_steps"
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(last).items())
    for mine, theirs in zip(last.update.optimizer.state.values(), whole.update.optimizer.state.values(), strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def run_until(trainer, step):
    """Train, and ask to stop while the update before ``step`` is being made, as a signal does."""
    change_weights = trainer.update._change_weights

    def watched(number):
        if number + 1 == step:
            trainer.stop_signal = 15
        change_weights(number)

    trainer.update._change_weights = watched
    assert trainer.train() is None
    assert trainer.state.step == step


STACK = StackConfig(num_layers=1)
SMALL = TransformerConfig(model_dim=22, num_heads=2, feedforward_dim=29, dropout=0.2, encoder=STACK, decoder=STACK)
RECIPES = {kind.name: (config(kind=kind, learning_rate=0.01), Precision.fp32) for kind, config in VARIANTS[OptimConfig].items()}
RECIPES["momentum"] = SgdConfig(learning_rate=0.1, momentum=0.9, nesterov=True), Precision.fp32
RECIPES["fp16"] = AdamConfig(learning_rate=0.01), Precision.fp16


@pytest.mark.promise(1)
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_resumes_bit_for_bit(run_config, guided, trainer_of, tmp_path, monkeypatch, recipe):
    """With gradients of several micro-batches, some of them not finite, weights averaged, a learning rate that waits for scores, and
    attention that is guided."""
    monkeypatch.setattr("nmt.training.trainer.matmul_peak", lambda *_: 1e9)
    optim, precision = recipe
    config = run_config(
        SMALL,
        optim=optim,
        precision=precision,
        schedule=PlateauConfig(warmup_steps=1, patience=1),
        train=TrainConfig(
            max_steps=8,
            max_tokens=64,
            microbatches=2,
            validate_every=2,
            log_every=3,
            keep_last=20,
            ema_decay=0.9,
            max_bad_steps=9,
        ),
    )
    config = guided(config)
    scores = {2: 5.0, 4: 4.0, 6: 6.0, 8: 3.0}
    seen = {"whole": {}, "parts": {}}

    def trainer(name):
        made = trainer_of(config, tmp_path, name)
        backward = made.update.backward

        def poisoned(*args):
            backward(*args)
            if made.state.step in (1, 4):
                next(made.objective.parameters()).grad[0, 0] = float("nan")

        def validate(step):
            seen[name][step] = weights(made)
            return {"dev_nll": 1.0, "dev_bleu": scores[step]}

        made.update.backward, made.validate = poisoned, validate
        return made

    whole, part = trainer("whole"), trainer("parts")
    assert whole.train() == "max_steps"
    run_until(part, 5)
    last = trainer("parts")
    assert last.train() == "max_steps"
    assert last.update.schedule.reductions == whole.update.schedule.reductions == 2
    assert last.update.scaler.state_dict() == whole.update.scaler.state_dict()
    assert last.update.ema.num_updates == whole.update.ema.num_updates == 6
    for mine, theirs in (
        (weights(last), weights(whole)),
        (last.update.ema.averages, whole.update.ema.averages),
        (seen["parts"][8], whole.update.ema.averages),  # what was validated
    ):
        assert all(torch.equal(value, theirs[name]) for name, value in mine.items() if name in theirs)
    for mine, theirs in zip(last.update.optimizer.state.values(), whole.update.optimizer.state.values(), strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def test_the_loss_scale_finds_its_size(run_config, trainer_of, tmp_path, monkeypatch):
    """What overflows at first is skipped; then gradients and their norm are those of fp32, but for rounding."""
    monkeypatch.setattr("nmt.training.trainer.matmul_peak", lambda *_: 1e9)
    train = TrainConfig(max_steps=3, max_tokens=256, log_every=1, validate_every=100)
    gradients, records = {}, {}
    for precision in (Precision.fp32, Precision.fp16):
        config = run_config(LuongConfig(embedding_dim=13, hidden_dim=14), train=train, precision=precision)
        trainer = trainer_of(config, tmp_path, precision.name)
        trainer.validate = lambda step: {"dev_nll": 1.0, "dev_bleu": 0.0}
        update = trainer.update
        update.max_grad_norm = 0.0
        step, seen = update.optimizer.step, []
        update.optimizer.step = lambda update=update, step=step, seen=seen: (
            seen.append(torch.cat([p.grad.flatten() for p in update.objective.parameters()])) or step()
        )
        if precision is Precision.fp16:
            update.scaler.load_state_dict({**update.scaler.state_dict(), "scale": 2.0**40})
        before = weights(trainer)
        update(0)
        if precision is Precision.fp16:
            assert not seen[0].isfinite().all()
            assert all(torch.equal(value, before[name]) for name, value in weights(trainer).items())
            assert update.scaler.get_scale() == 2.0**39
            update.scaler.load_state_dict({**update.scaler.state_dict(), "scale": 2.0**12})
            update.sums = type(update.sums).zero(update.device)
            update(0)
        gradients[precision] = seen[-1]
        trainer.state.step = 1
        trainer.train()
        records[precision] = metrics(tmp_path / precision.name)[0]
    full, half = gradients.values()
    torch.testing.assert_close(half, full, atol=0.01 * float(full.abs().max()), rtol=0.02)
    full, half = records.values()
    assert half["train/gradient_norm"] == pytest.approx(full["train/gradient_norm"], rel=0.01)
    assert half["train/loss"] == pytest.approx(full["train/loss"], rel=0.01)
    assert half["train/loss_scale"] == 2.0**12
    assert "train/loss_scale" not in full


def test_recomputing_activations_trains_the_same(run_config, trainer_of, tmp_path):
    results = []
    for recompute in (False, True):
        train = TrainConfig(max_steps=2, max_tokens=64, microbatches=2, recompute=recompute)
        trainer = trainer_of(run_config(SMALL, train=train), tmp_path, str(recompute))
        assert trainer.objective.model.recompute == recompute
        trainer.objective.train()
        for step in range(2):
            trainer.update(step)
        results.append(weights(trainer))
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_what_is_frozen_never_changes(run_config, trainer_of, family_config, tmp_path):
    """Neither by decay nor by gradients, and the optimiser knows nothing of it; its average is itself."""
    train = TrainConfig(max_steps=3, max_tokens=64, validate_every=100, freeze=["encoder"], ema_decay=0.9)
    config = run_config(family_config, train=train, optim=AdamConfig(kind=OptimKind.adamw, weight_decay=0.1))
    trainer = trainer_of(config, tmp_path)
    trainer.validate = lambda step: {"dev_nll": 1.0, "dev_bleu": 0.0}
    before = weights(trainer)
    trainer.train()
    for name, value in weights(trainer).items():
        assert torch.equal(value, before[name]) == name.startswith("encoder.")
    for name, average in trainer.update.ema.averages.items():
        assert torch.equal(average, before[name]) == name.startswith("encoder.")
    trained = [p for name, p in trainer.objective.model.named_parameters() if not name.startswith("encoder.")]
    assert set(trainer.update.optimizer.state) == set(trained)


def test_the_gradient_is_that_of_the_whole_update(run_config, trainer_of, family_config, tmp_path):
    """However an update is cut into micro-batches: the summed loss over all its tokens, as one batch of torch's own loss."""
    config = run_config(
        family_config, train=TrainConfig(max_steps=1, max_tokens=64, microbatches=3), loss=LossConfig(chunk_size=5)
    )
    trainer = trainer_of(config, tmp_path)
    seen = {}
    step = trainer.update.optimizer.step
    trainer.update.max_grad_norm = 0.0
    trainer.update.optimizer.step = lambda: (
        seen.update({name: p.grad.clone() for name, p in trainer.objective.named_parameters()}) or step()
    )
    trainer.objective.train()
    model = trainer.objective.model
    total, tokens = 0.0, 0
    for microbatch in trainer.update.plan.update(0):
        batch = make_batch(trainer.update.split, microbatch)
        hidden = model.decode(batch.target_in, batch.target_layout, model.encode(batch.source, batch.source_layout))
        for b, length in enumerate(batch.target_layout.lengths.tolist()):
            logits = model.output(hidden[b, :length])
            total = total + nn.functional.cross_entropy(
                logits, batch.target_out[b, :length], reduction="sum", label_smoothing=config.loss.label_smoothing
            )
            tokens += length
    expected = torch.autograd.grad(total / tokens, list(trainer.objective.parameters()))
    trainer.update(0)
    for (name, gradient), reference in zip(seen.items(), expected, strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-6, rtol=1e-4, msg=name)


def test_the_norm_is_clipped(run_config, trainer_of, family_config, tmp_path):
    trainer = trainer_of(run_config(family_config), tmp_path)
    trainer.update.max_grad_norm = 1e-3
    norms = []
    step = trainer.update.optimizer.step
    trainer.update.optimizer.step = lambda: (
        norms.append(torch.cat([p.grad.flatten() for p in trainer.objective.parameters()]).norm().item()) or step()
    )
    trainer.update(0)
    assert norms == [pytest.approx(1e-3, rel=1e-3)]
    assert (float(trainer.update.sums.clipped), float(trainer.update.sums.bad)) == (1, 0)
    assert float(trainer.update.sums.largest_norm) == float(trainer.update.sums.norm) > 1e-3
    trainer.update.max_grad_norm = 0.0
    trainer.update(1)
    assert float(trainer.update.sums.clipped) == 1


def test_norms_of_parameters_and_gradients_are_logged_on_request(run_config, trainer_of, family_config, tmp_path):
    config = run_config(
        family_config,
        tracking=TrackingConfig(tensorboard=False, num_samples=1, statistics=True),
        train=TrainConfig(max_steps=3, max_tokens=256, log_every=2, validate_every=3),
    )
    trainer = trainer_of(config, tmp_path)
    trainer.train()
    logged = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    names = {name for name, _ in trainer.objective.model.named_parameters()}
    assert {key.partition("/")[2] for key in logged if key.startswith("gradients/")} == names
    assert {key.partition("/")[2] for key in logged if key.startswith("weights/")} == names
    total = sum(logged[f"gradients/{name}"] ** 2 for name in names) ** 0.5
    assert total <= logged["train/largest_gradient_norm"] * 1.0001
    assert total > 0


@pytest.mark.promise(5)
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(run_config, trainer_of, family_config, tmp_path, poison):
    config = run_config(
        family_config, train=TrainConfig(max_steps=20, max_tokens=256, log_every=4, validate_every=100, max_bad_steps=3)
    )
    trainer = trainer_of(config, tmp_path)
    trainer.update(0)
    before = weights(trainer)
    state = {name: value.clone() for name, value in next(iter(trainer.update.optimizer.state.values())).items()}
    backward = trainer.update.backward

    def poisoned(*args):
        backward(*args)
        next(trainer.objective.parameters()).grad.view(-1)[0] = poison

    trainer.update.backward = poisoned
    trainer.update(1)
    assert all(torch.equal(value, before[name]) for name, value in weights(trainer).items())
    after = next(iter(trainer.update.optimizer.state.values()))
    assert all(torch.equal(after[name], value) for name, value in state.items())
    with pytest.raises(TrainingError, match=r"step 4: .*max_bad_steps"):
        trainer.train()
    assert all(torch.equal(value, before[name]) for name, value in weights(trainer).items())


@pytest.mark.promise(5)
def test_a_streak_of_bad_gradients_counts_wherever_it_ends(run_config, trainer_of, tmp_path):
    """Updates 2 to 4 are bad, with a log after the third update and a resume after the fourth; the fifth is good again."""
    model = LuongConfig(embedding_dim=13, hidden_dim=14)
    train = TrainConfig(max_steps=6, max_tokens=256, log_every=3, validate_every=100, save_every=4, max_bad_steps=3)
    config = run_config(model, train=train)

    def poisoned(name, max_steps):
        trainer = trainer_of(replace(config, train=replace(train, max_steps=max_steps)), tmp_path, name)
        trainer.validate = lambda step: {"dev_nll": 1.0, "dev_bleu": 0.0}
        change_weights = trainer.update._change_weights

        def poison(step):
            if step in (1, 2, 3):
                next(trainer.objective.parameters()).grad[0, 0] = float("nan")
            change_weights(step)

        trainer.update._change_weights = poison
        return trainer

    assert poisoned("run", 4).train() == "max_steps"
    resumed = poisoned("run", 6)
    resumed.resume(resumed.checkpoints.load_latest())
    for trainer in (poisoned("whole", 6), resumed):
        with pytest.raises(TrainingError, match="step 6: the gradients of 3 updates in a row"):
            trainer.train()


def test_checkpoints_between_validations(run_config, trainer_of, tmp_path):
    """And the time that they hold is that of all that came before, the last validation too."""
    train = TrainConfig(max_steps=7, max_tokens=256, log_every=2, validate_every=5, save_every=3, keep_last=9)
    trainer = trainer_of(run_config(LuongConfig(embedding_dim=13, hidden_dim=14), train=train), tmp_path)
    trainer.validate = lambda step: time.sleep(0.2) or {"dev_nll": 1.0, "dev_bleu": 0.0}
    assert trainer.train() == "max_steps"
    assert trainer.checkpoints.steps() == [3, 5, 6, 7]
    saved = {step: trainer.checkpoints.load(step).meta["state"] for step in (3, 5, 6, 7)}
    assert [state["validated_step"] for state in saved.values()] == [0, 5, 5, 7]
    assert saved[3]["elapsed_s"] + 0.2 < saved[5]["elapsed_s"] < saved[6]["elapsed_s"] < saved[7]["elapsed_s"] - 0.2
    assert trainer.state.elapsed_s == saved[7]["elapsed_s"]


@pytest.mark.parametrize(
    ("limits", "reason", "step"),
    [
        ({"max_steps": 7}, "max_steps", 7),
        ({"max_epochs": 1, "max_steps": 99}, "max_epochs", None),
        ({"max_time": 0, "max_steps": 99}, "max_time", 0),
        ({"patience": 2, "max_steps": 99}, "patience", None),
    ],
)
def test_the_first_limit_wins(run_config, trainer_of, family_config, tmp_path, limits, reason, step):
    train = TrainConfig(max_tokens=1024, validate_every=2, log_every=2, metric=Metric.nll, **limits)
    trainer = trainer_of(run_config(family_config, train=train), tmp_path)
    scores = iter([3.0, 2.0, 2.5, 2.5, 2.5])
    trainer.validate = lambda step: {"dev_nll": next(scores), "dev_bleu": 0.0}
    if reason != "patience":
        trainer.validate = lambda step: {"dev_nll": 1.0 / (step + 1), "dev_bleu": 0.0}
    assert trainer.train() == reason
    expected = {"max_epochs": trainer.update.plan.steps(1), "patience": 8}.get(reason, step)
    assert trainer.state.step == expected
    if reason == "patience":
        assert trainer.state.best_step == 4
        assert (tmp_path / "run/checkpoints/best").read_text() == "step-00000004\n"


def test_seeds_of_microbatches_are_their_own():
    seeds = {microbatch_seed(seed, step, m) for seed in range(5) for step in range(50) for m in range(4)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_the_share_of_the_peak_counts_real_positions_alone(run_config, trainer_of, family_config, tmp_path, monkeypatch):
    """From what torch's own counter finds in an update, and a machine of a known peak."""
    monkeypatch.setattr("nmt.training.trainer.matmul_peak", lambda *_: 1e9)
    train = TrainConfig(max_steps=2, max_tokens=1024, log_every=1, validate_every=100)
    trainer = trainer_of(run_config(family_config, train=train), tmp_path)
    trainer.validate = lambda step: {"dev_nll": 1.0, "dev_bleu": 0.0}
    trainer.train()
    record = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    other = trainer_of(run_config(family_config, train=train), tmp_path, "other").update
    other.objective.train()
    with FlopCounterMode(display=False) as counter:
        other(0)
    sums = other.sums
    in_place = 2 * sums.tokens * other.objective.model.output_layer().weight.numel()  # torch's counter does not see addmm_
    expected = (counter.get_total_flops() + in_place) * sums.real_positions / sums.positions
    busy_s = sums.tokens / record["train/tokens_per_s"]
    assert record["train/mfu"] == pytest.approx(expected / busy_s / 1e9, rel=1e-3)
