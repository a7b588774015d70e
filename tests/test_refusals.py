"""The table of what does not go together, walked; and that nothing else is refused."""

import itertools
from enum import Enum

import pytest
from covering import RECURRENT, TRANSFORMER, covering_sets, has_setting, make, with_setting

from nmt.config import VARIANTS, ModelConfig, TransformerConfig
from nmt.refusals import REFUSALS, refusal

CANDIDATES = {bool: [False, True], int: [0, 1, 2], float: [0.0, 0.5, 1.0, 2.0]}


def value_of(model, name):
    for key in name.split("."):
        model = getattr(model, key)
    return model


def candidates(model, name):
    """Values that a setting may have, by the type of the one it has."""
    value = value_of(model, name)
    if name == "kind":
        return [value]
    return list(type(value)) if isinstance(value, Enum) else CANDIDATES[type(value)]


def names(rule):
    return f"{rule.first.name}-{rule.second.name}-{rule.why[:20]}"


@pytest.mark.parametrize("rule", REFUSALS, ids=names)
def test_every_pair_of_values_in_the_table_is_refused(rule):
    reasons = []
    for cls in VARIANTS[ModelConfig].values():
        model = cls()
        if not (has_setting(model, rule.first.name) and has_setting(model, rule.second.name)):
            continue
        for first, second in itertools.product(candidates(model, rule.first.name), candidates(model, rule.second.name)):
            changed = with_setting(with_setting(model, rule.first.name, first), rule.second.name, second)
            if rule.first.holds(value_of(changed, rule.first.name)) and rule.second.holds(value_of(changed, rule.second.name)):
                reasons.append(refusal(changed))
    assert reasons
    assert all(reason is not None for reason in reasons)
    assert any(rule.why in reason and rule.first.name in reason and rule.second.name in reason for reason in reasons)


@pytest.mark.parametrize("cls", VARIANTS[ModelConfig].values())
def test_defaults_go_together(cls):
    assert refusal(cls()) is None


@pytest.mark.long
@pytest.mark.parametrize("axes", [RECURRENT, TRANSFORMER], ids=["recurrent", "transformer"])
def test_every_pair_that_is_not_refused_is_in_the_covering_set(axes):
    """Which the models' contract is tested with; a pair that is missing there is refused whatever the other settings are."""
    configs = [config for config in covering_sets().values() if isinstance(config, TransformerConfig) is (axes is TRANSFORMER)]
    usual = {name: values[0] for name, values in axes.items()}
    missing = []
    for (a, of_a), (b, of_b) in itertools.combinations(axes.items(), 2):
        for x, y in itertools.product(of_a, of_b):
            wanted = [(name, value) for name, value in ((a, x), (b, y)) if name != "kind"]
            kinds = [value for name, value in ((a, x), (b, y)) if name == "kind"]
            if not any(
                (not kinds or config.kind is kinds[0].kind)
                and all(has_setting(config, name) and value_of(config, name) == value for name, value in wanted)
                for config in configs
            ):
                missing.append(wanted if not kinds else [("kind", kinds[0]), *wanted])
    assert missing
    for pair in missing:
        row = {**usual, **dict(pair)}
        models = [row["kind"]] if any(name == "kind" for name, _ in pair) else axes["kind"]
        for model in models:
            if all(has_setting(model, name) for name, _ in pair):
                assert refusal(make({**row, "kind": model})) is not None, pair
