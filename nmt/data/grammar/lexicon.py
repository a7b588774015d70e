"""The lexicon of the built-in corpus, read from the tables in ``lexicon/``.

A column left empty means what is regular. Classes say what makes sense together: a verb takes only subjects and objects of the
classes that its row names, an adjective only nouns of its classes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from nmt.data.grammar.words import Phrase, fixed_phrase, parse_links, word_links

Classes = frozenset[str]
Row = dict[str, str]
COMPOUND: Classes = frozenset({"compound"})
"""The class of all nouns that are several words in English and one in German."""


@dataclass(frozen=True, eq=False, slots=True)
class Noun:
    """A noun or a name.

    ``genitive`` is singular; a ``weak`` masculine has it in the accusative and dative too. ``german_plural`` is the nominative, empty
    for what cannot be counted. ``sex`` (m, f or empty) decides the English pronoun. ``of`` names the classes of a genitive attribute,
    ``at`` and ``to`` the (English, German) prepositions of place and of destination.
    """

    english: str
    english_plural: str
    german: str
    gender: str
    genitive: str
    german_plural: str
    weak: bool
    sex: str
    classes: Classes
    of: Classes
    at: tuple[str, ...]
    to: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Verb:
    """A verb in one of its frames.

    ``english`` may end with a particle (turn on) or with the rest of an idiom (sleep like a log), whose German rest is ``idiom``.
    ``prefix`` is the separable one of the German verb. ``present`` holds the irregular second and third person singular, ``preterite``
    and ``german_participle`` the irregular stems without the prefix. ``prepositions`` are the English and the German one of the object
    (of the recipient, where the frame has one), each possibly empty.
    """

    english: str
    past: str
    participle: str
    prefix: str
    german: str
    present: tuple[str, ...]
    preterite: str
    german_participle: str
    auxiliary: str
    frame: str
    subject: Classes
    object: Classes
    prepositions: tuple[str, str]
    case: str
    places: Classes
    flags: Classes
    idiom: str


@dataclass(frozen=True, eq=False, slots=True)
class Adjective:
    """``stem`` is what German endings are added to; an adjective without an English comparative is not compared.

    ``opposites`` are the English adjectives that nothing can be more the more it is this.
    """

    english: str
    comparative: str
    german: str
    stem: str
    german_comparative: str
    german_superlative: str
    colour: bool
    classes: Classes
    uses: Classes
    opposites: Classes


@dataclass(frozen=True, eq=False, slots=True)
class Adverbial:
    """An adverb or a fixed adverbial phrase: of ``time`` or ``frequency`` with the tenses it fits, or of ``manner`` with the verbs."""

    english: str
    german: str
    links: tuple[tuple[int, int, bool], ...]
    kind: str
    tenses: Classes
    verbs: Classes

    def phrase(self) -> Phrase:
        return fixed_phrase(self.english, self.german, self.links)


@dataclass(frozen=True, eq=False, slots=True)
class Preposition:
    """A preposition of place with the dative; ``classes`` are the nouns it stands with."""

    english: str
    german: str
    links: tuple[tuple[int, int, bool], ...]
    classes: Classes


@dataclass(frozen=True, slots=True)
class Lexicon:
    nouns: tuple[Noun, ...]
    verbs: tuple[Verb, ...]
    adjectives: tuple[Adjective, ...]
    adverbials: tuple[Adverbial, ...]
    prepositions: tuple[Preposition, ...]

    @property
    def num_lemmas(self) -> int:
        """Distinct (English, German) pairs of the tables; compounds and idioms count, a verb with two frames counts once."""
        entries: tuple[Noun | Adjective | Adverbial | Preposition, ...] = (
            *self.nouns,
            *self.adjectives,
            *self.adverbials,
            *self.prepositions,
        )
        verbs = {(verb.english, f"{verb.idiom} {verb.prefix}{verb.german}".strip()) for verb in self.verbs}
        return len({(entry.english, entry.german) for entry in entries} | verbs)


@cache
def load_lexicon() -> Lexicon:
    """The tables that come with the package."""
    nouns = {row["english"]: _noun(row) for row in _rows("nouns")}
    compounds = (_compound(row, nouns[row["head"]]) for row in _rows("compounds"))
    return Lexicon(
        nouns=(*nouns.values(), *compounds, *map(_name, _rows("names"))),
        verbs=(*map(_verb, _rows("verbs")), *map(_verb, _rows("idioms"))),
        adjectives=tuple(map(_adjective, _rows("adjectives"))),
        adverbials=tuple(map(_adverbial, _rows("adverbials"))),
        prepositions=tuple(
            Preposition(row["english"], row["german"], _phrase_links(row), _classes(row["classes"]))
            for row in _rows("prepositions")
        ),
    )


def _rows(name: str) -> Iterator[Row]:
    table = resources.files("nmt.data.grammar") / "lexicon" / f"{name}.tsv"
    with table.open(encoding="utf-8") as lines:
        yield from csv.DictReader(lines, delimiter="\t")


def _classes(column: str) -> Classes:
    return frozenset(column.split())


def _noun(row: Row) -> Noun:
    prepositions = {column: tuple(row[column].split("/")) if row[column] else () for column in ("at", "to")}
    return Noun(
        english=row["english"],
        english_plural=row["plural"] or f"{row['english']}s",
        german=row["german"],
        gender=row["gender"],
        genitive=row["genitive"],
        german_plural=row["german_plural"].strip("-"),
        weak=row["weak"] == "weak",
        sex=row["sex"],
        classes=_classes(row["classes"]) | (COMPOUND if " " in row["english"] else frozenset()),
        of=_classes(row["of"]),
        **prepositions,
    )


def _compound(row: Row, head: Noun) -> Noun:
    """Two English nouns, one German one; all that the row does not say is that of its ``head``, but for genitive attributes."""
    first = row["german"]
    return replace(
        head,
        english=f"{row['english']} {head.english}",
        english_plural=f"{row['english']} {head.english_plural}",
        german=first + head.german.lower(),
        genitive=first + head.genitive.lower(),
        german_plural=head.german_plural and first + head.german_plural.lower(),
        classes=COMPOUND | (_classes(row["classes"]) or head.classes),
        of=frozenset(),
    )


def _name(row: Row) -> Noun:
    german = row["german"]
    genitive = f"{german}s"
    places = {"at": ("in", "in"), "to": ("to", "nach")} if "capital" in row["classes"] else {"at": (), "to": ()}
    return Noun(
        english=row["english"],
        english_plural="",
        german=german,
        gender=row["sex"] or "n",
        genitive=genitive,
        german_plural="",
        weak=False,
        sex=row["sex"],
        classes=_classes(row["classes"]),
        of=frozenset(),
        **places,
    )


def _verb(row: Row) -> Verb:
    prefix, _, base = row["german"].rpartition("/")
    return Verb(
        english=row["english"],
        past=row["past"],
        participle=row["participle"],
        prefix=prefix,
        german=base,
        present=tuple(row["present"].split()),
        preterite=row["preterite"],
        german_participle=row["german_participle"],
        auxiliary=row["auxiliary"] or "haben",
        frame=row["frame"],
        subject=_classes(row["subject"]),
        object=_classes(row["object"]),
        prepositions=(row["english_preposition"], row["german_preposition"]),
        case=row["case"] or "acc",
        places=_classes(row["places"]),
        flags=_classes(row["flags"]),
        idiom=row.get("idiom", ""),
    )


def _adjective(row: Row) -> Adjective:
    stem = row["stem"] or row["german"]
    return Adjective(
        english=row["english"],
        comparative=row["comparative"],
        german=row["german"],
        stem=stem,
        german_comparative=row["german_comparative"] or f"{stem}er",
        german_superlative=row["german_superlative"]
        or stem + ("est" if stem.endswith(("d", "t", "s", "ß", "z", "sch")) else "st"),
        colour=row["colour"] == "colour",
        classes=_classes(row["classes"]),
        uses=_classes(row["uses"]),
        opposites=_classes(row["opposite"]),
    )


def _adverbial(row: Row) -> Adverbial:
    return Adverbial(
        row["english"], row["german"], _phrase_links(row), row["kind"], _classes(row["tenses"]), _classes(row["verbs"])
    )


def _phrase_links(row: Row) -> tuple[tuple[int, int, bool], ...]:
    return tuple(parse_links(row["links"])) if row["links"] else word_links(row["english"], row["german"])
