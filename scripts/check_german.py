"""Checks the spelling of every word of the built-in corpus with hunspell and the dictionaries de_DE and en_GB.

    python scripts/check_german.py [--size 60000]

Debian and Ubuntu: ``apt-get install hunspell hunspell-de-de hunspell-en-gb``. Prints the unknown words and exits 1 if there are any;
exits 2 where hunspell or a dictionary is missing. The first word of a sentence counts as known in lower case too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable

from nmt.data.grammar import generate

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
        wrong = unknown(inner, dictionary) | {word for word in unknown(first, dictionary) if word.lower() not in lower}
        print(f"{dictionary}: {len(inner | first)} words, {len(wrong)} unknown {' '.join(sorted(wrong))}".rstrip())
        failed |= bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
