"""``nmt average run=outputs/A last=5 output=outputs/B``: the mean of several checkpoints, or of several runs, as a run of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from nmt.commands.options import AverageCommand
from nmt.config import Weights
from nmt.errors import ConfigError
from nmt.models import build_model
from nmt.run_folder import AVERAGED, RunFolder, load_initial, load_run, write_made
from nmt.training.checkpoint import average, distinct, load_weights


def main(command: AverageCommand) -> int:
    if bool(command.run) == bool(command.runs) or (command.run and command.last < 1):
        raise ConfigError("either `run` and `last`, at least 1, or `runs` must be given")
    output = Path(command.output)
    if output.exists():
        raise ConfigError(f"`output` must be a new folder, but {output} exists")
    paths = [Path(path) for path in command.runs or [command.run or ""]]
    first = RunFolder(paths[0])
    config, model, tokenizers = load_run(paths[0], Weights.latest if command.run else None, torch.device("cpu"))
    if command.run:
        weights, steps = first.checkpoints.weights(Weights.average, command.last)
        made_of = {str(paths[0]): steps}
    else:
        states = [distinct(model.state_dict())]
        for path in paths[1:]:
            other = build_model(config.model, tokenizers.vocab_sizes)
            load_initial(other, path, tokenizers)
            states.append(distinct(other.state_dict()))
        weights, steps = average(states), [max(first.checkpoints.steps())]
        made_of = {str(path): RunFolder(path).checkpoints.steps()[-1:] for path in paths}
    load_weights(model, weights)
    write_made(output, first, config, model, step=max(steps), state=AVERAGED, made_of=made_of)
    print(f"the mean of {', '.join(f'{path}: steps {steps}' for path, steps in made_of.items())} is in {output}")
    return 0
