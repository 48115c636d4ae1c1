"""Scenarios in the bytes that Excel and other programs write, by country: read right, or refused with a remedy."""

from __future__ import annotations

import codecs
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PlannerError
from workbook.csv_file import CsvFile
from workbook.files import UnreadableFileError
from workbook.scenario_csv import CsvScenarios

HEADER = b"scenario,model,context,users,gpu\r\n"
ROW = b",llama-3.1-70b,32768,10,h100-sxm\r\n"

# The bytes of titles in each code page, the titles, and the name of the guessed encoding.
GUESSED = {
    "Windows-1252": (
        [b"\xc4rger B\xfcro", b"Gr\xf6\xdfe M\xfcnchen", b"\xdcbersetzung f\xfcr K\xf6ln"],
        ["Ärger Büro", "Größe München", "Übersetzung für Köln"],
    ),
    "Windows-1250": (
        [b"\x8fr\xf3d\xb3o", b"Za\xbf\xf3\xb3\xe6 g\xea\x9cl\xb9 ja\x9f\xf1", b"Obs\xb3uga klient\xf3w"],
        ["Źródło", "Zażółć gęślą jaźń", "Obsługa klientów"],
    ),
    "Windows-1251": ([b"\xce\xf2\xe4\xe5\xeb \xef\xf0\xee\xe4\xe0\xe6"], ["Отдел продаж"]),
    "Windows-1253": ([b"\xc3\xf1\xe1\xf6\xe5\xdf\xef \xf0\xf9\xeb\xde\xf3\xe5\xf9\xed"], ["Γραφείο πωλήσεων"]),
    "GB 18030": (
        [b"\xbf\xcd\xb7\xfe\xd6\xfa\xca\xd6", b"\xb1\xb1\xbe\xa9\xb0\xec\xb9\xab\xca\xd2"],
        ["客服助手", "北京办公室"],
    ),
    "Shift-JIS": (
        [b"\x93\x8c\x8b\x9e\x83I\x83t\x83B\x83X", b"\x83R\x81[\x83h\x95\xe2\x8f\x95"],
        ["東京オフィス", "コード補助"],
    ),
    "Big5": ([b"\xa5x\xa5_\xbf\xec\xa4\xbd\xab\xc7", b"\xa6X\xac\xf9\xbcf\xacd"], ["台北辦公室", "合約審查"]),
    "EUC-KR": ([b"\xbc\xad\xbf\xef \xbb\xe7\xb9\xab\xbd\xc7", b"\xb0\xed\xb0\xb4 \xc1\xf6\xbf\xf8"], ["서울 사무실", "고객 지원"]),
}  # fmt: skip


def written(folder, content: bytes):
    path = folder / "scenarios.csv"
    path.write_bytes(content)
    return path


def titles(scenarios: CsvScenarios) -> list[str]:
    rows = list(scenarios.given_rows())
    assert [problem for row in rows for problem in row.problems] == []
    return [row.scenario.title for row in rows]


@pytest.mark.parametrize("label", GUESSED)
def test_the_encoding_of_each_country_is_guessed_and_named(tmp_path, label):
    raw, expected = GUESSED[label]
    found = CsvScenarios(written(tmp_path, HEADER + b"".join(title + ROW for title in raw)))
    assert (titles(found), found.detected) == (expected, label)


@pytest.mark.parametrize(
    "content",
    [
        "scenario;model;context;users;gpu\r\nÄrger Büro;llama-3.1-70b;32.768;10;h100-sxm\r\n".encode("cp1252"),
        codecs.BOM_UTF8 + "scenario;model;context;users;gpu\r\nÄrger Büro;llama-3.1-70b;32 768;10,0;h100-sxm\r\n".encode(),
        codecs.BOM_UTF16_LE + "scenario\tmodel\tcontext\tusers\tgpu\r\nÄrger Büro\tllama-3.1-70b\t32768\t10\th100-sxm\r\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "scenario\tmodel\tcontext\tusers\tgpu\r\nÄrger Büro\tllama-3.1-70b\t32768\t10\th100-sxm\r\n".encode("utf-16-be"),
        "scenario|model|context|users|gpu\nÄrger Büro|llama-3.1-70b|32768|10|h100-sxm\n".encode(),
        'sep=;\r\nscenario;model;context;users;gpu\r\n"Ärger Büro";llama-3.1-70b;"32,768";10;h100-sxm\r\n'.encode(),
    ],
    ids=["Excel, German", "Excel, German, UTF-8", "Excel, Unicode text", "big-endian", "bars", "sep="],
)  # fmt: skip
def test_separators_numbers_and_marks(tmp_path, content):
    [row] = CsvScenarios(written(tmp_path, content)).given_rows()
    assert (row.scenario.title, row.scenario.context, row.scenario.users) == ("Ärger Büro", 32768, 10)


def test_what_shows_its_encoding_is_not_guessed(tmp_path):
    for content in (HEADER + b"Chat" + ROW, HEADER + "Ärger 客服".encode() + ROW):
        assert CsvScenarios(written(tmp_path, content)).detected == ""


def test_doubt_is_refused_with_both_readings_and_a_remedy_that_works(tmp_path):
    path = written(tmp_path, HEADER + b"\xb4\xfa\xb8\xd5" + ROW)
    with pytest.raises(UnreadableFileError) as caught:
        CsvScenarios(path)
    readings = {"gb18030": "代刚", "cp950": "測試"}
    assert "its encoding is in doubt: it has '代刚' in GB 18030, " in str(caught.value)
    assert "'測試' in Big5" in str(caught.value)
    named = re.search(r"--encoding \(one of (.*?)\)", caught.value.remedy)[1].split(", ")
    assert set(readings) <= set(named)
    for name, title in readings.items():
        assert titles(CsvScenarios(path, name)) == [title]


@pytest.mark.parametrize(
    "encoding, title", [("big5", "測試"), ("gb18030", "代刚"), ("CP1252", "´ú¸Õ"), ("latin-1", "´ú¸Õ")]
)
def test_a_stated_encoding_is_taken(tmp_path, encoding, title):
    found = CsvScenarios(written(tmp_path, HEADER + b"\xb4\xfa\xb8\xd5" + ROW), encoding)
    assert (titles(found), found.detected) == ([title], "")


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13", "utf-8\0"])
def test_an_encoding_that_is_none_is_refused(tmp_path, encoding):
    with pytest.raises(PlannerError, match="^encoding: .* is not known. Write for example one of utf-8"):
        CsvScenarios(written(tmp_path, HEADER), encoding)


def test_a_file_that_is_not_in_the_stated_encoding_is_refused(tmp_path):
    with pytest.raises(UnreadableFileError, match="it is not UTF-8 text. Give another --encoding, or save it as"):
        list(CsvScenarios(written(tmp_path, HEADER + b"\xc4rger" + ROW), "utf-8").given_rows())
    with pytest.raises(UnreadableFileError, match="it is not UTF-16 text. Give another --encoding, or save it as"):
        CsvScenarios(written(tmp_path, HEADER + ROW), "utf-16")  # without the mark at the start


def test_letters_far_down_a_long_file_count(tmp_path):
    rows = (b"Chat" + ROW) * 10_000 + b"".join(title + ROW for title in GUESSED["Windows-1252"][0])
    found = CsvScenarios(written(tmp_path, HEADER + rows))
    assert found.detected == "Windows-1252"
    *_, last = found.given_rows()
    assert last.scenario.title == "Übersetzung für Köln"


# The Scenarios sheet as LibreOffice and Excel save it: a title, notes and totals before the headings, answers between
# the inputs.
SHEET = """Scenarios,,,,,,,,,,,Limits
"One row, one model to serve.",,,,,,,,,,,minimum
What you enter,,,,,,,,,What it takes,,
Total of rows counted,,,,10,,,,,155.2,"1 of 1 counted
0 out",
Scenario,Model,Context (tokens),Output tokens,Users,Weights,KV cache,Engine,GPU,Total (GB),Overhead (%),Input check
Chat,llama-3.1-70b,"32,768",,10,fp8,fp16,vllm,h100-sxm,81.5,10%,OK
,,,,,,,,,,,–
"""


@pytest.mark.parametrize("form", ["comma", "semicolon", "unicode text"])
def test_the_scenarios_sheet_saved_as_csv(tmp_path, form):
    content = {
        "comma": codecs.BOM_UTF8 + SHEET.encode(),
        "semicolon": SHEET.replace('"32,768"', "32.768").replace("81.5", "81;5").replace(",", ";").encode("cp1252"),
        "unicode text": SHEET.replace('"32,768"', "32768").replace(",", "\t").encode("utf-16"),
    }[form].replace(b"81;5", b"81,5")
    [row] = CsvScenarios(written(tmp_path, content)).given_rows()
    assert row.problems == ()
    found = row.scenario
    assert (found.title, found.context, found.users, found.overhead) == ("Chat", 32768, 10, 0.1)
    assert row.place == "line 7"


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UnreadableFileError, match="it is not a regular file"):
        CsvScenarios(tmp_path / "pipe.csv")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = written(tmp_path_factory.mktemp("any"), HEADER + content)
    try:
        for row in CsvScenarios(path).given_rows():
            assert row.scenario or row.problems
    except UnreadableFileError:
        pass


def test_a_file_that_may_not_be_guessed_says_so(tmp_path):
    with pytest.raises(UnreadableFileError, match='neither UTF-8 nor UTF-16 text. Save it as "CSV UTF-8".'):
        CsvFile(written(tmp_path, b"a\n\xff"), bool, bool, columns="a", guess=False)


def test_export_says_how_it_read_a_file_and_takes_an_encoding(vram, tmp_path):
    path = written(tmp_path, HEADER + GUESSED["Windows-1252"][0][0] + ROW)
    status, _, err = vram("export", path, "-o", tmp_path / "d.xlsx")
    assert (status, err) == (0, f"vram: {path} is read as Windows-1252; --encoding reads it as another.\n")
    status, _, err = vram("export", path, "-o", tmp_path / "d.xlsx", "--encoding", "cp1252")
    assert (status, err) == (0, "")
