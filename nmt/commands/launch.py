"""From a command line to a checked configuration to a command: the only code that knows Hydra and OmegaConf."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import logging
import os
import re
import signal
import sys
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nmt import distributed
from nmt.commands import options
from nmt.config import VARIANTS, Config, SearchConfig, TokenizerConfig
from nmt.conversion import from_dict, suggestion
from nmt.errors import ConfigError, RunFailure, UserError

log = logging.getLogger("nmt")

SCHEMAS: dict[str, type] = {
    "run": Config,
    "prepare": Config,
    "train": Config,
    "evaluate": options.EvaluateCommand,
    "translate": options.TranslateCommand,
    "score": options.ScoreCommand,
    "align": options.AlignCommand,
    "attend": options.AttendCommand,
    "faithfulness": options.FaithfulnessCommand,
    "heads": options.HeadsCommand,
    "average": options.AverageCommand,
    "compare": options.CompareCommand,
    "list": options.ListCommand,
}

SHARED = ("run", "train", "evaluate")
"""Commands whose work several processes share."""


def launch(command: str, conf: Path) -> int:
    """Compose the settings of a command line from the files in ``conf``, run the command, and turn what users can mend into one message.

    Returns the exit status: 0 done, 1 failed, 2 wrong settings or input; 128 + signal where one ended the command.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come to us as they are
    schema = SCHEMAS[command]
    _register(schema)
    status = 0

    def task(composed: DictConfig) -> None:
        nonlocal status
        try:
            status = max(status, _call(command, schema, composed))
        except UserError as error:  # caught here, before Hydra prints a line of its own about it
            status = _refuse(command, error)
        except RunFailure as error:
            print(f"FAILED {error}", file=sys.stderr)
            status = max(status, 1)
        except KeyboardInterrupt:  # where there is nothing to be saved
            print(f"nmt {command}: interrupted", file=sys.stderr)
            status = 128 + signal.SIGINT
        except BrokenPipeError:  # nobody reads on; what is left in the buffer goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 128 + signal.SIGPIPE

    name = "config" if schema is Config else command
    try:
        if command not in SHARED and distributed.world_size() > 1:
            raise ConfigError(f"`nmt {command}` is one process, but torchrun has started {distributed.world_size()}")
        if {"-m", "--multirun"} & set(sys.argv) and distributed.world_size() > 1:
            raise ConfigError("`-m` starts runs one after the other and cannot be used under torchrun")
        hydra.main(version_base="1.3", config_path=str(conf), config_name=name)(task)()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 128 + signal.SIGINT
    except UserError as error:
        return _refuse(command, error)
    except (HydraException, OmegaConfBaseException) as error:
        return _refuse(command, ConfigError(explain(error, schema)))
    return status


def compose(command: str, overrides: list[str], conf: Path) -> Any:
    """The settings that ``nmt COMMAND OVERRIDES`` would run with, for scripts.

    Raises:
        ConfigError: what the command would refuse.
    """
    schema = SCHEMAS[command]
    _register(schema)
    try:
        with hydra.initialize_config_dir(str(conf), version_base="1.3"):
            composed = hydra.compose("config" if schema is Config else command, overrides)
        return from_dict(schema, _values(composed))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, schema)) from None


def _values(composed: DictConfig) -> dict[str, Any]:
    if missing := sorted(OmegaConf.missing_keys(composed)):
        raise ConfigError(f"{' and '.join(f'`{key}`' for key in missing)} must be given")
    values = OmegaConf.to_container(composed, resolve=True, enum_to_str=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _call(command: str, schema: type, composed: DictConfig) -> int:
    values = _values(composed)
    if HydraConfig.get().mode is RunMode.MULTIRUN and schema is Config:
        values["name"] = _sweep_name(values["name"], HydraConfig.get().job.override_dirname)
    settings: Any = from_dict(schema, values)
    status: int = importlib.import_module(f"nmt.commands.{command}").main(settings)
    return status


def _register(schema: type) -> None:
    store = ConfigStore.instance()
    root = OmegaConf.structured(schema)
    for name, hint in typing.get_type_hints(schema).items():
        if hint in VARIANTS:
            root[name] = MISSING  # its group says which class; one could not be laid over another
    store.store(name="schema", node=root)
    for base, variants in VARIANTS.items():
        group = base.__name__.removesuffix("Config").lower()
        for kind, variant in variants.items():
            store.store(group=group, name=f"{kind.name}_schema", node=_node(variant))
    for group, node in (
        ("tokenizer", TokenizerConfig),
        ("search", SearchConfig),
    ):
        store.store(group=group, name=f"{group}_schema", node=node)


def _node(schema: type) -> type:
    """The schema as Hydra can add to it on a command line: what settings a dictionary may have is checked with all others, by us."""
    hints = typing.get_type_hints(schema)
    free = {name: dict[str, Any] for name, hint in hints.items() if typing.get_origin(hint) is dict}
    fields: list[tuple[str, Any, Any]] = [(name, hint, dataclasses.field(default_factory=dict)) for name, hint in free.items()]
    return dataclasses.make_dataclass(schema.__name__, fields, bases=(schema,), kw_only=True) if fields else schema


def _sweep_name(name: str, overrides: str) -> str:
    """A run's name in a sweep: the overrides stand behind the name, cut short with a hash of all of them where they are long."""
    full = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name}-{overrides}" if overrides else name)
    return full if len(full) <= 64 else f"{full[:55]}-{hashlib.sha256(overrides.encode()).hexdigest()[:8]}"


def _refuse(command: str, error: UserError) -> int:
    if distributed.is_main():
        print(f"nmt {command}: {error}", file=sys.stderr)
    elif not isinstance(error, ConfigError):  # the settings are the same in all processes
        print(f"nmt {command}, process {distributed.rank()}: {error}", file=sys.stderr)
    return 2


def explain(error: Exception, schema: type) -> str:
    """What is wrong with a command line, in one line: the key or choice, and the nearest that exists."""
    cause = error.__cause__ or error
    message = f"{error}\n{cause}"
    key = str(getattr(cause, "full_key", None) or _search(r"Could not override '([^']*)'", message) or "")
    choice = re.search(r"Could not find '([^']*)'\n\nAvailable options in '([^']*)':\n((?:\t.*\n?)*)", message)
    if choice:
        path, group, available = choice.groups()
        names = sorted(name for name in available.split() if not name.endswith("_schema"))
        word = path.removeprefix(f"{group}/")
        return f"`{group}={word}` does not exist; there are {', '.join(names)}{suggestion(word, names)}"
    expected = re.search(r"Invalid value '([^']*)', expected one of \[([^]]*)\]", message)
    if expected:
        value, members = expected.group(1), expected.group(2).split(", ")
        return f"`{key}` must be one of {', '.join(members)}, but is {value!r}{suggestion(value, members)}"
    if key and re.search(r"not in struct|not in '|Could not override", message):
        keys = list(_keys(schema))
        if key in keys:  # of another variant
            return f"`{key}` is not a setting of the `{key.split('.')[0]}` that is chosen"
        return f"`{key}` is not a setting{suggestion(key, keys)}"
    if key and "Missing mandatory value" in message:
        return f"`{key}` must be given"
    if unread := _search(r"LexerNoViableAltException: (.*)", message):
        name, _, value = unread.partition("=")
        return f"`{unread}` cannot be read: quote the value and the whole, such as '{name}=\"{value}\"'"
    reason = str(cause).splitlines()[0]
    return f"`{key}`: {reason}" if key and key not in reason else reason


def _search(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match.group(1) if match else None


def _keys(schema: type, prefix: str = "") -> Iterator[str]:
    """Every key of a schema, those of all variants among them."""
    hints = typing.get_type_hints(schema)
    for f in dataclasses.fields(schema):
        yield prefix + f.name
        hint: Any = hints[f.name]
        for variant in VARIANTS.get(hint, {Enum: hint}).values():
            if dataclasses.is_dataclass(variant):
                yield from _keys(variant, f"{prefix}{f.name}.")
    if not prefix and schema is Config:
        yield from ("experiment", "debug")
