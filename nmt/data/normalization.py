"""Text as models read it, and what a model writes as people read it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from nmt.config import NormalizationConfig
from nmt.errors import ConfigError

WORD_START = "\u2581"
"""The mark that SentencePiece puts before a piece that begins a word."""

INVISIBLE = "\ufeff\u200b\u2060"
"""Byte order mark, zero-width space and word joiner: they are dropped."""

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
"""Control characters: they are blanks, and so is the tokenizer's mark of a blank, which it could not tell from one."""

UNUSUAL = re.compile(rf"[{CONTROLS}\u2028\u2029{WORD_START}{INVISIBLE}]")
"""Characters whose removal is counted as a repair."""

REPLACEMENTS = str.maketrans({**dict.fromkeys(CONTROLS + WORD_START, " "), **dict.fromkeys(INVISIBLE, "")})


def normalize(line: str) -> str:
    """What is done to all text: NFC, words separated by one blank, no control or invisible characters.

    What separates words is every kind of space, no-break spaces among them, and of line separator.
    """
    if (
        line.isprintable()  # so it has no space but the blank, and nothing unusual but perhaps the mark
        and "  " not in f" {line} "
        and (line.isascii() or (WORD_START not in line and unicodedata.is_normalized("NFC", line)))
    ):
        return line  # as most lines are: 1.1 us instead of 2.6
    return " ".join(unicodedata.normalize("NFC", line.translate(REPLACEMENTS)).split())


class Normalizer:
    """Lines of a language to text as models read it, and back.

    Raises:
        ConfigError: what is asked for needs a package that is not installed.
    """

    def __init__(self, config: NormalizationConfig, language: str) -> None:
        self._steps: list[Callable[[str], str]] = []
        self._join: Callable[[list[str]], str] | None = None
        if config.punctuation or config.tokenize:
            try:
                from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer
            except ImportError:
                raise ConfigError("`data.normalization` needs sacremoses: pip install 'nmt-trainer[moses]'") from None
            if config.punctuation:
                self._steps.append(MosesPunctNormalizer(language).normalize)
            if config.tokenize:
                tokenize = MosesTokenizer(language).tokenize
                self._steps.append(lambda line: str(tokenize(line, return_str=True, escape=False)))
                self._join = MosesDetokenizer(language).detokenize
        if config.lowercase:
            self._steps.append(str.lower)

    def __call__(self, line: str) -> str:
        line = normalize(line)
        for step in self._steps:
            line = step(line)
        return normalize(line) if self._steps else line

    def restore(self, line: str) -> str:
        """A line that a model wrote, with its words joined as the language writes them."""
        return str(self._join(line.split())) if self._join else line


PLAIN = Normalizer(NormalizationConfig(), "")
"""What does to text what is done to all, and no more."""
