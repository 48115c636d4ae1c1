"""Properties that hold for every architecture, checked on random ones without expected figures."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

import openpyxl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import vram_udf
from core import catalog
from core.engines.parallelism import (
    bytes_by_stage,
    kv_profile_per_gpu,
    layer_bytes_on_rank,
    layers_by_stage,
    outer_on_rank,
    tensor_parallel_obstacle,
    weights_bytes_per_gpu,
)
from core.model.kv_cache import kv_profile
from core.model.kv_profile import KvProfile
from core.model.precision import MAX_BYTES_PER_VALUE, MIN_BYTES_PER_VALUE, precision_of_bytes
from core.model.spec import ModelSpec
from core.model.weights import stored_bytes, weights_bytes
from core.plan.estimate import estimate
from core.readers.hf_config import spec_from_config
from core.units import UNIT_BYTES
from workbook.export.workbook import export_scenarios
from workbook.labels import Labels
from workbook.scenario_csv import CsvScenarios

pytestmark = pytest.mark.slow

FP16 = catalog.precision("precision", "fp16")
FP8 = catalog.precision("precision", "fp8")
WEIGHT_FORMATS = st.sampled_from([row.precision for row in catalog.precisions() if row.use != "kv"])
BYTES_PER_VALUE = st.floats(MIN_BYTES_PER_VALUE, MAX_BYTES_PER_VALUE)
CONTEXTS, USERS = st.integers(1, 10**6), st.integers(1, 10**4)
FEW = st.integers(1, 8)
FAMILIES = ["llama", "mistral", "qwen3_moe", "mixtral", "deepseek_v3", "gpt_oss", "mamba2"]


@st.composite
def architectures(draw) -> dict[str, object]:
    """Draw the fields of a config.json: dense, windowed, mixture of experts, latent attention or states, of any size."""
    kv_heads, group, head_dim = draw(st.sampled_from([1, 2, 3, 4, 8])), draw(FEW), 16 * draw(FEW)
    fields = {
        "model_type": draw(st.sampled_from(FAMILIES)),
        "num_hidden_layers": draw(st.integers(1, 24)),
        "hidden_size": 128 * draw(FEW),
        "intermediate_size": 128 * draw(FEW),
        "vocab_size": 1000 * draw(FEW),
        "num_attention_heads": kv_heads * group,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "tie_word_embeddings": draw(st.booleans()),
    }  # fmt: skip
    if fields["model_type"] in ("mistral", "gpt_oss"):
        fields |= {"sliding_window": 1024 * draw(FEW)}
    experts = 2 * draw(FEW)
    if fields["model_type"] in ("qwen3_moe", "deepseek_v3"):
        fields |= {"num_experts_per_tok": draw(st.integers(1, 2)), "moe_intermediate_size": 64 * draw(FEW)}
    if fields["model_type"] == "qwen3_moe":
        fields |= {"num_experts": experts}
    elif fields["model_type"] in ("mixtral", "gpt_oss"):
        fields |= {"num_local_experts": experts, "num_experts_per_tok": draw(st.integers(1, 2))}
    elif fields["model_type"] == "deepseek_v3":
        del fields["head_dim"]
        fields |= {
            "num_key_value_heads": kv_heads * group, "n_routed_experts": experts,
            "n_shared_experts": draw(st.integers(0, 2)),
            "first_k_dense_replace": draw(st.integers(0, 3)), "kv_lora_rank": 64 * draw(FEW), "qk_rope_head_dim": 32,
            "qk_nope_head_dim": head_dim, "v_head_dim": head_dim, "q_lora_rank": draw(st.sampled_from([None, 128])),
        }  # fmt: skip
    elif fields["model_type"] == "mamba2":
        fields |= {
            "num_heads": 4 * draw(FEW),
            "head_dim": 64,
            "state_size": 64,
            "n_groups": 1,
            "conv_kernel": 4,
            "expand": 2,
        }
        fields["hidden_size"] = fields["num_heads"] * 64 // 2
        for no_attention in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
            del fields[no_attention]
    return fields


def spec(fields: dict[str, object]) -> ModelSpec:
    return spec_from_config(fields, name="random")


def lines(model: ModelSpec, context=4096, users=3, precision=FP16, kv_precision=FP16) -> list[int]:
    """Return weights, KV cache, overhead and total in bytes."""
    result = estimate(model, context=context, users=users, precision=precision, kv_precision=kv_precision)
    return [item.size_bytes for item in result.line_items] + [result.total_bytes]


def none_is_less(more: list[int], less: list[int]) -> bool:
    return all(a >= b for a, b in zip(more, less))


SPECS = architectures().map(spec)


@given(architectures(), st.integers(1, 24))
def test_more_layers_never_need_less(fields, layers):
    more = fields | {"num_hidden_layers": fields["num_hidden_layers"] + layers}
    assert none_is_less(lines(spec(more)), lines(spec(fields)))


@given(SPECS, CONTEXTS, CONTEXTS, USERS, USERS)
def test_more_tokens_and_more_users_never_need_less(model, context, tokens, users, others):
    assert none_is_less(lines(model, context + tokens, users), lines(model, context, users))
    assert none_is_less(lines(model, context, users + others), lines(model, context, users))


@given(SPECS, BYTES_PER_VALUE, BYTES_PER_VALUE)
def test_more_bits_never_need_less(model, one, other):
    less, more = (precision_of_bytes("precision", size) for size in sorted((one, other)))
    assert none_is_less(
        lines(model, precision=more, kv_precision=more), lines(model, precision=less, kv_precision=less)
    )


# Ranks and stages for one node or a few.
@given(SPECS, WEIGHT_FORMATS, st.sampled_from([1, 2, 4, 8]), st.integers(1, 6), CONTEXTS)
def test_gpus_together_hold_at_least_the_whole(model, precision, tp, pp, context):
    assume(not tensor_parallel_obstacle(model, tp) and pp <= model.num_hidden_layers)
    assert tp * pp * weights_bytes_per_gpu(model, precision, tp=tp, pp=pp) >= weights_bytes(model, precision)
    stages = [stage.bytes_of_sequences(1, context, FP16) for stage in kv_profile_per_gpu(model, tp, pp)]
    assert tp * sum(stages) >= kv_profile(model).bytes_of_sequences(1, context, FP16)


@given(SPECS, WEIGHT_FORMATS, st.integers(1, 24))
def test_stages_add_up_to_the_whole(model, precision, pp):
    """The last stage has a copy of a tied embedding; no other tensor is stored twice."""
    assume(pp <= model.num_hidden_layers)
    assert sum(layers_by_stage(model.num_hidden_layers, pp)) == model.num_hidden_layers
    assert sum(kv_profile_per_gpu(model, 1, pp), KvProfile()) == kv_profile(model)

    def outside(stage: int) -> int:
        tensors = outer_on_rank(model, 1, pp, stage)
        return sum(stored_bytes(tensor, model, None, precision) * times for tensor, times in tensors)

    together = sum(bytes_by_stage(model, pp, layer_bytes_on_rank(model, precision, 1), outside))
    copies = pp > 1 and model.tie_word_embeddings
    embedding = next(tensor for tensor, _ in outer_on_rank(model, 1, 1, 0) if tensor.name == "embed_tokens")
    whole = sum(bytes_by_stage(model, 1, layer_bytes_on_rank(model, precision, 1), lambda stage: sum(
        stored_bytes(tensor, model, None, precision) * times for tensor, times in outer_on_rank(model, 1, 1, 0))))  # fmt: skip
    assert together == whole + (stored_bytes(embedding, model, None, precision) if copies else 0)


# ---- through the cells -------------------------------------------------------------------------------

NAMES = ["llama-3.1-70b", "gemma-3-27b", "deepseek-v3", "qwen3-0.6b", "no such model", 70]
CELLS = st.tuples(
    st.sampled_from(NAMES), st.sampled_from([1, 1000, 32768, -1, "x", None]), st.sampled_from([1, 7, 10**6, 0, None]),
    st.sampled_from(["fp16", "fp8", "awq", 0.5, "fp", None]),
)  # fmt: skip


@given(st.sampled_from(NAMES[:4]), CONTEXTS, USERS, st.sampled_from(list(UNIT_BYTES)))
def test_units_convert_exactly(name, context, users, unit):
    """The result is the float nearest to the exact quotient of whole bytes."""
    size_bytes = estimate(
        catalog.model(name).spec, context=context, users=users, precision=None, kv_precision=FP16
    ).total_bytes
    assert vram_udf.VRAM_TOTAL(name, context, users, None, None, None, unit) == float(
        Fraction(size_bytes, UNIT_BYTES[unit])
    )


@given(st.lists(CELLS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_permuting_rows_permutes_results(rows, chance):
    order = chance.sample(range(len(rows)), len(rows))

    def answers(rows):
        columns = [[[cell] for cell in column] for column in zip(*rows)]
        found = vram_udf.VRAM_TOTAL(*columns)
        return [row[0] for row in found] if isinstance(found, list) else [found]

    assert answers([rows[i] for i in order]) == [answers(rows)[i] for i in order]


@given(st.lists(CELLS, min_size=2, max_size=4), st.lists(CELLS, min_size=2, max_size=4))
def test_a_transposed_grid_gives_transposed_results(down, across):
    models, contexts = [row[0] for row in down], [row[1] for row in across]
    upright = vram_udf.VRAM_KV([[name] for name in models], [contexts])
    turned = vram_udf.VRAM_KV([models], [[context] for context in contexts])
    assert [list(column) for column in zip(*upright)] == turned
    assert upright == [[vram_udf.VRAM_KV(name, context) for context in contexts] for name in models]


@given(architectures(), st.randoms(use_true_random=False))
def test_the_order_of_labels_does_not_matter(fields, chance):
    pairs = [[label, value] for label, value in fields.items() if value is not None]  # a blank cell is not null
    expected = lines(spec_from_config(dict(pairs), name="custom model"), 1000, 2)[-1] / 1e9
    shuffled = chance.sample(pairs, len(pairs))
    assert vram_udf.VRAM_TOTAL(shuffled, 1000, 2, "fp16") == expected
    assert vram_udf.VRAM_TOTAL([list(row) for row in zip(*shuffled)], 1000, 2, "fp16") == expected
    assert vram_udf.VRAM_TOTAL([list(itertools.chain(*shuffled))], 1000, 2, "fp16") == expected


# ---- through an export -------------------------------------------------------------------------------


def exported_totals(folder, rows: list[str]) -> dict[str, float]:
    """Return title → total from the index of the exported workbook."""
    (folder / "scenarios.csv").write_text(
        "scenario,model,context,users,gpu_memory_gb\n" + "".join(rows), encoding="utf-8"
    )
    export_scenarios(folder / "out.xlsx", CsvScenarios(folder / "scenarios.csv"), "en")
    ws = openpyxl.load_workbook(folder / "out.xlsx", data_only=True).worksheets[0]
    cells = [list(row) for row in ws.iter_rows(values_only=True)]
    title, total = (Labels("en")(f"scenarios.{key}") for key in ("scenario", "total"))
    header = next(i for i, row in enumerate(cells) if title in row and total in row)
    at_title, at_total = cells[header].index(title), cells[header].index(total)
    return {row[at_title]: row[at_total] for row in cells[header + 1 :] if row[at_title]}


@settings(max_examples=3)
@given(st.integers())
def test_permuting_scenarios_permutes_their_pages(tmp_path_factory, seed):
    chance, folder = random.Random(seed), tmp_path_factory.mktemp("export")
    rows = [f"s{i},{name},{1000 * i + 1},{i + 1},80\n" for i, name in enumerate(NAMES[:4])]
    found = exported_totals(folder, chance.sample(rows, len(rows)))
    assert len(found) == len(rows) and found == exported_totals(folder, rows)
