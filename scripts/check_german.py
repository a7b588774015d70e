"""Checks the spelling of every word of the built-in corpus with hunspell and the dictionaries de_DE and en_GB.

    python scripts/check_german.py [--size 60000]

Debian and Ubuntu: ``apt-get install hunspell hunspell-de-de hunspell-en-gb``. Prints the unknown words and exits 1 if there are any;
exits 2 where hunspell or a dictionary is missing. The first word of a sentence counts as known in lower case too, and a form of a
separable verb without its prefix, because dictionaries have few of them (weglief, wegzulaufen).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable

from nmt.data.grammar import generate
from nmt.data.grammar.lexicon import load_lexicon

NAMES = {"Clara"}
PUNCTUATION = ".,?"


def spellings(sentences: Iterable[str]) -> tuple[set[str], set[str]]:
    """The words inside sentences, and those that occur only as a first word."""
    inner: set[str] = set()
    first: set[str] = set()
    for sentence in sentences:
        words = [word.strip(PUNCTUATION) for word in sentence.split()]
        first.add(words[0])
        inner.update(words[1:])
    return inner, {word for word in first if word not in inner and word.lower() not in inner}


def unknown(words: Iterable[str], dictionary: str) -> set[str]:
    """The words that the dictionary does not have."""
    command = ["hunspell", "-d", dictionary, "-i", "UTF-8", "-l"]
    result = subprocess.run(command, input="\n".join(sorted(words)), capture_output=True, text=True, check=False)
    if result.returncode != 0 or "Can't open" in result.stderr:
        print(f"hunspell has no dictionary {dictionary}: {result.stderr.strip()}", file=sys.stderr)
        sys.exit(2)
    return set(result.stdout.split()) - NAMES


def unknown_without_prefix(words: Iterable[str], dictionary: str) -> set[str]:
    """The words that the dictionary does not have, not even without a separable prefix of the lexicon (and "zu" after it)."""
    prefixes = {verb.prefix for verb in load_lexicon().verbs if verb.prefix}
    rests = {
        word: {word.removeprefix(start) for prefix in prefixes for start in (prefix, f"{prefix}zu") if word.startswith(start)}
        for word in unknown(words, dictionary)
    }
    strange = unknown({rest for each in rests.values() for rest in each}, dictionary)
    return {word for word, each in rests.items() if each <= strange}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=60_000, help="sentence pairs to check")
    size: int = parser.parse_args().size
    if shutil.which("hunspell") is None:
        print("hunspell is not installed: apt-get install hunspell hunspell-de-de hunspell-en-gb", file=sys.stderr)
        return 2
    examples = generate(size, 0, 0)["train"]
    failed = False
    for dictionary, sentences in (("de_DE", [e.target for e in examples]), ("en_GB", [e.source for e in examples])):
        inner, first = spellings(sentences)
        lower = {word.lower() for word in first} - unknown({word.lower() for word in first}, dictionary)
        wrong = unknown_without_prefix(inner, dictionary) | {
            word for word in unknown(first, dictionary) if word.lower() not in lower
        }
        print(f"{dictionary}: {len(inner | first)} words, {len(wrong)} unknown {' '.join(sorted(wrong))}".rstrip())
        failed |= bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
