"""Test that models are found by the names that people type, and that unsure names are errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.catalog.data_files import read_data
from core.catalog.written_names import BRANDS, read_written
from core.errors import UnknownNameError
from core.model.weights import weights_bytes
from tools import golden_tables


@pytest.mark.parametrize(
    "written, name, precision",
    [
        # Ollama: ollama.com/library, model pages and tags.
        ("llama3.1:8b", "llama-3.1-8b", None),
        ("llama3.1:70b-instruct-q4_K_M", "llama-3.1-70b", "q4_k_m"),
        ("llama3.1", "llama-3.1-8b", None),
        ("llama3:latest", "llama-3-8b", None),
        ("llama3:text", "llama-3-8b", None),
        ("llama3:q8_0", "llama-3-8b", "q8_0"),
        ("qwen2.5:72b", "qwen2.5-72b-instruct", None),
        ("qwen3:30b", "qwen3-30b-a3b", None),
        ("qwen3:30b-a3b-instruct-2507-q4_K_M", "qwen3-30b-a3b-2507", "q4_k_m"),
        ("qwen:72b", "qwen1.5-72b", None),
        ("deepseek-r1:32b", "deepseek-r1-distill-qwen-32b", None),
        ("deepseek-r1", "deepseek-r1", None),
        ("llama4:16x17b", "llama-4-scout", None),
        # Copies, as the hub names them.
        ("hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", "llama-3.2-3b", "q4_k_m"),
        ("unsloth/Qwen2.5-7B-Instruct-bnb-4bit", "qwen2.5-7b-instruct", "nf4"),
        ("unsloth/Meta-Llama-3.1-8B-Instruct-unsloth-bnb-4bit", "llama-3.1-8b", "nf4"),
        ("RedHatAI/Llama-3.3-70B-Instruct-quantized.w4a16", "llama-3.3-70b", "w4a16"),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "llama-3.3-70b", "fp8_channel"),
        ("Qwen/Qwen3-4B-Instruct-2507-FP8", "qwen3-4b-2507", "fp8_tensor"),
        ("TheBloke/Llama-2-70B-Chat-GPTQ", "llama-2-70b", "gptq"),
        ("Qwen/Qwen3-1.7B-GPTQ-Int8", "qwen3-1.7b", "gptq_int8"),
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", "qwen2.5-72b-instruct", "awq"),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-r1", "nvfp4"),
        ("google/gemma-3-27b-it-qat-q4_0-gguf", "gemma-3-27b", "q4_0"),
        ("lmstudio-community/gpt-oss-20b-GGUF", "gpt-oss-20b", None),
        ("mlx-community/Qwen3-8B-4bit", "qwen3-8b", None),
        ("unsloth/Llama-3.1-8B-Instruct-UD-Q4_K_XL", "llama-3.1-8b", "q4_k_m"),
        # Spellings.
        ("“llama-3.1-70b”", "llama-3.1-70b", None),
        ("llama–3.1–70b", "llama-3.1-70b", None),
        ("「qwen3−8b」", "qwen3-8b", None),
        ("llama-3-1-70b", "llama-3.1-70b", None),
        ("google gemma 3 27b", "gemma-3-27b", None),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", "mixtral-8x22b", None),
        ("通义千问3-8B", "qwen3-8b", None),
    ],
)
def test_names_as_people_write_them(written, name, precision):
    found = catalog.named_model(written)
    assert found.model.name == name
    assert (found.precision and found.precision.name) == precision
    assert catalog.model(written) is found.model


def test_a_name_of_the_catalog_is_not_an_assumption():
    assert catalog.named_model("Llama 3.1 70B").assumed == ""
    assert catalog.named_model("llama3.1:70b").assumed == "'llama3.1:70b' is read as llama-3.1-70b"


def test_the_answer_names_the_format_or_asks_for_it():
    stated = catalog.named_model("unsloth/Qwen3-8B-bnb-4bit").assumed
    assert stated == "'unsloth/Qwen3-8B-bnb-4bit' is read as qwen3-8b with weights in nf4"
    unknown = catalog.named_model("mlx-community/Qwen3-8B-4bit").assumed
    assert (
        unknown == "'mlx-community/Qwen3-8B-4bit' is read as qwen3-8b as it is shipped; give the precision for '4bit'"
    )


@pytest.mark.parametrize(
    "written",
    [
        "llama",
        "llama 70b",
        "llama3:13b",
        "whisper",
        "Qwen 1.4b",  # not Qwen 14B
        "qwen3.1-7b",  # not Qwen3 1.7B
        "someone/Llama-3.1-8B-medical",
        "trl-internal-testing/tiny-random-LlamaForCausalLM",
        "someone/Gemma-3-1B-it-GLM-4.7-Flash-Heretic_GGUF",
        "meta-llama/Llama-3.1-8B@main",  # the hub's, at a revision
        "gguf",
        "q4_K_M",
        ":",
        "a" * 300,
    ],
)
def test_an_unsure_name_is_an_error(written):
    with pytest.raises(UnknownNameError):
        catalog.named_model(written)


@pytest.mark.parametrize("row", golden_tables.rows("written_names"), ids=lambda row: row["name"])
def test_names_of_public_lists(row):
    if row["model"]:
        assert catalog.named_model(row["name"]).model.name == row["model"]
    else:
        with pytest.raises(UnknownNameError):
            catalog.named_model(row["name"])


@pytest.mark.parametrize(
    ("written", "choices"),
    [
        ("llama", ["llama-2-7b", "llama-3.1-8b"]),
        ("llama 70b", ["llama-2-70b", "llama-3.3-70b"]),
        ("Whisper", ["whisper-base", "whisper-large-v3"]),
    ],
)
def test_a_family_asks_which(written, choices):
    with pytest.raises(UnknownNameError, match="fits several models") as caught:
        catalog.model(written)
    assert all(choice in caught.value.remedy for choice in choices)


@pytest.mark.parametrize("written", ["deepseek-r1:9b", "gemma 5b", "llama-3.1-80b", "qwen3:33b"])
def test_no_suggestion_has_another_size(written):
    with pytest.raises(UnknownNameError) as caught:
        catalog.model(written)
    assert "Did you mean" not in caught.value.remedy


def test_a_name_without_a_family_is_no_question():
    with pytest.raises(UnknownNameError, match="is not known"):
        catalog.model("70b")


def test_a_named_format_is_that_of_the_checkpoint():
    found, plain = catalog.named_model("qwen3:32b-q4_K_M"), catalog.model("qwen3-32b").spec
    assert weights_bytes(found.spec) == weights_bytes(plain, catalog.precision("precision", "q4_k_m"))
    assert weights_bytes(found.spec, catalog.precision("precision", "fp16")) == weights_bytes(plain)
    assert f"model: {found.assumed}" in found.spec.notes
    assert catalog.named_model("qwen3-32b").spec is plain
    assert catalog.named_model("qwen3:32b").spec == plain  # the note says what was read


def test_every_other_name_means_a_model_of_the_catalog():
    for row in read_data("model_names.csv"):
        assert row["source"]
        assert catalog.model(row["name"]).name == row["model"], row


@given(st.text())
def test_any_text_is_read_or_refused(text):
    written = read_written(text, lambda phrase: "awq" if phrase == "awq" else "")
    assert written is None or written.precision in ("", "awq")


_BF16 = [known.name for known in catalog.models() if known.spec.quantization is None and known.spec.layers]


@given(st.sampled_from(_BF16), st.sampled_from(["-AWQ", "-GGUF", "_awq", " gguf", "-quantized.w8a8"]))
def test_a_copy_of_any_model_is_that_model(name, ending):
    assert catalog.named_model(f"someone/{name}{ending}").model.name == name


@pytest.mark.parametrize(
    ("written", "model", "precision"),
    [
        ("kimi-k2:1t-cloud", "kimi-k2", None),
        ("glm-4.6:cloud", "glm-4.6", None),
        ("deepseek r1 671b", "deepseek-r1", None),
        ("DeepSeek R1 7B", "deepseek-r1-distill-qwen-7b", None),
        ("deepseek-r1:70b-llama-distill-q4_K_M", "deepseek-r1-distill-llama-70b", "q4_k_m"),
        ("mistral-nemo:12b-instruct-2407-q6_K", "mistral-nemo-12b", "q6_k"),
        ("智谱 GLM4.6", "glm-4.6", None),
        ("月之暗面 Kimi K2", "kimi-k2", None),
        ("零一万物 Yi-34B", "yi-34b", None),
        ("文心一言 4.5 21B", "ernie-4.5-21b-a3b", None),
        ("腾讯混元 A13B", "hunyuan-a13b", None),
        ("书生·浦语2.5-7B", "internlm2.5-7b", None),
        ("cyankiwi/Qwen3-Coder-30B-A3B-Instruct-AWQ-4bit", "qwen3-coder-30b-a3b", "awq"),
        ("someone/Qwen3-14B-AWQ-INT4", "qwen3-14b", "awq"),
        ("ISTA-DASLab/gemma-3-27b-it-GPTQ-4b-128g", "gemma-3-27b", "gptq"),
    ],
)
def test_kinds_of_names(written, model, precision):
    """Hosted tags, sizes without a colon, Chinese brands before the name, and bits next to their format."""
    found = catalog.named_model(written)
    assert found.model.name == model
    assert (found.precision.name if found.precision else None) == precision


@pytest.mark.parametrize("brand", ["通义千问", "深度求索", "智谱GLM", "月之暗面"])
def test_a_chinese_brand_alone_asks_which(brand):
    with pytest.raises(UnknownNameError, match="fits several models. Say which: "):
        catalog.named_model(brand)


def test_a_chinese_brand_of_an_unknown_model_says_how_its_models_are_called():
    with pytest.raises(UnknownNameError) as error:
        catalog.named_model("混元-x")
    assert error.value.remedy.endswith('The models of 混元 are called "hunyuan…" here, for example "hunyuan-0.5b".')


@pytest.mark.parametrize(("brand", "start"), BRANDS.items())
def test_every_chinese_brand_has_models(brand, start):
    with pytest.raises(
        UnknownNameError, match=f'The models of {brand} are called "{start}…" here, for example "{start}'
    ):
        catalog.named_model(f"{brand} no such model")


@pytest.mark.parametrize("name", ["claude", "claude-3-opus", "gpt-4o", "GPT5", "gemini 2.5 pro", "o3-mini"])
def test_models_without_published_weights_say_so(name):
    with pytest.raises(UnknownNameError, match="Its weights are not published"):
        catalog.named_model(name)
