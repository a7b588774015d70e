"""Files that have both sides, each format against pairs that are known."""

import gzip
import json

import pyarrow
import pytest
from pyarrow import parquet

from nmt.config import FilesDataConfig, TextFormat
from nmt.data import pairs as pair_module
from nmt.data.pairs import whole
from nmt.data.reader import read_corpus
from nmt.errors import ConfigError, DataError

PAIRS = [("ja", "yes"), ("zwei Worte", "two words"), ("drei\u2028 ", "three"), ('"quoted" & <b>', "it's")]

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="en" adminlang="en" creationtool="x" creationtoolversion="1" datatype="plaintext"
 segtype="sentence" o-tmf="x"/><body>
<tu><tuv xml:lang="en-GB"><seg>yes</seg></tuv><tuv xml:lang="de"><seg>ja</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>only English</seg></tuv></tu>
<tu><prop type="x">p</prop><tuv xml:lang="DE"><seg>zwei
Worte</seg></tuv><tuv xml:lang="en"><seg>two <bpt i="1">&lt;b&gt;</bpt><hi>words</hi><ept i="1">&lt;/b&gt;</ept></seg></tuv></tu>
<tu><tuv xml:lang="fr"><seg>deux</seg></tuv>
<tuv xml:lang="de"><seg>drei &amp; vier</seg></tuv><tuv xml:lang="en"><seg>three &amp; four</seg></tuv></tu>
</body></tmx>
"""

PO = """msgid ""
msgstr "Language: de\\n"

msgid "yes"
msgstr "ja"

#, fuzzy
msgid "unsure"
msgstr "unsicher"

msgid "no translation"
msgstr ""

msgctxt "menu"
msgid "two\\n"
"lines"
msgstr "zwei\\nZeilen"

msgid "one file"
msgid_plural "%d files"
msgstr[0] "eine Datei"
msgstr[1] "%d Dateien"

#~ msgid "old"
#~ msgstr "alt"
"""


@pytest.fixture(params=[2, 8192], autouse=True)
def _blocks(request, monkeypatch):
    monkeypatch.setattr(pair_module, "BLOCK_PAIRS", request.param)


def read(path, **settings):
    text = whole(read_corpus(FilesDataConfig(bitext=str(path), **{"direction": "de-en", **settings}))["train"])
    return list(zip(text.sources, text.targets, strict=True)), text


def table(folder, name, nested=False):
    columns = {"id": list(range(len(PAIRS))), "de": [s for s, _ in PAIRS], "en": [t for _, t in PAIRS]}
    if nested:
        columns = {"translation": [{"de": s, "en": t} for s, t in PAIRS]}
    parquet.write_table(pyarrow.table(columns), folder / name)
    return folder / name


def test_tsv(tmp_path):
    content = "".join(f"{i}\t{s}\t{t}\n" for i, (s, t) in enumerate(PAIRS)).encode()
    (tmp_path / "x.tsv").write_bytes(content)
    assert read(tmp_path / "x.tsv", source_column="2", target_column="3")[0] == PAIRS
    assert read(tmp_path / "x.tsv")[0] == [(str(i), s) for i, (s, _) in enumerate(PAIRS)]
    (tmp_path / "odd.name").write_bytes(gzip.compress(content))
    assert read(tmp_path / "odd.name", source_column="2", target_column="3", format=TextFormat.tsv)[0] == PAIRS
    with pytest.raises(DataError, match=r"x\.tsv:1: column 4 is wanted, but there are 3"):
        read(tmp_path / "x.tsv", target_column="4")
    with pytest.raises(ConfigError, match=r"columns of .*x\.tsv are numbers from 1, but one is \'de\'"):
        read(tmp_path / "x.tsv", source_column="de")


@pytest.mark.parametrize("nested", [False, True])
def test_json_lines(tmp_path, nested):
    rows = [{"de": s, "en": t, "n": 1} for s, t in PAIRS]
    text = "".join(json.dumps({"translation": row} if nested else row) + "\n" for row in rows)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert read(tmp_path / "x.jsonl.gz")[0] == PAIRS
    assert read(tmp_path / "x.jsonl.gz", source_language="en", target_language="de")[0] == PAIRS


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"x\.jsonl:2: no JSON"),
        ("[1]", r"x\.jsonl:2: an object is wanted, but this is \[1\]"),
        ('{"de": "x"}', r"x\.jsonl:2: no column en; there are \[\'de\'\]"),
        ('{"de": "x", "en": null}', r"x\.jsonl:2: en must be text, but is None"),
    ],
)
def test_a_line_of_json_that_does_not_fit_is_named(tmp_path, line, message):
    (tmp_path / "x.jsonl").write_text(f'{{"de": "a", "en": "b"}}\n{line}\n')
    with pytest.raises(DataError, match=message):
        read(tmp_path / "x.jsonl")


@pytest.mark.parametrize("nested", [False, True])
def test_parquet(tmp_path, nested):
    assert read(table(tmp_path, "x.parquet", nested))[0] == PAIRS
    if not nested:
        with pytest.raises(DataError, match=r"x\.parquet: no column fr; there are \[\'id\', \'de\', \'en\'\]"):
            read(tmp_path / "x.parquet", direction="de-fr")
        with pytest.raises(DataError, match=r"x\.parquet, row 1: id must be text, but is 0"):
            read(tmp_path / "x.parquet", source_column="id")


def test_a_damaged_or_missing_table_is_named(tmp_path):
    path = table(tmp_path, "x.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"x\.parquet: "):
        read(path)
    with pytest.raises(DataError, match=r"no\.parquet: No such file"):
        read(tmp_path / "no.parquet")


def test_tmx(tmp_path):
    (tmp_path / "x.tmx").write_text(TMX)
    found, text = read(tmp_path / "x.tmx")
    assert found == [("ja", "yes"), ("zwei Worte", "two words"), ("drei & vier", "three & four")]
    assert text.skipped == {"untranslated": 1}
    with pytest.raises(DataError, match=r"x\.tmx has no unit with both de and it"):
        read(tmp_path / "x.tmx", direction="de-it")
    (tmp_path / "x.tmx").write_text(TMX.replace("</body>", "</bdy>"))
    with pytest.raises(DataError, match=r"x\.tmx:10: mismatched tag"):
        read(tmp_path / "x.tmx")


def test_gettext(tmp_path):
    (tmp_path / "x.po").write_text(PO)
    found, text = read(tmp_path / "x.po", direction="en-de")
    assert found == [("yes", "ja"), ("two lines", "zwei Zeilen"), ("one file", "eine Datei"), ("%d files", "%d Dateien")]
    assert text.skipped == {"fuzzy": 1, "untranslated": 1, "obsolete": 1}
    (tmp_path / "x.po").write_text(PO + "nonsense\n")
    with pytest.raises(DataError, match=r"x\.po:\d+: "):
        read(tmp_path / "x.po", direction="en-de")


@pytest.mark.parametrize("name", ["x.tsv", "x.jsonl", "x.po"])
def test_an_empty_file_is_named(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=rf"{name} is empty"):
        read(tmp_path / name)


def test_a_name_that_tells_no_format_is_refused(tmp_path):
    (tmp_path / "x.dat").write_text("a\tb\n")
    with pytest.raises(
        ConfigError, match=r"the format of .*x\.dat cannot be told from its name; set `format` to one of tsv, jsonl"
    ):
        read(tmp_path / "x.dat")
