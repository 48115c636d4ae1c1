"""Test reading scenarios from CSV files of any country, and the messages for wrong rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.plan.allocation import PAGED, RESERVED
from core.plan.serving import RULE, VLLM
from core.units import GB
from workbook.files import UnreadableFileError
from workbook.safe_text import csv_text, without_csv_guard
from workbook.scenario import FIELDS
from workbook.scenario_csv import CsvScenarios, number_of

pytestmark = pytest.mark.slow

ROW = "Chat,llama-3.1-70b,32768,10,fp8,fp8,0.1,80"
KEYS = "scenario,model,context,users,precision,kv_precision,overhead,gpu_memory_gb"
NAMES = ",".join(field.name for field in FIELDS)
ALL_FIELDS = "Chat,llama-3.1-70b,32768,500,10,paged,2000,shipped,fp8,vllm,0.1,h100-sxm,"


def read(path, text: str, encoding: str = "utf-8") -> list:
    path = path / "scenarios.csv"
    path.write_bytes(text.encode(encoding))
    return list(CsvScenarios(path).given_rows())


def only(rows):
    (row,) = rows
    assert row.problems == ()
    return row.scenario


def is_the_chat(scenario) -> bool:
    return (
        scenario.title == "Chat"
        and scenario.model.name == "llama-3.1-70b"
        and (scenario.context, scenario.users) == (32768, 10)
        and (scenario.precision.name, scenario.kv_precision.name) == ("fp8", "fp8")
        and (scenario.overhead, scenario.gpu_memory_gb) == (0.1, 80)
    )


HEADERS = {
    "plain keys": KEYS,
    "English": "Scenario,Model,Context (tokens),Users,Weights precision,KV precision,Overhead (%),GPU memory (GB)",
    "Chinese": "方案名称,模型,上下文 (token),用户数,权重精度,KV 精度,额外开销 (%),单卡显存 (GB)",
    "as people type": " SCENARIO ,Model,context(TOKENS),ｕｓｅｒｓ,Precision,KV Precision,OVERHEAD,GPU memory GB",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_headers(tmp_path, header):
    assert is_the_chat(only(read(tmp_path, f"{header}\n{ROW}\n")))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encodings_delimiters_and_line_ends(tmp_path, encoding, delimiter, line_end):
    text = line_end.join([HEADERS["Chinese"], ROW.replace("Chat", "客服，问答"), ""]).replace(",", delimiter)
    scenario = only(read(tmp_path, text, encoding))
    assert scenario.title == "客服，问答"
    assert scenario.context == 32768


@pytest.mark.parametrize(
    "row",
    [
        "Chat;llama-3.1-70b;32768;10;fp8;fp8;0,1;80",
        "Chat;llama-3.1-70b;32.768;10;fp8;fp8;10 %;80,0",
        "Chat;llama-3.1-70b;32 768;10;FP8;1;10%;80.00",
        '"Chat";llama-3.1-70b;"32,768";10,0;fp8;fp8;1e-1;80',
        "  Chat ; meta-llama/Llama-3.1-70B ;３２７６８;10;fp8;fp8;,1;80",
    ],
)
def test_numbers_of_other_countries(tmp_path, row):
    scenario = only(read(tmp_path, HEADERS["plain keys"].replace(",", ";") + "\n" + row))
    assert (scenario.context, scenario.users, scenario.overhead, scenario.gpu_memory_gb) == (32768, 10, 0.1, 80)
    assert scenario.kv_precision.bytes_per_value == 1


@pytest.mark.parametrize(
    ("text", "whole", "fraction"),
    [
        ("32768", 32768, 32768),
        ("32,768", 32768, 32.768),  # a whole number's groups are thousands; a fraction has a decimal comma
        ("1.000", 1000, 1),
        ("1.234.567", 1234567, 1234567),
        ("1'234'567", 1234567, 1234567),
        ("1 234 567", 1234567, 1234567),
        ("1\u202f234", 1234, 1234),
        ("1,234.5", 1234.5, 1234.5),
        ("1.234,5", 1234.5, 1234.5),
        ("0,125", 0.125, 0.125),
        ("12,5", 12.5, 12.5),
        ("1E5", 100000, 100000),
        ("10 %", 0.1, 0.1),
        ("-3", -3, -3),
        ("32K", None, None),
        ("nan", None, None),
        ("inf", None, None),
        ("1_000", None, None),
        ("0x10", None, None),
        ("1,2,3", None, None),
        ("1.234,567.8", None, None),
        ("", None, None),
        ("1" * 41, None, None),
    ],
)
def test_number_of(text, whole, fraction):
    assert number_of(text, whole=True) == whole
    assert number_of(text, whole=False) == fraction


@given(st.integers(1, 10**9))
def test_thousands_are_read_as_every_country_writes_them(number):
    for separator in (",", ".", " ", "'", "\u00a0"):
        assert number_of(f"{number:,}".replace(",", separator), whole=True) == number


def test_every_field(tmp_path):
    scenario = only(read(tmp_path, f"{NAMES}\n{ALL_FIELDS}\n"))
    assert (scenario.output_tokens, scenario.allocation, scenario.average_tokens) == (500, PAGED, 2000)
    assert scenario.engine == VLLM
    assert (scenario.precision, scenario.precision_name, scenario.kv_precision.name) == (None, "shipped", "fp8")
    assert scenario.gpu == catalog.gpu("h100-sxm")
    assert scenario.gpu_memory_gb * GB == pytest.approx(scenario.gpu.memory_bytes, rel=1e-12)


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        (ALL_FIELDS.replace("paged", "swapped"), "allocation", 'Write "reserved" or "paged".'),
        (ALL_FIELDS.replace("2000", ""), "average_tokens", "it is blank"),
        (ALL_FIELDS.replace("vllm", "tgi"), "engine", 'Write "rule" or "vllm".'),
        (ALL_FIELDS.replace("h100-sxm", "h100-sxn"), "gpu", "Did you mean"),
        (ALL_FIELDS.replace("llama-3.1-70b", "article-llama-70b"), "engine", 'Write "rule".'),
    ],
)
def test_what_is_wrong_with_the_other_fields(tmp_path, row, field, words):
    (found,) = read(tmp_path, f"{NAMES}\n{row}\n")
    (problem,) = found.problems
    assert problem.field == field and words in str(problem)


def test_a_given_memory_overrides_that_of_the_gpu(tmp_path):
    scenario = only(read(tmp_path, f"{NAMES}\n{ALL_FIELDS}80\n"))
    assert (scenario.gpu_name, scenario.gpu_memory_gb) == ("h100-sxm", 80)


def test_what_may_be_missing(tmp_path):
    scenario = only(read(tmp_path, "model,context,users,gpu_memory_gb\nllama-3-8b,8192,1,24\n"))
    assert scenario.title == "Llama 3 8B"
    assert (scenario.precision_name, scenario.kv_precision.name, scenario.overhead) == ("shipped", "fp16", 0.1)
    assert (scenario.allocation, scenario.engine, scenario.gpu) == (RESERVED, VLLM, None)


@pytest.mark.parametrize(
    "text",
    [
        "model,context,gpu\nllama-3-8b,8192,h100-sxm\n",
        "model,context,gpu,users,allocation,precision,kv_precision,engine,overhead\nllama-3-8b,8192,h100-sxm,, ,,,,\n",
    ],
    ids=["missing", "blank"],
)
def test_missing_columns_and_blank_cells_have_the_same_defaults(tmp_path, text):
    stated = "model,context,gpu,users,allocation,precision,kv_precision,engine,overhead\n"
    stated += "llama-3-8b,8192,h100-sxm,1,reserved,shipped,fp16,vllm,10%\n"
    assert only(read(tmp_path, text)) == only(read(tmp_path, stated))


def test_a_model_of_which_only_the_size_is_known_takes_the_rule(tmp_path):
    header = "model,context,gpu,engine\n"
    assert only(read(tmp_path, f"{header}article-llama-70b,32000,h100-sxm,\n")).engine == RULE
    (refused,) = read(tmp_path, f"{header}article-llama-70b,32000,h100-sxm,vllm\n")
    assert [problem.field for problem in refused.problems] == ["engine"]


def test_blank_rows_and_other_columns_do_not_matter(tmp_path):
    text = "note,model,context,users,gpu_memory_gb\n,,,,\nx,llama-3-8b,8192,1,24\n\n  ,,\n"
    assert only(read(tmp_path, text)).context == 8192


def test_excels_separator_line(tmp_path):
    rows = read(tmp_path, f"sep=|\n{HEADERS['plain keys']}\n{ROW}\n{ROW.replace('32768', 'x')}\n".replace(",", "|"))
    assert is_the_chat(rows[0].scenario)
    assert rows[1].place == "line 4"


@pytest.mark.parametrize(("text", "tokens"), [("32K", 32_768), ("128k", 131_072), ("1M", 2**20), ("0.5k", 512)])
def test_tokens_in_thousands(tmp_path, text, tokens):
    """As cells and the command line read them."""
    line = f"{NAMES}\nChat,llama-3.1-70b,2M,{text},10,paged,{text},shipped,fp8,vllm,0.1,h100-sxm,\n"
    found = only(read(tmp_path, line))
    assert (found.context, found.output_tokens, found.average_tokens) == (2**21, tokens, tokens)


def test_every_problem_is_named_with_its_line_field_and_remedy(tmp_path):
    text = (
        f"{HEADERS['plain keys']}\n"
        '"two\nlines",llama-3-8b,8192,1,fp16,fp16,0.1,80\n'
        "a,lama-3.1-70b,32 words,0,fp17,16,10,0\n"
        "b,,,,,,,\n"
        "c,llama-3-8b,8192,1,fp16,fp16,0,1,80\n"
    )
    good, bad, blank, shifted = read(tmp_path, text)
    assert good.scenario.title == "two lines"
    assert bad.place == "line 4" and blank.place == "line 5" and shifted.place == "line 6"
    assert [problem.field for problem in bad.problems] == KEYS.split(",")[1:]
    for problem, words in zip(
        bad.problems,
        [
            "Did you mean 'llama-3.1-70b'?",
            "'32 words' is text, not a number",
            "0 is below 1",
            "Did you mean 'fp16'?",
            "bytes, not bits",
            "10 is above 1. Write a fraction from 0 to 1, for example 0.1",
            "0 is below 1. Write the memory of one GPU in GB",
        ],
    ):
        assert words in str(problem)
    assert [problem.field for problem in blank.problems] == ["model", "context", "gpu"]
    assert "9 cells" in str(shifted.problems[0]) and shifted.scenario is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"a,b\n1,2\n", "has no column model, context, gpu or gpu_memory_gb"),
        (b"model,Model,context,users,gpu_memory_gb\n", "two columns are named 'Model'"),
        (b"model,context,users,gpu_memory_gb\n\x00\x01", "not a text file"),
        (b"model,context,users,gpu_memory_gb\n" + b"x" * 2**21, "not a text file"),
        (b'model,context,users,gpu_memory_gb\n"' + b"x,\n" * 2**17, "cannot be read"),
        (b"\xff\xfe\x00", "not UTF-16"),
        (b"model,context,users,gpu_memory_gb\n\x80\xff\xff\xff", "its encoding is in doubt"),
    ],
)
def test_files_that_are_refused(tmp_path, content, words):
    path = tmp_path / "scenarios.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=words):
        list(CsvScenarios(path).given_rows())


@given(st.text(max_size=40))
def test_the_csv_guard_can_be_undone(text):
    guarded = csv_text(text)
    assert without_csv_guard(guarded) == text
    assert not guarded.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_draft_model(tmp_path):
    text = "model,context,gpu,draft_model,mtp_tokens\nqwen3-8b,8192,h100-sxm,Qwen3 0.6B,3\nqwen3-8b,8192,h100-sxm,,0\n"
    drafting, plain = read(tmp_path, text)
    assert drafting.scenario.draft_model.name == "qwen3-0.6b"
    assert drafting.scenario.service.draft == catalog.model("qwen3-0.6b").spec
    assert plain.scenario.draft_model is plain.scenario.service.draft is None


@pytest.mark.parametrize(
    ("cells", "field", "words"),
    [
        ("qwen3-32b,eagle3-gpt-oss-120b,3", "draft_model", "not published as drafting for qwen3-32b. Write eagle3-qwen3-32b."),
        ("mixtral-8x7b,qwen3-0.6b,3", "draft_model", "Leave it blank. Commands take any pair"),
        ("qwen3-8b,qwen3-0.6b,0", "draft_model", "it drafts no tokens. Write the tokens drafted in a step as mtp_tokens"),
        ("qwen3-8b,qwen3-0.7b,3", "draft_model", "'qwen3-0.7b' is not known"),
        ("qwen3-8b,,3", "mtp_tokens", "Write 0, for no drafted tokens, or name a draft_model"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_draft_model(tmp_path, cells, field, words):
    (found,) = read(tmp_path, f"model,draft_model,mtp_tokens,context,gpu\n{cells},8192,h100-sxm\n")
    (problem,) = found.problems
    assert problem.field == field and words in str(problem)
