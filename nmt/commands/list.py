"""``nmt list``: the runs there are, with their states and scores."""

from __future__ import annotations

from pathlib import Path

from nmt.commands.options import ListCommand
from nmt.errors import ConfigError, UserError
from nmt.run_folder import RunFolder
from nmt.tables import format_table


def main(command: ListCommand) -> int:
    folder = Path(command.output_dir)
    if not folder.is_dir():
        raise ConfigError(f"`output_dir` must be a folder of runs, but there is no {folder}")
    runs = [RunFolder(path.parent) for path in sorted(folder.glob(f"{command.pattern}/config.yaml"))]
    if not runs:
        print(f"there is no run in {folder} whose name matches {command.pattern}")
        return 0
    print(format_table(["run", "model", "data", "state", "step", "best", "scores", "training"], [row(run) for run in runs]))
    return 0


def row(run: RunFolder) -> list[str]:
    """What there is to say of a run."""
    try:
        config, status = run.config(), run.status
    except UserError as error:
        return [run.path.name, "", "", f"cannot be read: {error}", "", "", "", ""]
    state = status.get("state", "")
    best = status.get("best") or {}
    validated = [f"dev {name} {score:.2f}" for name, score in best.items() if name != "step" and score is not None]
    scores = [f"{name} {value}" for name, value in status.get("scores", {}).items()]
    return [
        run.path.name,
        config.model.kind.name,
        config.data.kind.name,
        "stopped without a word" if state == "training" and not run.is_in_use else state,
        str(status.get("step", max(run.checkpoints.steps(), default=0))),
        " ".join(validated),
        " ".join(scores),
        status.get("training_time", ""),
    ]
