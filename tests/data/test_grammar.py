"""The built-in corpus: morphology against tables typed by hand, word order, alignment, splits and difficulty."""

import math
import random
from collections import Counter, defaultdict

import pytest
import sacrebleu
from grammar_parts import adverbial, clause, described, noun, text, the, verb

from nmt.data.grammar import generate
from nmt.data.grammar.clauses import HABEN, MODALS, SEIN, WERDEN, Order, Role, Tense
from nmt.data.grammar.constructions import CONSTRUCTIONS, draw
from nmt.data.grammar.german import Case, Person, participle, present, preterite
from nmt.data.grammar.lexicon import load_lexicon
from nmt.data.grammar.phrases import BARE, NO, POSSESSIVES, THE, THIS, A, NounPhrase, RelativePronoun, pronoun
from nmt.data.grammar.sampling import Sampler
from nmt.data.grammar.words import parse_links

AUXILIARIES = {form for auxiliary in (HABEN, SEIN, WERDEN) for form in auxiliary}
INSERTED = {"sich", "mich", "dich", "uns", "an"}


@pytest.fixture(scope="module")
def corpus():
    return generate(1_500, 101, 103)


DECLENSION = {
    ("man", THE, False): "der alte Mann, den alten Mann, dem alten Mann, des alten Mannes",
    ("woman", THE, False): "die alte Frau, die alte Frau, der alten Frau, der alten Frau",
    ("house", THE, False): "das alte Haus, das alte Haus, dem alten Haus, des alten Hauses",
    ("house", THE, True): "die alten Häuser, die alten Häuser, den alten Häusern, der alten Häuser",
    ("man", A, False): "ein alter Mann, einen alten Mann, einem alten Mann, eines alten Mannes",
    ("woman", A, False): "eine alte Frau, eine alte Frau, einer alten Frau, einer alten Frau",
    ("house", A, False): "ein altes Haus, ein altes Haus, einem alten Haus, eines alten Hauses",
    ("man", NO, True): "keine alten Männer, keine alten Männer, keinen alten Männern, keiner alten Männer",
    ("woman", BARE, True): "alte Frauen, alte Frauen, alten Frauen, alter Frauen",
    ("student", THIS, False): "dieser alte Student, diesen alten Studenten, diesem alten Studenten, dieses alten Studenten",
    ("car", POSSESSIVES["our"], False): "unser altes Auto, unser altes Auto, unserem alten Auto, unseres alten Autos",
    ("car", POSSESSIVES["our"], True): "unsere alten Autos, unsere alten Autos, unseren alten Autos, unserer alten Autos",
    ("lion", A, False): "ein alter Löwe, einen alten Löwen, einem alten Löwen, eines alten Löwen",
    ("kitchen table", THE, False): "der alte Küchentisch, den alten Küchentisch, dem alten Küchentisch, des alten Küchentisches",
    ("apple tree", NO, True): "keine alten Apfelbäume, keine alten Apfelbäume, keinen alten Apfelbäumen, keiner alten Apfelbäume",
    ("polar bear", THIS, False): "dieser alte Eisbär, diesen alten Eisbären, diesem alten Eisbären, dieses alten Eisbären",
    ("coffee cup", A, False): "eine alte Kaffeetasse, eine alte Kaffeetasse, einer alten Kaffeetasse, einer alten Kaffeetasse",
    (
        "picture book",
        THE,
        True,
    ): "die alten Bilderbücher, die alten Bilderbücher, den alten Bilderbüchern, der alten Bilderbücher",
    ("swimming pool", A, False): "ein altes Schwimmbad, ein altes Schwimmbad, einem alten Schwimmbad, eines alten Schwimmbades",
    ("town hall", THE, True): "die alten Rathäuser, die alten Rathäuser, den alten Rathäusern, der alten Rathäuser",
    ("castle", THE, True): "die alten Schlösser, die alten Schlösser, den alten Schlössern, der alten Schlösser",
}


@pytest.mark.parametrize(("name", "determiner", "plural"), DECLENSION)
def test_declension(name, determiner, plural):
    forms = [text(described(name, determiner, plural).german(case)) for case in Case]
    assert ", ".join(forms) == DECLENSION[name, determiner, plural]


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("coffee", ["kalter Kaffee", "kalten Kaffee", "kaltem Kaffee", "kalten Kaffees"]),
        ("milk", ["kalte Milch", "kalte Milch", "kalter Milch", "kalter Milch"]),
        ("water", ["kaltes Wasser", "kaltes Wasser", "kaltem Wasser", "kalten Wassers"]),
    ],
)
def test_strong_declension(name, forms):
    assert [text(described(name, BARE, quality="cold").german(case)) for case in Case] == forms


@pytest.mark.parametrize(
    ("name", "plural", "forms"),
    [
        ("man", False, ["der", "den", "dem", "dessen"]),
        ("woman", False, ["die", "die", "der", "deren"]),
        ("house", False, ["das", "das", "dem", "dessen"]),
        ("house", True, ["die", "die", "denen", "deren"]),
    ],
)
def test_relative_pronoun(name, plural, forms):
    assert [text(RelativePronoun(NounPhrase(noun(name), THE, plural)).german(case)) for case in Case] == forms


@pytest.mark.parametrize(
    ("entry", "forms", "past", "perfect"),
    [
        (("read", "object"), "lese liest liest lesen", "las", "gelesen"),
        (("open", "object"), "öffne öffnest öffnet öffnen", "öffnete", "geöffnet"),
        (("draw", "object"), "zeichne zeichnest zeichnet zeichnen", "zeichnete", "gezeichnet"),
        (("work", "intransitive"), "arbeite arbeitest arbeitet arbeiten", "arbeitete", "gearbeitet"),
        (("feed", "object"), "füttere fütterst füttert füttern", "fütterte", "gefüttert"),
        (("learn", "object"), "lerne lernst lernt lernen", "lernte", "gelernt"),
        (("travel", "goal"), "reise reist reist reisen", "reiste", "gereist"),
        (("drive", "goal"), "fahre fährst fährt fahren", "fuhr", "gefahren"),
        (("repair", "object"), "repariere reparierst repariert reparieren", "reparierte", "repariert"),
        (("visit", "object"), "besuche besuchst besucht besuchen", "besuchte", "besucht"),
        (("invite", "object"), "lade lädst lädt laden", "lud", "eingeladen"),
        (("prepare", "object"), "bereite bereitest bereitet bereiten", "bereitete", "vorbereitet"),
        (("know", "that"), "weiß weißt weiß wissen", "wusste", "gewusst"),
        (("try on", "object"), "probiere probierst probiert probieren", "probierte", "anprobiert"),
        (("take off", "object"), "ziehe ziehst zieht ziehen", "zog", "ausgezogen"),
        (("throw away", "object"), "werfe wirfst wirft werfen", "warf", "weggeworfen"),
        (("write down", "object"), "schreibe schreibst schreibt schreiben", "schrieb", "aufgeschrieben"),
        (("hang up", "object"), "hänge hängst hängt hängen", "hängte", "aufgehängt"),
        (("put off", "object"), "verschiebe verschiebst verschiebt verschieben", "verschob", "verschoben"),
        (("cut down", "object"), "fälle fällst fällt fällen", "fällte", "gefällt"),
        (("translate", "object"), "übersetze übersetzt übersetzt übersetzen", "übersetzte", "übersetzt"),
        (("hide", "object"), "verstecke versteckst versteckt verstecken", "versteckte", "versteckt"),
        (("run away", "intransitive"), "laufe läufst läuft laufen", "lief", "weggelaufen"),
        (("fall asleep", "intransitive"), "schlafe schläfst schläft schlafen", "schlief", "eingeschlafen"),
        (("sit down", "intransitive"), "setze setzt setzt setzen", "setzte", "gesetzt"),
        (("find out", "that"), "finde findest findet finden", "fand", "herausgefunden"),
        (("bite the dust", "idiom"), "beiße beißt beißt beißen", "biss", "gebissen"),
        (("leave in the lurch", "idiom"), "lasse lässt lässt lassen", "ließ", "gelassen"),
        (("turn a blind eye", "idiom"), "drücke drückst drückt drücken", "drückte", "zugedrückt"),
        (("kill two birds with one stone", "idiom"), "schlage schlägst schlägt schlagen", "schlug", "geschlagen"),
    ],
)
def test_conjugation(entry, forms, past, perfect):
    entry = verb(*entry)
    assert " ".join(present(entry)) == forms
    assert preterite(entry)[Person.THIRD] == past
    assert participle(entry) == perfect


SENTENCES = [
    (
        lambda: clause(the("boy"), "invite", object=the("neighbour"), time=adverbial("yesterday")),
        "the boy invited the neighbour yesterday",
        "der Junge lud gestern den Nachbarn ein",
        "lud der Junge gestern den Nachbarn ein",
        "der Junge gestern den Nachbarn einlud",
    ),
    (
        lambda: clause(the("girl"), "open", Tense.PERFECT, object=the("window"), negated=True),
        "the girl has not opened the window",
        "das Mädchen hat das Fenster nicht geöffnet",
        "hat das Mädchen das Fenster nicht geöffnet",
        "das Mädchen das Fenster nicht geöffnet hat",
    ),
    (
        lambda: clause(pronoun("I"), "wait", Tense.PRESENT, object=the("bus"), modal=MODALS[3]),
        "I want to wait for the bus",
        "ich will auf den Bus warten",
        "will ich auf den Bus warten",
        "ich auf den Bus warten will",
    ),
    (
        lambda: clause(the("man"), "look forward", object=the("party"), time=adverbial("last week")),
        "the man looked forward to the party last week",
        "der Mann freute sich letzte Woche auf die Feier",
        "freute sich der Mann letzte Woche auf die Feier",
        "der Mann sich letzte Woche auf die Feier freute",
    ),
    (
        lambda: clause(pronoun("she"), "give", Tense.FUTURE, "recipient", object=the("apple"), recipient=the("child")),
        "she will give the child the apple",
        "sie wird dem Kind den Apfel geben",
        "wird sie dem Kind den Apfel geben",
        "sie dem Kind den Apfel geben wird",
    ),
    (
        lambda: clause(the("letter"), "write", time=adverbial("two days ago"), passive=True),
        "the letter was written two days ago",
        "der Brief wurde vor zwei Tagen geschrieben",
        "wurde der Brief vor zwei Tagen geschrieben",
        "der Brief vor zwei Tagen geschrieben wurde",
    ),
    (
        lambda: clause(the("uncle"), "get up", Tense.PERFECT, "intransitive", frequency=adverbial("already")),
        "the uncle has already got up",
        "der Onkel ist schon aufgestanden",
        "ist der Onkel schon aufgestanden",
        "der Onkel schon aufgestanden ist",
    ),
    (
        lambda: clause(the("bridge"), "build", Tense.PERFECT, frequency=adverbial("already"), passive=True),
        "the bridge has already been built",
        "die Brücke ist schon gebaut worden",
        "ist die Brücke schon gebaut worden",
        "die Brücke schon gebaut worden ist",
    ),
    (
        lambda: clause(the("radio"), "turn on", modal=MODALS[5], passive=True, time=adverbial("yesterday")),
        "the radio had to be turned on yesterday",
        "das Radio musste gestern eingeschaltet werden",
        "musste das Radio gestern eingeschaltet werden",
        "das Radio gestern eingeschaltet werden musste",
    ),
    (
        lambda: clause(the("woman"), "look", preposition="after", object=the("boy"), time=adverbial("on Sundays")),
        "the woman looked after the boy on Sundays",
        "die Frau kümmerte sich sonntags um den Jungen",
        "kümmerte sich die Frau sonntags um den Jungen",
        "die Frau sich sonntags um den Jungen kümmerte",
    ),
    (
        lambda: clause(pronoun("she"), "turn a blind eye", Tense.PRESENT, "idiom", frequency=adverbial("often")),
        "she often turns a blind eye",
        "sie drückt oft ein Auge zu",
        "drückt sie oft ein Auge zu",
        "sie oft ein Auge zudrückt",
    ),
    (
        lambda: clause(the("chef"), "give a hand", Tense.PERFECT, "idiom", object=pronoun("we"), time=adverbial("today")),
        "the chef has given us a hand today",
        "der Koch hat uns heute unter die Arme gegriffen",
        "hat uns der Koch heute unter die Arme gegriffen",
        "der Koch uns heute unter die Arme gegriffen hat",
    ),
]


@pytest.mark.parametrize(("make", "english", "second", "first", "last"), SENTENCES)
def test_word_order(make, english, second, first, last):
    sentence = make()
    assert text(sentence.english()) == english
    assert [text(sentence.german(order)) for order in (Order.SECOND, Order.FIRST, Order.LAST)] == [second, first, last]


def test_fronted_phrases():
    sentence = clause(the("boy"), "help", object=the("man"), time=adverbial("yesterday"))
    assert text(sentence.german(Order.SECOND, Role.TIME)) == "gestern half der Junge dem Mann"
    assert text(sentence.german(Order.SECOND, Role.OBJECT)) == "dem Mann half der Junge gestern"
    assert text(sentence.english(Role.OBJECT, inverted=True)) == "the man did the boy help yesterday"


def test_determinism():
    assert generate(101, 3, 5) == generate(101, 3, 5)
    assert generate(101, 3, 5) != generate(101, 3, 5, seed=1)


def test_sizes_and_disjoint_splits(corpus):
    assert {name: len(examples) for name, examples in corpus.items()} == {"train": 1_500, "dev": 101, "test": 103}
    for side in ("source", "target"):
        sentences = [getattr(example, side) for examples in corpus.values() for example in examples]
        assert len(set(sentences)) == len(sentences)


def test_lexicon_and_constructions():
    assert load_lexicon().num_lemmas >= 420
    assert len(CONSTRUCTIONS) >= 28
    assert sum(entry.english.count(" ") == 1 for entry in load_lexicon().nouns) >= 40


def test_no_german_word_has_two_english_ones():
    lexicon = load_lexicon()
    pairs = [("noun", entry.german, entry.english) for entry in lexicon.nouns]
    pairs += [("adjective", entry.german, entry.english) for entry in lexicon.adjectives]
    pairs += [("adverbial", entry.german, entry.english) for entry in lexicon.adverbials]
    pairs += [((verb.frame, verb.idiom, verb.prepositions[1]), verb.prefix + verb.german, verb.english) for verb in lexicon.verbs]
    english = defaultdict(set)
    for kind, german, word in pairs:
        english[kind, german].add(word)
    assert {german: words for german, words in english.items() if len(words) > 1} == {}


def test_each_sentence_determines_its_translation():
    """Also among pairs that are drawn twice, of which the corpus keeps one."""
    sampler = Sampler(load_lexicon(), random.Random(11))
    english, german = defaultdict(set), defaultdict(set)
    for construction in CONSTRUCTIONS:
        for _ in range(40):
            example = draw(construction, sampler)
            german[example.source].add(example.target)
            english[example.target].add(example.source)
    assert all(len(translations) == 1 for translations in (*english.values(), *german.values()))


@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=lambda construction: construction.__name__)
def test_each_construction(construction):
    sampler = Sampler(load_lexicon(), random.Random(7))
    drawn = set()
    for _ in range(60):
        example = draw(construction, sampler)
        drawn.add(example.source)
        for line in (example.source, example.target):
            assert line[0].isupper()
            assert line[-1] in ".?"
            assert not {" ,", ",,", "  ", ",.", ",?"} & {line[i : i + 2] for i in range(len(line))}
    assert len(drawn) > 50


def test_links(corpus):
    """Every word is linked, and every German one surely but for a few words and idioms."""
    idioms = [entry.idiom for entry in load_lexicon().verbs if entry.idiom]
    possible = total = 0
    for example in corpus["train"]:
        source, target = example.source.split(), example.target.split()
        links = parse_links(example.links)
        assert {i for i, _, _ in links} == set(range(len(source)))
        assert {j for _, j, _ in links} == set(range(len(target)))
        unsure = set(range(len(target))) - {j for _, j, sure in links if sure}
        if not any(idiom in example.target for idiom in idioms):
            assert {target[j].strip(",.?").lower() for j in unsure} <= INSERTED, example
        possible += sum(not sure for _, _, sure in links)
        total += len(links)
    assert possible / total <= 0.3


def test_links_of_a_separable_verb_in_a_question():
    sentence = clause(the("boy"), "turn on", object=the("lamp"))
    english, german = sentence.english(inverted=True), sentence.german(Order.FIRST)
    assert (text(english), text(german)) == ("did the boy turn on the lamp", "schaltete der Junge die Lampe ein")
    main, particle = german[0], german[-1]
    assert set(english[3].sure) & set(main.sure)
    assert set(english[3].sure) & set(particle.sure)
    assert set(english[4].sure) & set(particle.sure)
    assert not english[0].sure
    assert set(english[0].possible) & set(main.sure)


def test_mean_length(corpus):
    examples = corpus["train"]
    for side in ("source", "target"):
        lengths = [len(getattr(example, side).split()) for example in examples]
        assert sum(lengths) / len(lengths) >= 9
        assert min(lengths) >= 5


def test_verb_ends_subordinate_clauses(corpus):
    finite = {form for entry in load_lexicon().verbs for form in _finite_forms(entry)}
    finite |= {form for modal in MODALS for form in modal.german} | AUXILIARIES
    checked = 0
    for example in corpus["train"]:
        for conjunction in (", weil ", ", dass ", ", ob ", ", obwohl "):
            _, found, subordinate = example.target.partition(conjunction)
            if found and "," not in subordinate:
                assert subordinate.rstrip(".").split()[-1] in finite, example.target
                checked += 1
    assert checked > 100


def _finite_forms(entry):
    return [entry.prefix + form for form in (*present(entry), *preterite(entry))]


def test_verb_is_second_after_a_fronted_adverbial(corpus):
    finite = {form for entry in load_lexicon().verbs for form in (*present(entry), *preterite(entry))} | {
        "werde",
        "wirst",
        "wird",
        "werden",
    }
    checked = 0
    for example in corpus["train"]:
        for opening in ("Gestern Abend ", "Letzte Woche ", "Jeden Tag ", "Am Morgen "):
            if example.target.startswith(opening):
                assert example.target.removeprefix(opening).split()[0] in finite, example.target
                checked += 1
    assert checked > 10


@pytest.mark.long
@pytest.mark.timeout(900)
def test_nearest_training_sentence_is_no_translation():
    corpus = generate(60_000, 0, 200)
    hypotheses = list(_nearest(corpus["train"], corpus["test"]))
    assert sacrebleu.corpus_bleu(hypotheses, [[example.target for example in corpus["test"]]]).score < 50


def _nearest(train, queries):
    """The target of the training source with the largest TF-IDF cosine."""
    counts = [Counter(example.source.lower().rstrip(".?").split()) for example in train]
    frequency = Counter(word for words in counts for word in words)
    weight = {word: math.log(len(train) / number) for word, number in frequency.items()}
    postings = defaultdict(list)
    for i, words in enumerate(counts):
        norm = math.sqrt(sum((number * weight[word]) ** 2 for word, number in words.items()))
        for word, number in words.items():
            postings[word].append((i, number * weight[word] / norm))
    for query in queries:
        scores = defaultdict(float)
        for word, number in Counter(query.source.lower().rstrip(".?").split()).items():
            for i, value in postings.get(word, ()):
                scores[i] += number * weight[word] * value
        yield train[max(scores, key=scores.__getitem__)].target
