"""``nmt COMMAND [overrides]``: finds the command word; the rest of the line is Hydra's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from nmt import __version__
from nmt.conversion import suggestion
from nmt.startup import tune_process

COMMANDS = {
    "run": "prepare, train, evaluate, align and report, in one go",
    "prepare": "read, clean and tokenize parallel text into a store of ids",
    "train": "prepare, then train until a limit is reached",
    "evaluate": "score a finished run: BLEU and chrF with signatures",
    "translate": "translate lines of a file or of standard input",
    "score": "log-probabilities of given translations",
    "average": "the mean of several checkpoints, or of several runs, as a run",
    "compare": "several runs on one test set: scores, significance, the sentences that differ most",
    "list": "the runs there are: state, step, scores",
    "heads": "how important each head of a Transformer is, and a run without some of them",
    "align": "heatmaps, attention arrays, word links and their error rate",
    "attend": "the attention of every layer and head, as arrays or JSON",
    "faithfulness": "how far attention, and other attributions, can be trusted",
}

USAGE = "\n".join(
    [
        f"nmt {__version__}: train, evaluate and look into translation models",
        "",
        "usage: nmt COMMAND [key=value ...] [--help] [--cfg job] [-m]",
        "",
        *(f"  {name:12} {text}" for name, text in COMMANDS.items()),
        "",
        "A first run, on the built-in corpus:  nmt run experiment=quickstart",
        "On your own two files:                nmt run data=files data.source=my.de data.target=my.en",
        "All settings of a command:            nmt COMMAND --help",
        'Completion of keys in bash:           eval "$(nmt -sc install=bash)"',
    ]
)


def start() -> None:
    """Entry point of the ``nmt`` command: :func:`main`, for a command that computes in a process that is tuned for it."""
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        tune_process()
    main()


def main() -> None:
    """Find the command and run it. Exit status: 0 done, 1 failed, 2 wrong settings or input, 130 and 143 interrupted."""
    words = sys.argv[1:]
    if words and words[0] in ("-sc", "--shell-completion", "--shell_completion"):
        command = _command_to_complete()
        if command is None:
            return
    elif not words or words[0] in ("-h", "--help", "help"):
        print(USAGE)
        sys.exit(0 if words else 2)
    elif words[0] == "--version":
        print(__version__)
        return
    elif words[0] in COMMANDS:
        command = words[0]
        del sys.argv[1]
    else:
        print(f"nmt: {words[0]!r} is not a command{suggestion(words[0], COMMANDS)}\n\n{USAGE}", file=sys.stderr)
        sys.exit(2)
    from nmt.commands.launch import launch  # Hydra is loaded only for a command that exists

    sys.exit(launch(command, conf_dir()))


def conf_dir() -> Path:
    """The folder of configuration files: inside the package where it was installed from a wheel, otherwise beside it."""
    package = Path(__file__).resolve().parent
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


def _command_to_complete() -> str | None:
    """The command whose keys are to be completed, cut out of ``COMP_LINE``; None after completing the command word itself."""
    line = os.environ.get("COMP_LINE")
    if line is None:  # `-sc install=...` is the same for all commands
        return "run"
    program, _, rest = line.partition(" ")
    command, space, overrides = rest.lstrip().partition(" ")
    if not space or command not in COMMANDS:
        print(" ".join(name for name in COMMANDS if name.startswith(command)))
        return None
    os.environ["COMP_LINE"] = f"{program} {overrides}"
    return command
