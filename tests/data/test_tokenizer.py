import pytest

from nmt.config import ConfigError, TokenizerConfig, TokenizerKind
from nmt.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from nmt.errors import DataError

LINES = [
    "the small dog sees the big house",
    "the big dog sleeps in the small house",
    "der kleine Hund sieht das große Haus",
    "der große Hund schläft in dem kleinen Haus",
] * 3


def train(kind=TokenizerKind.bpe, vocab_size=33, lines=LINES):
    return Tokenizer.train(lines, TokenizerConfig(kind=kind, vocab_size=vocab_size), seed=1)


@pytest.fixture(scope="module", params=list(TokenizerKind), ids=lambda kind: kind.name)
def tokenizer(request):
    return train(request.param)


def test_round_trip(tokenizer):
    assert tokenizer.vocab_size == 33
    ids = tokenizer.encode(LINES)
    assert tokenizer.decode(ids) == LINES
    assert min(min(row) for row in ids) > max(PAD, UNK, BOS, EOS)
    assert "".join(tokenizer.pieces(ids[0])).replace("\u2581", " ").strip() == LINES[0]


def test_words_of_pieces(tokenizer):
    for line, ids in zip(LINES, tokenizer.encode(LINES), strict=True):
        index = tokenizer.word_index(ids)
        words = [""] * len(line.split())
        for word, piece in zip(index, tokenizer.pieces(ids), strict=True):
            words[word] += piece.replace("\u2581", "")
        assert words == line.split()


def test_what_was_never_seen_is_unknown_and_harmless(tokenizer):
    (ids,) = tokenizer.encode(["dog 犬 dog"])
    assert UNK in ids
    assert tokenizer.word_index(ids)[-1] == 2
    assert len(tokenizer.decode([ids])[0]) > 0
    assert tokenizer.encode([""]) == [[]]


def test_the_same_text_gives_the_same_bytes():
    assert train().model == train().model


@pytest.mark.parametrize("kind", list(TokenizerKind), ids=lambda kind: kind.name)
def test_too_many_pieces_says_how_many_there_are(kind):
    with pytest.raises(ConfigError, match=r"vocab_size` is 8000.*set tokenizer\.vocab_size=(\d+)") as error:
        train(kind, 8000)
    possible = int(str(error.value).rsplit("=", 1)[1])
    assert train(kind, possible).vocab_size == possible
    with pytest.raises(ConfigError):
        train(kind, possible + 1)


@pytest.mark.parametrize("kind", list(TokenizerKind), ids=lambda kind: kind.name)
def test_too_few_pieces_says_how_many_are_needed(kind):
    with pytest.raises(ConfigError, match=r"vocab_size` is 9.*at least (\d+) pieces") as error:
        train(kind, 9)
    needed = int(str(error.value).split("vocab_size=")[1].split(",")[0])
    assert train(kind, needed).vocab_size == needed


def test_long_lines_are_learned_from_too():
    assert train(lines=[" ".join(LINES) * 20, *LINES], vocab_size=40).vocab_size == 40


def test_saving_and_loading(tmp_path):
    tokenizer = train()
    tokenizer.save(tmp_path / "t.model")
    assert Tokenizer.load(tmp_path / "t.model").encode(LINES) == tokenizer.encode(LINES)
    with pytest.raises(DataError, match=r"none\.model"):
        Tokenizer.load(tmp_path / "none.model")
    (tmp_path / "bad.model").write_bytes(b"no model at all")
    with pytest.raises(DataError, match=r"bad\.model"):
        Tokenizer.load(tmp_path / "bad.model")
