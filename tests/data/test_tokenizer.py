import io
from functools import lru_cache

import numpy as np
import pytest
import sentencepiece as spm
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.config import TokenizerConfig, TokenizerKind
from nmt.data.normalization import PLAIN, normalize
from nmt.data.tokenizer import BOS, EOS, PAD, UNK, Encoder, Tokenizer, Tokenizers, learn_pieces
from nmt.errors import ConfigError, DataError

LINES = [
    "the small dog sees the big house",
    "the big dog sleeps in the small house",
    "der kleine Hund sieht das große Haus",
    "der große Hund schläft in dem kleinen Haus",
] * 3


SUBWORDS = [TokenizerKind.unigram, TokenizerKind.bpe]


def train(kind=TokenizerKind.bpe, vocab_size=33, lines=LINES, symbols=(), **changes):
    config = TokenizerConfig(kind=kind, vocab_size=vocab_size, **changes)
    return Tokenizer(learn_pieces(lines, config, vocab_size, symbols), PLAIN)


trained = lru_cache(train)


@pytest.fixture(scope="module", params=SUBWORDS, ids=lambda kind: kind.name)
def tokenizer(request):
    return trained(request.param)


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


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.lists(st.text(st.sampled_from("adehosu \u72ac\u00df<s/>"), max_size=30), max_size=6), max_size=3))
@pytest.mark.parametrize("known", [3, 1 << 17])
@pytest.mark.parametrize("kind", SUBWORDS, ids=lambda kind: kind.name)
def test_much_text_has_the_same_ids(kind, known, texts):
    tokenizer = trained(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nmt.data.tokenizer.MAX_KNOWN_WORDS", known)
        encode = Encoder(tokenizer, np.dtype(np.uint16))
        for lines in texts:
            normal = [normalize(line) for line in lines]
            ids, lengths = encode(normal)
            rows = tokenizer.encode(normal)
            assert ids.tolist() == [i for row in rows for i in row]
            assert lengths.tolist() == [len(row) for row in rows]
            assert (ids.dtype, lengths.dtype) == (np.uint16, np.int64)


def test_what_was_never_seen_is_unknown_and_harmless(tokenizer):
    (ids,) = tokenizer.encode(["dog 犬 dog"])
    assert UNK in ids
    assert tokenizer.word_index(ids)[-1] == 2
    assert len(tokenizer.decode([ids])[0]) > 0
    assert tokenizer.encode([""]) == [[]]


@pytest.mark.promise(15)
def test_the_same_text_gives_the_same_bytes():
    assert train().model == train().model


@pytest.mark.promise(17)
@pytest.mark.parametrize("kind", SUBWORDS, ids=lambda kind: kind.name)
def test_too_many_pieces_says_how_many_there_are(kind):
    with pytest.raises(ConfigError, match=r"vocab_size` is 8000.*set tokenizer\.vocab_size=(\d+)") as error:
        train(kind, 8000)
    possible = int(str(error.value).split("vocab_size=")[1].split(",")[0])
    assert train(kind, possible).vocab_size == possible
    with pytest.raises(ConfigError):
        train(kind, possible + 1)


@pytest.mark.promise(17)
@pytest.mark.parametrize("kind", SUBWORDS, ids=lambda kind: kind.name)
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
    assert Tokenizer.load(tmp_path / "t.model", PLAIN).encode(LINES) == tokenizer.encode(LINES)
    with pytest.raises(DataError, match=r"none\.model"):
        Tokenizer.load(tmp_path / "none.model", PLAIN)
    (tmp_path / "bad.model").write_bytes(b"no model at all")
    with pytest.raises(DataError, match=r"bad\.model"):
        Tokenizer.load(tmp_path / "bad.model", PLAIN)
    (tmp_path / "empty.model").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.model"):
        Tokenizer.load(tmp_path / "empty.model", PLAIN)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("aβ犬\u2581\u00a0\u2028\u200b\t <s/>\u0301"), max_size=20))
def test_words_are_counted_as_blanks_count_them(line):
    for kind in SUBWORDS:
        normal = normalize(line)
        index = trained(kind).word_index(trained(kind).encode([normal])[0])
        assert sorted(set(index)) == list(range(len(normal.split())))
        assert index == sorted(index)


def test_no_text_gives_a_special_id(tokenizer):
    (ids,) = tokenizer.encode(["<pad> <s> </s> <unk>"])
    assert not {PAD, BOS, EOS} & set(ids)


@pytest.mark.parametrize("bad", [33, -1, 2**40])
def test_ids_outside_of_the_vocabulary_are_refused(tokenizer, bad):
    with pytest.raises(ValueError, match=rf"id {bad} is no piece: the vocabulary has 33"):
        tokenizer.decode([[5], [6, bad]])


@pytest.mark.parametrize("vocab_size", [-1, 0, 3])
def test_fewer_pieces_than_special_ones(vocab_size):
    with pytest.raises(ConfigError, match=rf"vocab_size` is {vocab_size}, .*at least \d+ pieces"):
        train(vocab_size=vocab_size)


@pytest.mark.parametrize("coverage", [0.5, 1.5])
def test_character_coverage_has_limits(coverage):
    with pytest.raises(ConfigError, match=rf"tokenizer\.character_coverage` must be from 0\.98 to 1, but is {coverage}"):
        train(character_coverage=coverage)


def test_a_character_or_a_word_a_piece():
    characters = train(TokenizerKind.char, 40, hard_limit=False)
    assert characters.pieces(characters.encode(["der Hund"])[0]) == list("\u2581der\u2581Hund")
    words = train(TokenizerKind.word, 12)  # eight beside the special ones
    frequent = {"the", "dog", "big", "small", "house", "der", "Hund", "Haus", "das", "in"}
    known = [word for word in frequent if words.encode([word])[0] != [UNK]]
    assert len(known) <= 8
    assert words.pieces(words.encode(["the " + " ".join(known)])[0]) == [f"\u2581{word}" for word in ["the", *known]]
    assert words.encode(["the Löwe the"])[0][1] == UNK
    assert words.word_index(words.encode(["the Löwe the"])[0]) == [0, 1, 2]


def test_unknown_words_stay_apart():
    """Alone and in much text, where SentencePiece makes one piece of those that stand together."""
    words = train(TokenizerKind.word, 12)
    (the,) = words.encode(["the"])[0]
    lines = ["Löwe Tiger the Bär Wolf Fuchs", "the", "", "Löwe Löwe"]
    expected = [[UNK, UNK, the, UNK, UNK, UNK], [the], [], [UNK, UNK]]
    assert words.encode(lines) == expected
    assert words.word_index(expected[0]) == list(range(6))
    ids, lengths = Encoder(words, np.dtype(np.uint16))(lines)
    assert ids.tolist() == [piece for row in expected for piece in row]
    assert lengths.tolist() == [6, 1, 0, 2]


def test_with_bytes_nothing_is_unknown():
    tokenizer = train(TokenizerKind.bpe, 300, byte_fallback=True)
    (ids,) = tokenizer.encode(["dog 犬 dog"])
    assert UNK not in ids
    assert tokenizer.decode([ids]) == ["dog 犬 dog"]


def test_a_soft_limit_takes_what_there_is():
    assert train(TokenizerKind.unigram, 8000, hard_limit=False).vocab_size < 8000


def test_own_symbols_are_never_cut():
    tokenizer = train(symbols=["<2de>", "<b>"], vocab_size=40)
    pieces = tokenizer.pieces(tokenizer.encode(["<2de> the <b>dog"])[0])
    assert pieces.count("<2de>") == pieces.count("<b>") == 1
    assert tokenizer.has_piece("<2de>")
    assert not tokenizer.has_piece("<2fr>")


def test_joint_and_separate_vocabularies_are_written_and_read(tmp_path):
    one, other = train(), train(vocab_size=35)
    for pair, files in (((one, one), ["tokenizer.model"]), ((one, other), ["source.model", "target.model"])):
        folder = tmp_path / str(len(files))
        Tokenizers(*pair).save(folder)
        assert sorted(path.name for path in folder.iterdir()) == files
        assert Tokenizers.load(folder, (PLAIN, PLAIN)).vocab_sizes == (33, pair[1].vocab_size)


def test_a_model_with_other_special_ids_is_refused(tmp_path):
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, vocab_size=34, minloglevel=2)
    (tmp_path / "other.model").write_bytes(model.getvalue())
    with pytest.raises(DataError, match=r"other\.model has the ids \(-1, 0, 1, 2\)"):
        Tokenizer.load(tmp_path / "other.model", PLAIN)
