import dataclasses
from enum import Enum

import pytest

from nmt import config as options
from nmt.commands.options import SearchOverrides, TranslateCommand
from nmt.config import (
    AdadeltaConfig,
    AdafactorConfig,
    AdamConfig,
    AlignmentConfig,
    AnnealingConfig,
    AttentionConfig,
    Attribution,
    BahdanauConfig,
    BuiltinDataConfig,
    Config,
    CorpusConfig,
    Coverage,
    EvaluationConfig,
    ExponentialConfig,
    FilesDataConfig,
    GnmtConfig,
    LossConfig,
    LuongConfig,
    PlateauConfig,
    Position,
    RecurrentAttentionConfig,
    RecurrentScope,
    Score,
    SearchConfig,
    SelfAttentionConfig,
    SgdConfig,
    TokenizerConfig,
    TrainConfig,
    TransformerConfig,
    Weights,
)
from nmt.conversion import from_dict, seconds, to_dict
from nmt.errors import ConfigError
from nmt.rules import validate


def whole(**changes) -> Config:
    return Config(**{"data": BuiltinDataConfig(), "model": LuongConfig(), "train": TrainConfig(max_steps=1), **changes})


def test_round_trip_through_a_plain_dictionary():
    config = whole(train=TrainConfig(max_steps=1, freeze=["encoder", "embeddings.source"]))
    plain = to_dict(config)
    assert plain["train"]["freeze"] == ["encoder", "embeddings.source"]
    assert plain["model"]["kind"] == "luong"
    assert plain["model"]["attention"]["score"] == "general"
    assert from_dict(Config, plain) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trian": {}}, "`trian` is not a setting; did you mean `train`"),
        ({"model": {"kind": "luong", "_target_": "os.system"}}, "`model._target_` is not a setting"),
        ({"model": {"kind": "os.system"}}, "`model.kind` must be one of bahdanau, conditional_gru, luong, gnmt, transformer"),
        ({"model": {"kind": "bahdanau", "input_feeding": True}}, "`model.input_feeding` is not a setting"),
        ({"optim": {"kind": "sgd", "beta1": 0.9}}, "`optim.beta1` is not a setting of `optim.kind=sgd`"),
        ({"schedule": {"kind": "cosine", "patience": 2}}, "`schedule.patience` is not a setting of `schedule.kind=cosine`"),
        ({"seed": "one"}, "`seed` must be int, but is 'one'"),
        ({"seed": True}, "`seed` must be int, but is True"),
        ({"train": {"max_steps": 1.5}}, "`train.max_steps` must be int or null, but is 1.5"),
        ({"train": {"freeze": "encoder"}}, "`train.freeze` must be list, but is 'encoder'"),
        ({"train": {"freeze": ["encoder", 3]}}, "`train.freeze[1]` must be str, but is 3"),
        ({"device": "tpu"}, "`device` must be one of auto, cpu, cuda"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(ConfigError) as error:
        from_dict(Config, {**to_dict(whole()), **change})
    assert message in str(error.value)


def test_a_missing_setting_is_named():
    with pytest.raises(ConfigError, match="`data`"):
        from_dict(Config, {"model": {"kind": "luong"}})


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), (90, 90), ("90", 90), ("90s", 90), ("20m", 1200), ("1h30m", 5400), ("2h", 7200)]
)
def test_times(value, expected):
    assert seconds(value) == expected


@pytest.mark.parametrize("value", ["", "soon", "1d", "-5", "1m1h"])
def test_what_is_no_time(value):
    with pytest.raises(ConfigError, match=r"train\.max_time"):
        seconds(value)


GUIDED = LossConfig(alignment_weight=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../x"}, "`name`"),
        ({"name": "/abs"}, "`name`"),
        ({"name": ".hidden"}, "`name`"),
        ({"train": TrainConfig()}, "training has no end"),
        ({"train": TrainConfig(max_steps=1, average_last=4, keep_last=3)}, "`train.average_last`"),
        ({"train": TrainConfig(max_steps=1, log_every=0)}, "`train.log_every` must be at least 1, but is 0"),
        ({"model": TransformerConfig(model_dim=100, num_heads=8)}, r"`model.num_heads` \(8\), but is 100"),
        ({"model": TransformerConfig(num_heads=0)}, "`model.num_heads` must be at least 1, but is 0"),
        ({"model": TransformerConfig(dropout=1.0)}, "`model.dropout` must be at least 0 and below 1"),
        ({"model": LuongConfig(attention=RecurrentAttentionConfig(attention_dim=0))}, "`model.attention.attention_dim` must be"),
        ({"model": LuongConfig(hidden_dim=33)}, "`model.hidden_dim` must be even"),
        (
            {"train": TrainConfig(max_steps=1, ema_decay=1.0)},
            "`train.ema_decay` must be above 0 and below 1, or null, but is 1.0",
        ),
        ({"evaluation": EvaluationConfig(weights=Weights.ema)}, "`evaluation.weights=ema` needs `train.ema_decay`"),
        (
            {"train": TrainConfig(max_steps=1, recompute=True)},
            "`train.recompute` is for `model=transformer`, but the model is luong",
        ),
        ({"optim": AdamConfig(beta2=1.0)}, "`optim.beta2` must be at least 0 and below 1, but is 1.0"),
        ({"optim": AdadeltaConfig(eps=-1.0)}, "`optim.eps` must be at least 0"),
        ({"optim": SgdConfig(nesterov=True)}, "`optim.nesterov` needs `optim.momentum` above 0"),
        ({"optim": AdafactorConfig(beta2_decay=0.8)}, "`optim.beta2_decay` must be at most 0"),
        ({"schedule": ExponentialConfig(rate=2.0)}, "`schedule.rate` must be above 0 and below 1, but is 2.0"),
        ({"schedule": ExponentialConfig(every=0)}, "`schedule.every` must be at least 1"),
        ({"schedule": AnnealingConfig(final_factor=1.5)}, "`schedule.final_factor` must be at least 0 and at most 1"),
        (
            {"schedule": PlateauConfig(patience=3), "train": TrainConfig(patience=3)},
            r"`schedule.patience` must be below `train.patience` \(3\), which ends training, but is 3",
        ),
        ({"search": SearchConfig(num_best=0)}, "`search.num_best` must be at least 1, but is 0"),
        ({"search": SearchConfig(num_best=6)}, r"`search.num_best` must be at most `search.beam_size` \(5\), but is 6"),
        ({"search": SearchConfig(max_source_length=0)}, "`search.max_source_length` must be at least 1, but is 0"),
        ({"search": SearchConfig(coverage_penalty=-0.1)}, "`search.coverage_penalty` must be at least 0, but is -0.1"),
        (
            {"model": TransformerConfig(decoder_cross=AttentionConfig(score=Score.location))},
            "`model.decoder_cross.score=location` does not go with `model.kind=transformer`: it has no keys that heads could share",
        ),
        (
            {"model": TransformerConfig(decoder_self=SelfAttentionConfig(num_sinks=4))},
            "`model.decoder_self.num_sinks=4` does not go with `model.decoder_self.scope=full`: it belongs to a window",
        ),
        (
            {"model": TransformerConfig(decoder_self=SelfAttentionConfig(linear=True, dropout=0.1))},
            "`model.decoder_self.dropout=0.1` does not go with `model.decoder_self.linear=true`: it acts on weights of single",
        ),
        (
            {"model": TransformerConfig(position=Position.alibi, decoder_self=SelfAttentionConfig(linear=True))},
            "`model.position=alibi` does not go with `model.decoder_self.linear=true`: it acts on scores",
        ),
        (
            {"model": TransformerConfig(encoder_self=SelfAttentionConfig(num_kv_heads=3))},
            "`model.num_heads` .4. must be a multiple of `model.encoder_self.num_kv_heads`, which is 3",
        ),
        (
            {"model": TransformerConfig(encoder_self=SelfAttentionConfig(num_kv_heads=0))},
            "`model.encoder_self.num_kv_heads` must be at least 1, but is 0",
        ),
        (
            {"model": TransformerConfig(model_dim=20, num_heads=4, position=Position.rotary)},
            "`model.position=rotary` turns pairs, but a head has 5 dimensions",
        ),
        (
            {"model": TransformerConfig(encoder_self=SelfAttentionConfig(temperature=0.0))},
            "`model.encoder_self.temperature` must be above 0, but is 0.0",
        ),
        (
            {"model": LuongConfig(attention=RecurrentAttentionConfig(score=Score.location, scope=RecurrentScope.local_m))},
            "`model.attention.score=location` does not go with `model.attention.scope=local_m`: the window may lie beyond",
        ),
        (
            {"model": LuongConfig(attention=RecurrentAttentionConfig(score=Score.general, coverage=Coverage.neural))},
            "`model.attention.coverage=neural` does not go with `model.attention.score=general`: a coverage vector enters the hidden",
        ),
        (
            {"model": LuongConfig(attention=RecurrentAttentionConfig(score=Score.general, scope=RecurrentScope.final))},
            "`model.attention.scope=final` does not go with `model.encoder_direction=both`: its encoder reads in both",
        ),
        (
            {"model": TransformerConfig(pruned_heads={"decoder.cros.0": [1]})},
            "`model.pruned_heads.decoder.cros.0` is no attention of the model; did you mean `decoder.cross.0`",
        ),
        (
            {"model": TransformerConfig(pruned_heads={"encoder.self.2": [0, 4]})},
            "`model.pruned_heads.encoder.self.2` cannot be .0, 4.: there is no head 4, only 0 to 3",
        ),
        (
            {"model": GnmtConfig(decoder_layers=1)},
            "`model.decoder_layers=1` does not go with `model.kind=gnmt`: what is attended to is read by the layers above",
        ),
        ({"model": BahdanauConfig(encoder_dim=15)}, "`model.encoder_dim` must be even"),
        (
            {"model": BahdanauConfig(encoder_dim=16, hidden_dim=8, attention=RecurrentAttentionConfig(score=Score.dot))},
            "`model.attention.score=dot` multiplies states of one width: `model.encoder_dim` must be `model.hidden_dim` .8., but is 16",
        ),
        (
            {"model": BahdanauConfig(attention=RecurrentAttentionConfig(max_fertility=0.0))},
            "`model.attention.max_fertility` must be above 0, but is 0.0",
        ),
        (
            {"model": BahdanauConfig(attention=RecurrentAttentionConfig(max_length=0))},
            "`model.attention.max_length` must be at least 1, but is 0",
        ),
        (
            {"alignment": AlignmentConfig(attribution=Attribution.rollout, shift=True)},
            "`alignment.shift` is for attention and its norms; `alignment.attribution=rollout` is about a prediction",
        ),
        (
            {"alignment": AlignmentConfig(attribution=Attribution.norms, head=1)},
            "`alignment.head` is for attention; `alignment.attribution=norms` is about all heads",
        ),
        ({"alignment": AlignmentConfig(num_erased=-1)}, "`alignment.num_erased` must be at least 0, but is -1"),
        ({"alignment": AlignmentConfig(threshold=0.0)}, "`alignment.threshold` must be above 0 and at most 1, but is 0.0"),
        ({"loss": LossConfig(alignment_weight=-0.1)}, "`loss.alignment_weight` must be at least 0, but is -0.1"),
        (
            {"loss": GUIDED, "data": FilesDataConfig(source="x.de", target="x.en")},
            "`loss.alignment_weight` needs `data.alignment`, a file with the word links",
        ),
        (
            {"loss": GUIDED, "alignment": AlignmentConfig(attribution=Attribution.norms)},
            "`alignment.attribution` must be attention",
        ),
        ({"loss": GUIDED, "tokenizer": TokenizerConfig(sampling_alpha=0.1)}, "`tokenizer.sampling_alpha` must be null"),
        (
            {"loss": GUIDED, "model": TransformerConfig(), "train": TrainConfig(max_steps=1, recompute=True)},
            "weights of the forward pass, which `train.recompute` does not keep",
        ),
        ({"search": SearchConfig(min_length=-1)}, "`search.min_length` must be at least 0, but is -1"),
        ({"search": SearchConfig(no_repeat_ngram=-1)}, "`search.no_repeat_ngram` must be at least 0, but is -1"),
        ({"search": SearchConfig(sample=True, top_k=-1)}, "`search.top_k` must be at least 0, but is -1"),
        ({"search": SearchConfig(sample=True, top_p=0.0)}, "`search.top_p` must be above 0 and at most 1, but is 0.0"),
        ({"search": SearchConfig(sample=True, top_p=1.1)}, "`search.top_p` must be above 0 and at most 1, but is 1.1"),
        ({"search": SearchConfig(sample=True, temperature=0.0)}, "`search.temperature` must be above 0, but is 0.0"),
        ({"search": SearchConfig(sample=True, coverage_penalty=0.1)}, "with `search.sample` it must be 0"),
        ({"search": SearchConfig(top_p=0.9)}, "`search.top_p` is for `search.sample=true`, but is 0.9"),
        ({"search": SearchConfig(temperature=0.9)}, "`search.temperature` is for `search.sample=true`, but is 0.9"),
    ],
)
def test_rules_between_settings(changes, message):
    with pytest.raises(ConfigError, match=message):
        validate(whole(**changes))


def test_a_good_configuration_passes():
    validate(whole())
    validate(whole(loss=GUIDED))
    validate(whole(loss=GUIDED, data=FilesDataConfig(corpora={"a": CorpusConfig(source="x", target="y", alignment="z")})))
    validate(whole(search=SearchConfig(sample=True, num_best=7, beam_size=5, top_k=3, top_p=0.5, temperature=0.5)))


def test_lists():
    command = from_dict(TranslateCommand, {"run": "a", "ensemble": ["b", "c"]})
    assert command.ensemble == ["b", "c"]
    assert to_dict(command)["ensemble"] == ["b", "c"]
    for value, message in ((["b", 3], r"`ensemble\[1\]` must be str, but is 3"), ("b", "`ensemble` must be list, but is 'b'")):
        with pytest.raises(ConfigError, match=message):
            from_dict(TranslateCommand, {"run": "a", "ensemble": value})


def test_search_overrides_are_the_search_settings():
    assert [f.name for f in dataclasses.fields(SearchOverrides)] == [f.name for f in dataclasses.fields(SearchConfig)]


def test_every_class_takes_keywords_alone_and_no_unknown_attribute():
    classes = [value for value in vars(options).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
    assert len(classes) > 20
    for cls in classes:
        assert all(f.kw_only for f in dataclasses.fields(cls)), cls
        assert "__slots__" in vars(cls), cls


def test_enum_names_are_their_values():
    members = [m for value in vars(options).values() if isinstance(value, type) and issubclass(value, Enum) for m in value]
    assert Score.general in members
    assert all(member.name == member.value for member in members)
