"""Every option of a run is taken and does not stand in the way: whole runs of two updates, which together set them all."""

import logging
import sys
import typing
from dataclasses import is_dataclass
from pathlib import Path

import pytest
import yaml

from nmt.cli import main
from nmt.config import VARIANTS, Config, CorpusConfig

SMALL = {
    **{name: ["model.embedding_dim=13", "model.hidden_dim=14"] for name in ("bahdanau", "conditional_gru", "luong", "gnmt")},
    "transformer": ["model.model_dim=22", "model.num_heads=2", "model.feedforward_dim=29"],
}
SELF = (
    "score:dot,distribution:sink,temperature:0.5,num_kv_heads:1,head_dropout:0.1,scope:window,window:2,num_sinks:1,num_global:1"
)
TEXT = "data=files data.source=DIR/x.de data.target=DIR/x.en"

RUNS = {
    "builtin": "model=bahdanau data=builtin data.train_size=700 data.dev_size=5 data.test_size=6 data.difficulty=reordered "
    "data.direction=de-en data.processes=2 data.licence=mine tokenizer.vocab_size=300 tokenizer.kind=bpe",
    "normalization": "model=luong TEXT data.dev_size=5 data.test_size=6 data.source_language=xx data.target_language=yy "
    "data.normalization={punctuation:true,tokenize:true,lowercase:true} tokenizer.character_coverage=0.999",
    "cleaning": "model=luong TEXT data.cleaning={max_length:7,max_characters:90,max_ratio:3,max_copy_length:null,match_digits:true,"
    "deduplicate:false,remove_overlap:side,keep_gold:true,invalid_utf8:drop} data.gold_source=DIR/gold.de "
    "data.gold_target=DIR/gold.en data.gold_alignment=DIR/gold.align",
    "held out": 'model=luong TEXT data.tag="<a>" data.weight=2 data.dev_source=DIR/dev.de data.dev_target=DIR/dev.en '
    "data.test_source=DIR/gold.de data.test_target=DIR/gold.en data.test_alignment=DIR/gold.align",
    "bitext": "model=luong data=files data.bitext=DIR/x.txt data.format=tsv data.source_column=2 data.target_column=1 "
    "data.dev_bitext=DIR/dev.txt data.test_bitext=DIR/dev.txt data.direction=de-en",
    "hub": "model=luong data=files data.hub_name=DIR/hub data.hub_config=default data.hub_revision=main data.direction=de-en "
    "data.dev_size=5 data.test_size=6",
    "corpora": "model=luong data=files data.direction=de-en data.dev_size=5 data.test_size=6 "
    '+data.corpora.a={source:DIR/x.de,target:DIR/x.en,alignment:DIR/x.links,weight:1.5,tag:"<a>"} '
    '+data.corpora.b={bitext:DIR/x.txt,format:tsv,source_column:"2",target_column:"1"} '
    "+data.corpora.c={hub_name:DIR/hub,hub_config:default,hub_revision:main}",
    "separate pieces": "model=bahdanau TEXT tokenizer.joint=false tokenizer.target_vocab_size=17 tokenizer.kind=word "
    'tokenizer.hard_limit=false model.tying=two_way tokenizer.symbols=["<a>","<b>"]',
    "bytes": "model=bahdanau TEXT tokenizer.byte_fallback=true tokenizer.vocab_size=285 tokenizer.sampling_alpha=0.2",
    "given pieces": "model=bahdanau TEXT tokenizer.joint=false model.tying=two_way tokenizer.model=DIR/m.model "
    "tokenizer.target_model=DIR/m.model",
    "recurrent": "model=bahdanau TEXT model.encoder_layers=2 model.embedding_dropout=0.2 model.context_dropout=0.2 "
    "model.output_dropout=0.2 model.encoder_dim=18 model.initial_weights=paper model.attention.score=concat "
    "model.attention.attention_dim=11 model.tying=none",
    "luong": "model=luong TEXT model.decoder_layers=2 model.input_feeding=false model.encoder_direction=backward "
    "model.initial_weights=paper model.attention.score=dot",
    "transformer": "model=transformer TEXT model.norm=post model.dropout=0.2 model.feedforward_dropout=0.2 "
    "model.encoder.num_layers=2 model.decoder.num_layers=1 model.encoder_self.dropout=0.2 model.decoder_self.dropout=0.2 "
    "model.decoder_cross.dropout=0.2 train.recompute=true",
    "recurrent attention": "model=bahdanau TEXT model.attention={score:location,max_length:5,distribution:entmax,temperature:0.7}",
    "coverage": "model=conditional_gru TEXT model.attention={coverage:neural,coverage_dim:3,max_fertility:3}",
    "deep": "model=gnmt TEXT model.encoder_layers=2 model.decoder_layers=3 model.layer_dropout=0.2",
    "local attention": "model=luong TEXT model.attention={scope:local_p,window:2}",
    "heads": "model=transformer TEXT model.position=learned model.max_positions=5 model.encoder_self={SELF} model.decoder_self={SELF} "
    "model.decoder_cross={score:learned_scaled_dot,distribution:entmax15,temperature:2,num_kv_heads:1,head_dropout:0.1} "
    "+model.pruned_heads={decoder.cross.0:[1],encoder.self.2:[0]}",
    "linear attention": "model=transformer TEXT model.encoder_self.linear=true model.decoder_self.linear=true",
    "adam": "model=luong TEXT optim=adam optim.learning_rate=2e-3 optim.beta1=0.8 optim.beta2=0.9 optim.eps=1e-6 "
    "optim.weight_decay=0.1 optim.max_grad_norm=0.5 schedule=inverse_sqrt schedule.warmup_steps=1",
    "muon": "model=luong TEXT optim=muon optim.momentum=0.8 schedule=warmup_stable_decay schedule.warmup_steps=0 "
    "schedule.decay_steps=1",
    "adafactor": "model=luong TEXT optim=adafactor optim.beta2_decay=-0.7 optim.max_update=2 schedule=cosine "
    "schedule.warmup_steps=0 schedule.final_factor=0.1",
    "adadelta": "model=luong TEXT optim=adadelta optim.rho=0.9 optim.eps=1e-5 schedule=plateau schedule.warmup_steps=0 "
    "schedule.rate=0.3 schedule.patience=1 schedule.final_factor=0.1",
    "sgd": "model=luong TEXT optim=sgd optim.momentum=0.5 optim.nesterov=true schedule=exponential schedule.warmup_steps=0 "
    "schedule.rate=0.4 schedule.start=1 schedule.every=1 schedule.final_factor=0.1",
    "limits": "model=luong TEXT train.max_steps=2 train.max_epochs=1 train.max_time=1m train.patience=1 train.max_tokens=200 "
    "train.microbatches=2 train.validate_every=1 train.save_every=1 train.log_every=1 train.metric=nll train.keep_last=2 "
    "train.average_last=2 "
    "train.max_bad_steps=3 evaluation.weights=average",
    "training": "model=luong TEXT train.profile_updates=1 train.ema_decay=0.5 train.freeze=[encoder] loss.label_smoothing=0.2 "
    "loss.chunk_size=7 evaluation.weights=ema evaluation.metrics=[bleu,chrfpp,ter,bleu_lc_tok]",
    "search": "model=luong TEXT search.beam_size=3 search.num_best=2 search.length_penalty=0.7 search.coverage_penalty=0.1 "
    "search.min_length=1 search.max_length_ratio=1 search.max_length_offset=3 search.no_repeat_ngram=2 search.max_source_length=4 "
    "search.long_lines=split search.max_sentences=3",
    "sampling": "model=luong TEXT search.sample=true search.temperature=0.8 search.top_k=5 search.top_p=0.9",
    "looking": "model=transformer TEXT alignment.layer=0 alignment.head=1 alignment.method=argmax alignment.num_heatmaps=2 "
    "alignment.num_erased=3 alignment.num_diagnosed=4 alignment.picture=svg "
    "alignment.without_end=true alignment.without_punctuation=true alignment.shift=true alignment.threshold=0.2 "
    "tracking.progress=plain tracking.tensorboard=true tracking.num_samples=2 tracking.statistics=true",
    "guided": "model=transformer TEXT data.alignment=DIR/x.links loss.alignment_weight=0.05 alignment.layer=-2 alignment.head=1",
    "the run": "model=luong TEXT name=mine output_dir=elsewhere seed=3 device=cpu precision=bf16 threads=1 data.store_dir=store "
    "fresh=true alignment.attribution=gradient_attention",
    "dry run": "model=luong TEXT dry_run=true",
    "from another": "model=luong TEXT init_from=DIR/outputs/first",
}


@pytest.fixture(scope="module")
def text(tmp_path_factory, copy_files):
    """Files of the copy task in the forms that the runs ask for, and a run to begin with."""
    folder = tmp_path_factory.mktemp("options")
    lines = (copy_files / "x.de").read_text().splitlines()
    held_out = lines[-20:]
    for name, part in (("x", lines[:-20]), ("dev", held_out[:10]), ("gold", held_out[10:])):
        for suffix in ("de", "en"):
            (folder / f"{name}.{suffix}").write_text("".join(line + "\n" for line in part))
        (folder / f"{name}.txt").write_text("".join(f"{line}\t{line}\n" for line in part))
    (folder / "gold.align").write_text("0-0\n" * 10)
    (folder / "x.links").write_text("0-0\n" * len(lines[:-20]))
    (folder / "hub").mkdir()
    (folder / "hub" / "train.json").write_text("".join(f'{{"de": "{line}", "en": "{line}"}}\n' for line in lines))
    start(folder, "first", filled("luong", folder)[:4])
    [store] = (folder / "outputs" / "store").iterdir()
    (folder / "m.model").write_bytes((store / "tokenizer.model").read_bytes())
    return folder


def start(folder, name, words):
    """``nmt run`` in this process; its exit status."""
    values = dict(word.split("=", 1) for word in words)
    base = [
        "tokenizer.vocab_size=30",
        "train.max_steps=2",
        "train.max_tokens=256",
        "schedule.warmup_steps=1",
        "alignment.num_erased=1",
        f"name={name}",
    ]
    if values["data"] == "files":
        base += ["data.cleaning.max_copy_length=null"]
        if "data.dev_source" not in values and "data.dev_bitext" not in values:
            base += ["data.dev_size=5", "data.test_size=6"]
    chosen = {word.split("=")[0] for word in words}
    base = [
        word
        for word in base
        if word.split("=")[0] not in chosen and not (word.startswith("data.cleaning.") and "data.cleaning" in chosen)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["nmt", "run", *SMALL[values["model"]], *base, *words])
        try:
            main()
        except SystemExit as exit:
            return exit.code or 0
    return 0


def leaves(cls, prefix=""):
    """The options of a configuration by their dotted names, without the kinds that groups choose."""
    for name, hint in typing.get_type_hints(cls).items():
        if name == "kind" and cls in {variant for variants in VARIANTS.values() for variant in variants.values()}:
            continue
        if hint == dict[str, CorpusConfig]:
            yield from leaves(CorpusConfig, f"{prefix}{name}.*.")
        elif hint in VARIANTS:
            for variant in set(VARIANTS[hint].values()):
                yield from leaves(variant, f"{prefix}{name}.")
        elif is_dataclass(hint):
            yield from leaves(hint, f"{prefix}{name}.")
        else:
            yield prefix + name


def filled(name, folder):
    """The words of a run, with a folder in its place."""
    return RUNS[name].replace("TEXT", TEXT).replace("SELF", SELF).replace("DIR", str(folder)).split()


WHOLE = ("model.pruned_heads",)
"""Options that are dictionaries, whose keys are no options."""


def settings(key, given):
    """The options that a word of a command line sets, with their values."""
    if not given.startswith(("{", "[")):
        yield key, given.strip('"')
        return
    values = yaml.safe_load(given.replace(":", ": ").replace(",", ", "))
    apart = isinstance(values, dict) and key not in WHOLE
    yield from ((f"{key}.{inner}", value) for inner, value in values.items()) if apart else [(key, values)]


def named(words):
    """The options that the words of a command line set; of a corpus, whatever its name."""
    for word in words:
        for path, _ in settings(*word.removeprefix("+").split("=", 1)):
            parts = path.split(".")
            yield ".".join("*" if before == "corpora" else part for before, part in zip(["", *parts], parts, strict=False))


def same(stored, given):
    """Whether a stored setting is what was given, as words or read by YAML."""
    if isinstance(stored, dict):
        return stored == given
    if isinstance(stored, list):
        return list(map(str, stored)) == list(map(str, given))
    if isinstance(stored, bool) or stored is None:
        return str(stored).replace("None", "null").lower() == str(given).replace("None", "null").lower()
    return float(given) == stored if isinstance(stored, int | float) else str(given) == stored


def test_every_option_is_set_by_some_run():
    chosen = {option for words in SMALL.values() for option in named(words)}
    chosen |= {option for name in RUNS for option in named(filled(name, "here"))}
    assert set(leaves(Config)) - chosen == set()


@pytest.mark.long
@pytest.mark.promise(23)
@pytest.mark.parametrize("name", RUNS)
def test_every_option_is_taken(text, name, capsys):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    words = filled(name, text)
    assert start(text, name.replace(" ", "-"), words) == 0
    root.handlers[:], root.level = handlers, level  # Hydra has put its own there
    last = capsys.readouterr().out.splitlines()[-1]
    if name == "dry run":
        return
    assert last.startswith("DONE step=")
    values = dict(word.split("=", 1) for word in words)
    folder = text / values.get("output_dir", "outputs") / values.get("name", name.replace(" ", "-"))
    stored = yaml.safe_load((Path(folder) / "config.yaml").read_text())
    for word in words:
        key, given = word.removeprefix("+").split("=", 1)
        for path, value in settings(key, given):
            found = stored
            for part in path.split("."):
                found = found[part]
            if isinstance(found, dict) and path not in WHOLE:  # of a group
                found = found["kind"]
            if path != "fresh":  # holds for one start, and is not kept
                assert same(found, value), (path, found, value)
