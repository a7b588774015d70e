"""Imports point down only: what each part of the package may import of the others."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nmt"

BASE = {
    "errors",
    "config",
    "conversion",
    "refusals",
    "rules",
    "files",
    "text",
    "tables",
    "layout",
    "operand",
    "hardware",
    "distributed",
}
ALLOWED = {
    "errors": set(),
    "config": set(),
    "conversion": {"config", "errors"},
    "refusals": {"config"},
    "rules": {"config", "conversion", "errors", "refusals"},
    "files": set(),
    "text": set(),
    "tables": set(),
    "layout": set(),
    "startup": set(),
    "dropout": set(),
    "operand": set(),
    "cells": set(),
    "distributed": {"errors"},
    "hardware": {"config", "errors", "startup", "distributed"},
    "provenance": {"__init__", "hardware"},
    "attention": {"attention", "layout", "dropout", "operand", "cells"},
    "models": {"models", "attention", "layout", "dropout", "operand", "cells", "config"},
    "data": {"data", *BASE},
    "decoding": {"decoding", "models", "data", *BASE},
    "evaluation": {"evaluation", "decoding", "data", *BASE},
    "alignment": {"alignment", "attention", "models", "decoding", "data", *BASE},
    "report": {"report", "alignment", "data", *BASE},
    "tracking": BASE,
    "training": {"training", "models", "attention", "data", "tracking", *BASE},
    "validation": {"report", "alignment", "evaluation", "decoding", "training", "data", "tracking", *BASE},
    "run_folder": {"training", "models", "data", *BASE},
    "cli": {"__init__", "startup", "conversion", "commands"},
    "__main__": {"cli"},
    "__init__": set(),
}


def unit(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "nmt":
                submodules = {alias.name for alias in node.names if (PACKAGE / f"{alias.name}.py").exists()}
                modules |= {f"nmt.{name}" for name in submodules} or {"nmt"}
            else:
                modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return modules


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    modules = imported(path)
    name = unit(".".join(["nmt", *path.relative_to(PACKAGE).with_suffix("").parts]))
    if name != "commands":
        allowed = ALLOWED[name]
        upward = {module for module in modules if module.split(".")[0] == "nmt" and unit(module) not in allowed}
        assert not upward, f"{path} imports {upward}"
        assert not {module for module in modules if module.split(".")[0] in ("hydra", "omegaconf")}
    if name == "attention":
        assert {module.split(".")[0] for module in modules} <= {
            "__future__",
            "abc",
            "collections",
            "contextlib",
            "dataclasses",
            "enum",
            "math",
            "typing",
            "torch",
            "jaxtyping",
            "nmt",
        }


def test_config_needs_the_standard_library_alone():
    import subprocess
    import sys

    code = (
        "import sys; import nmt.cli, nmt.rules; print([m for m in ('torch', 'numpy', 'hydra', 'datasets') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


HEAVY = ("datasets", "pyarrow", "pandas", "matplotlib", "tensorboard", "sacrebleu", "rich", "jinja2", "torch._dynamo", "sympy")


def test_training_imports_what_it_needs_when_it_needs_it():
    """A run that was prepared gets through its first update, and saves its optimiser, without any of these."""
    import subprocess
    import sys

    code = f"""
import sys, torch
import nmt.commands.run, nmt.commands.train
from nmt.config import VARIANTS, OptimConfig
from nmt.training.optim import build_optimizer
model = torch.nn.Linear(2, 3)
for kind, config in VARIANTS[OptimConfig].items():
    optimizer = build_optimizer(model, config(kind=kind))
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.promise(4)
def test_nothing_that_can_run_code_from_a_file():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for word in ("pickle", "weights_only=False", "yaml.load(", "instantiate", "eval(", "exec("):
            if word == "eval(":
                assert not [line for line in text.splitlines() if "eval(" in line and ".eval()" not in line], path
            else:
                assert word not in text.replace("allow_pickle=False", ""), f"{path}: {word}"


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_scripts_import_what_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nmt":
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}"), alias.name
