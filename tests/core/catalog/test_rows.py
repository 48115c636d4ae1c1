"""Test the rows of the user's own models: reading them, looking models up in them, and writing them."""

from __future__ import annotations

import csv
import io
import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vram_udf
from core import catalog
from core.catalog.rows import COLUMNS, BadRowError, needed_fields, read_rows, row_of, with_row
from core.errors import PlannerError
from core.readers.files import UnreadableFileError
from core.readers.hf_config import spec_from_config
from core.texts import FORMULA_STARTS

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    "tie_word_embeddings": False, "attention_bias": False,
}  # fmt: skip


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a file of own models and make the catalog read it."""

    written = count()

    def write(text: str | bytes) -> str:
        path = tmp_path / str(next(written)) / "own models.csv"  # a new file each time: a process reads each file once
        path.parent.mkdir()
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setenv(catalog.MODELS_VARIABLE, str(path))
        return str(path)

    return write


ROW = "house-model,org/House-Model,House model,llama,2,4096,14336,32,8,1000\n"
HEADER = (
    "name,aliases,title,model_type,num_hidden_layers,hidden_size,intermediate_size,num_attention_heads,"
    "num_key_value_heads,vocab_size\n"
)


# ---- reading -------------------------------------------------------------------------------------------


def test_own_models_go_before_the_catalog(own):
    shipped = catalog.model_names()
    own(HEADER + ROW + ROW.replace("house-model", "LLAMA 3.1 8B").replace("org/House-Model", ""))
    assert catalog.model_names() == ("house-model", "LLAMA 3.1 8B", *(n for n in shipped if n != "llama-3.1-8b"))
    assert catalog.model("llama-3.1-8b").spec.num_hidden_layers == 2
    assert catalog.model("House_Model").spec.hidden_size == 4096
    assert catalog.model("ORG/house-model").name == "house-model"
    assert catalog.model("llama-3.1-70b").spec.num_hidden_layers == 80


def test_cells_know_own_models_and_an_unnamed_file_changes_nothing(own, monkeypatch):
    own(HEADER + ROW)
    # 2 layers × 2 × 8 heads × 128 values × 2 bytes
    assert vram_udf.VRAM_KV_PER_TOKEN([["house-model"]], unit=[["B"]]) == 8192
    monkeypatch.delenv(catalog.MODELS_VARIABLE)
    assert vram_udf.VRAM_KV_PER_TOKEN([["house-model"]], unit=[["B"]]) == "#N/A"


def test_a_cell_shows_what_is_wrong_with_the_file(own):
    path = own(HEADER + ROW.replace("4096", "wide"))
    assert vram_udf.VRAM_TOTAL([["house-model"]], [[100]]) == "#VALUE!"
    message = vram_udf.VRAM_CHECK([["house-model"]], [[100]])
    assert message.startswith(f"{path}, line 2, hidden_size: 'wide' is not a number")
    assert vram_udf.VRAM_CHECK([["llama-3.1-8b"]], [[100]]) == "OK"  # other models still work


def test_what_excel_saves_as_csv_utf_8_is_read(own):
    second = ROW.replace("house-model,org/House-Model", "住房模型,")
    own(("\ufeff" + HEADER + ROW + second + ",,,,,,,,,\n").replace("\n", "\r\n"))
    assert catalog.model("住房模型").spec.num_hidden_layers == 2


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_excel_saves_in_other_countries_is_read_and_keeps_its_separator(tmp_path, own, separator, encoding):
    header, text = HEADER.rstrip() + ",params_b\n", ROW.rstrip() + ",7x5\n"
    content = (header + text).replace(",", separator).replace("x5", ",5").replace("\n", "\r\n").encode(encoding)
    path = tmp_path / "excel.csv"
    path.write_bytes(content)
    [found] = read_rows(str(path))
    assert found.fields()["params_b"] == 7.5
    path.write_bytes(with_row(content, {"name": "another", "model_type": "llama"}))
    assert [known["name"] for known in read_rows(str(path))] == [found["name"], "another"]
    assert path.read_bytes().startswith(b"\xef\xbb\xbfname" + separator.encode())


def test_other_fields_are_read(own):
    own(
        HEADER.rstrip() + ",other_fields\n"
        + ROW.replace(",8,1000", ",,1000").rstrip() + ',"{""num_key_value_heads"":4,""head_dim"":64}"\n'
    )  # fmt: skip
    mixer = catalog.model("house-model").spec.layers[0].mixer
    assert (mixer.num_key_value_heads, mixer.head_dim) == (4, 64)


BAD_FILES = {
    "nothing": ("", "it has no column name"),
    "no model_type": ("name,title\n", "it has no column model_type"),
    "an unknown column": ("name,model_type,hiden_size\n", "unknown column 'hiden_size'"),
    "a column twice": ("name,model_type,name\n", "the same column twice"),
    "another code page": ((HEADER + "模型,").encode("gbk"), 'save it as "CSV UTF-8"'),
    "an open quote": (HEADER + '"house', "line 2"),
    "NUL": (HEADER + "a\0b", ""),
    "a cell too many": (HEADER + ROW.rstrip() + ",1\n", "line 2, number of cells: it has 11, but the first line has 10"),
    "a cell too few": (HEADER + "\n" + "house-model,x\n", "line 3, number of cells: it has 2"),
    "no name": (HEADER + ROW.replace("house-model", ""), "line 2, name: it is missing"),
    "a name of 256 characters": (HEADER + "h" * 245 + ROW, "line 2, name: it has 256 characters, more than 255"),
    "control characters": (HEADER + ROW.replace("House model", "a\x1b[31mb"), "line 2, title: 'a\\x1b[31mb' has control"),
    "16 MiB and a byte": (HEADER + " " * (2**24 + 1 - len(HEADER)), "it is larger than 16 MiB"),
    "a name twice": (HEADER + ROW + ROW, "line 3, name: 'house-model' is also in line 2"),
    **{
        f"a name that begins with {start!r}": (HEADER + start + ROW, "starts like a formula")
        for start in "=+-@"
    },
}  # fmt: skip


@pytest.mark.parametrize("content, words", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_in_a_sentence_that_names_it(own, content, words):
    path = own(content)
    with pytest.raises((UnreadableFileError, BadRowError)) as error:
        catalog.model("llama-3.1-8b")
    assert words in str(error.value) and path in str(error.value)


@pytest.mark.parametrize(
    "row, extra_column, extra, words",
    [
        (ROW.replace(",2,", ",two,"), "", "", "line 2, num_hidden_layers: 'two' is not a number"),
        (ROW.replace(",2,", ",-2,"), "", "", "line 2, num_hidden_layers: -2 is below 1"),
        (ROW.replace(",2,", ",nan,"), "", "", "line 2, num_hidden_layers: nan is not a finite number"),
        (ROW.replace(",2,", ',"4,096",'), "", "", "line 2, num_hidden_layers: '4,096' is not a number"),
        (ROW.replace(",2,", ",,"), "", "", "line 2, num_hidden_layers: it is missing"),
        (ROW.replace("llama", "lama"), "", "", "line 2, model_type: 'lama' is not a supported architecture"),
        (ROW, "tie_word_embeddings", "maybe", "line 2, tie_word_embeddings: 'maybe' is neither true nor false"),
        (ROW, "published_parameters", "7e10", "line 2, published_parameters: '7e10' is not a whole number"),
        (ROW, "as_of", "yesterday", "line 2, as_of: 'yesterday' is not a date"),
        (ROW, "as_of", "2026-02-30", "line 2, as_of: '2026-02-30' is not a date"),
        (ROW, "other_fields", "{", "line 2, other_fields: '{' is not a JSON object"),
        (ROW, "other_fields", "[]", "line 2, other_fields: '[]' is not a JSON object"),
        (ROW, "other_fields", "[" * 9000, "is not a JSON object"),
        (ROW, "other_fields", '"{""hidden_size"":1}"', "line 2, other_fields: hidden_size is also in its own column"),
    ],
)
def test_a_bad_row_is_refused_by_line_and_column(own, row, extra_column, extra, words):
    header = HEADER.rstrip() + ("," + extra_column if extra_column else "") + "\n"
    path = own(header + row.rstrip() + ("," + extra if extra_column else "") + "\n")
    with pytest.raises(BadRowError) as error:
        catalog.model("house-model")
    assert words in str(error.value) and path in str(error.value)


@pytest.mark.parametrize("path", ["missing.csv", "."])
def test_a_file_that_cannot_be_read_is_named(monkeypatch, path):
    monkeypatch.setenv(catalog.MODELS_VARIABLE, path)
    with pytest.raises(UnreadableFileError, match="cannot be read as a CSV file of models"):
        catalog.models()


def test_a_row_in_place_of_one_of_the_catalog_is_announced(own):
    own(HEADER + ROW.replace("house-model", "qwen3-8b", 1) + ROW)
    named = catalog.named_model("Qwen3 8B")
    assert named.assumed == "qwen3-8b is that of your own file, not of the catalog"
    assert named.spec.notes == (f"model: {named.assumed}",)
    assert catalog.named_model("qwen3:8b-q8_0").assumed.endswith(f"; {named.assumed}")
    assert not catalog.named_model("house-model").assumed and not catalog.named_model("qwen3-14b").assumed


def test_a_date_as_excel_rewrites_it_is_understood(own):
    own(HEADER.rstrip() + ",as_of\n" + ROW.rstrip() + ",2026/3/9\n")
    assert catalog.model("house-model").as_of == "2026-03-09"


# ---- writing -------------------------------------------------------------------------------------------

NOISE = {
    "architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16", "bos_token_id": 1, "rope_theta": 500000.0,
    "rope_scaling": {"factor": 8.0, "rope_type": "llama3"}, "eos_token_id": [1, 2], "pad_token_id": None,
}  # fmt: skip


def row(fields: dict[str, object], **cells: str) -> dict[str, str]:
    return row_of(fields, **({"name": "m", "title": "m", "source": "config.json", "as_of": "2026-11-23"} | cells))


def test_only_what_is_looked_at_is_kept():
    assert needed_fields(LLAMA_8B | NOISE, name="m") == LLAMA_8B
    assert row(LLAMA_8B | NOISE)["other_fields"] == ""


def test_a_field_that_equals_a_default_is_kept():
    """The row must keep its meaning if a later version changes the default."""
    qwen = {field: value for field, value in LLAMA_8B.items() if field != "attention_bias"} | {"model_type": "qwen2"}
    assert row(qwen | NOISE | {"use_sliding_window": False})["other_fields"] == '{"use_sliding_window":false}'


def test_of_a_field_with_fields_only_those_that_count_are_kept():
    """Transformers' FineGrainedFP8Config: the modules that are not converted; how activations are scaled is ignored."""
    stored = {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head"]}
    found = row(LLAMA_8B | {"quantization_config": stored | {"activation_scheme": "dynamic", "note": {"a": 1}}})
    assert json.loads(found["other_fields"]) == {"quantization_config": stored}


@given(
    layers=st.integers(1, 200),
    kv_heads=st.sampled_from([1, 2, 4, 8]),
    head_dim=st.sampled_from([None, 64, 128]),
    params_b=st.none() | st.floats(0.001, 2000),
    flags=st.tuples(st.none() | st.booleans(), st.none() | st.booleans()),
    model_type=st.sampled_from(["llama", "qwen2"]),
)
def test_a_model_survives_its_row(tmp_path_factory, layers, kv_heads, head_dim, params_b, flags, model_type):
    fields = LLAMA_8B | NOISE | {
        "model_type": model_type, "num_hidden_layers": layers, "num_key_value_heads": kv_heads, "head_dim": head_dim,
        "params_b": params_b, "tie_word_embeddings": flags[0], "attention_bias": flags[1],
    }  # fmt: skip
    fields = {field: value for field, value in fields.items() if value is not None or field == "head_dim"}
    if model_type == "qwen2":
        fields.pop("attention_bias", None)  # these models always have it
    path = tmp_path_factory.getbasetemp() / "one_row.csv"
    path.write_bytes(with_row(b"", row(fields)))
    [read] = read_rows(str(path))
    assert read.spec() == spec_from_config(fields, name="m")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
@pytest.mark.parametrize("column", ["name", "title", "source"])
def test_no_cell_is_written_that_a_spreadsheet_program_reads_as_a_formula(column, start):
    with pytest.raises(PlannerError, match=f"{column}: .* starts like a formula"):
        row(LLAMA_8B, **{column: start + "1+1"})


def test_control_characters_are_not_written():
    with pytest.raises(PlannerError, match="control characters"):
        row(LLAMA_8B, title="a\x1b[31mb")


def test_a_text_longer_than_a_cell_is_not_written():
    assert row(LLAMA_8B, title="t" * 32_767)["title"]
    with pytest.raises(PlannerError, match="title: it has 32768 characters, a cell holds 32767"):
        row(LLAMA_8B, title="t" * 32_768)


TITLES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)


@given(st.lists(TITLES, min_size=1, max_size=4))
def test_every_text_that_is_written_is_read_back(tmp_path_factory, titles):
    path = tmp_path_factory.getbasetemp() / "one_row.csv"
    content, written = b"", []
    for i, title in enumerate(titles):
        try:
            content = with_row(content, row(LLAMA_8B, name=f"m{i}", title=title))
            written.append(title.strip())
        except PlannerError:
            assert title.startswith(FORMULA_STARTS)
    path.write_bytes(content or b"name,model_type\r\n")
    assert [read["title"] for read in read_rows(str(path))] == written


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_row_is_added_in_the_order_of_the_file_and_nothing_else_changes(end, mark):
    before = f"{mark}model_type, name ,{','.join(c for c in COLUMNS if c not in ('model_type', 'name'))}{end}".encode()
    after = with_row(before, row(LLAMA_8B, name="m"))
    assert after.startswith(before)
    [_, cells] = list(csv.reader(io.StringIO(after.decode("utf-8-sig"), newline="")))
    assert cells[:2] == ["llama", "m"]


def test_a_file_without_a_needed_column_is_not_written_to():
    with pytest.raises(PlannerError, match="Add the column"):
        with_row(b"name,model_type\n", row(LLAMA_8B))
