"""Text for people: sentences that may be shown anywhere, and times."""

from __future__ import annotations

import unicodedata

CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def printable(text: str) -> str:
    r"""``text`` with every character that could act on a terminal, a log or a page written as its escape, such as ``\x1b``.

    These are control characters (line ends and tabs among them), lone surrogates, line and paragraph separators, and the characters
    that embed, override or isolate a direction of writing. Made for display: a backslash of the text itself stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(escape(character) if _acts(character) else character for character in text)


def escape(character: str) -> str:
    r"""The Python escape of a character: ``\n``, ``\x1b``, ``\u202e``."""
    return character.encode("unicode_escape").decode("ascii")


def _acts(character: str) -> bool:
    return unicodedata.category(character) in CONTROLS or unicodedata.bidirectional(character) in BIDI_CONTROLS


def format_time(seconds: float) -> str:
    """``1h02m03s``, without leading zero parts."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h{minutes:02d}m" if hours else f"{minutes}m" if minutes else "") + f"{rest:02d}s"
