"""``nmt prepare``: read, clean and tokenize parallel text into a store."""

from __future__ import annotations

from nmt.config import Config
from nmt.data.cleaning import format_report
from nmt.data.prepare import prepare
from nmt.rules import validate


def main(config: Config) -> int:
    validate(config)
    store = prepare(config.data, config.tokenizer, config.seed)
    print(format_report(store.meta["cleaning"]))
    print(f"store={store.path}")
    return 0
