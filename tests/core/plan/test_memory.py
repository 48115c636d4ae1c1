"""The terms of `core.plan.memory` against the engine, with figures computed anew and with the stored ones."""

from __future__ import annotations

import math
import os
import random
from dataclasses import asdict

import pytest

from core import catalog
from core.catalog import CatalogModel
from core.catalog.draft_models import DraftedModel, draft_model, draft_models_of, draft_pairs, drafted_models
from core.engines.blocks import BLOCK_TOKENS
from core.engines.capacity import users_that_fit
from core.engines.deployment import EngineSettings
from core.engines.served import loaded_model
from core.model.counts import model_counts
from core.plan.cache_formats import attention_kind, vllm_has
from core.plan.fleet import (
    ATTENTION_GROUPS,
    Replica,
    Service,
    choice_of_gb,
    choice_of_gpu,
    deployment_of,
    replicas_of,
    users_per_replica,
)
from core.plan.layout_figures import (
    CACHE_WIDTHS,
    KERNELS,
    SAME_WEIGHTS,
    STEP_CLASSES,
    WEIGHT_FORMATS,
    cache_width,
    kernels_and_width,
    layout_rows,
    model_figures,
    rule_row,
    stage_inputs,
    stored_rows,
)
from core.plan.memory import RULE
from core.plan.replica_figures import CONSTANTS, device_figures, replica_figures
from tests.paths import ROOT
from tools.layout_table import LAYOUT_HEADER, layout_lines, table_text

CASES = int(os.environ.get("VRAM_PARITY_CASES", "5000"))
MODELS = [model for model in catalog.models() if model.spec.vocab_size is not None]
GPUS = catalog.gpus()


def drafted_name(model: CatalogModel, draft: CatalogModel | None) -> str:
    return DraftedModel(model=model, draft=draft).name


def stored_inputs(name: str, service: Service, replica: Replica) -> list[dict[str, float]]:
    """Return the inputs of each stage from layouts.csv, as the workbook looks them up by the name of a model or pair."""
    weights = (
        "shipped" if service.precision is None else SAME_WEIGHTS.get(service.precision.name, service.precision.name)
    )
    if weights == "shipped":
        common = model_figures(loaded_model(service.model, service.settings, service.draft), service.draft)
        kind, wide = common.shipped_kernels, common.shipped_wide
    else:
        kind, wide = kernels_and_width(weights)
    width = cache_width(service.kv_precision)
    step = device_figures(replica.gpu)["step_tokens"]
    kernels = list(KERNELS)[kind - 1]

    rows = STORED[name][replica.tp, replica.pp, service.groups, bool(service.settings.mtp_tokens)]

    def figure(row, column):
        return row.get(column, 0)

    return [
        {
            "weights_bytes": figure(row, f"weights_{weights}"),
            "wide": wide,
            "step_activation_bytes": figure(row, f"activation_{kernels}_{step}"),
            "latent_fixed_bytes": figure(row, f"latent_{kernels}"),
            "latent_bytes_per_token": figure(row, "latent_per_token"),
            "block_bytes": figure(row, f"block_bytes_{width}"),
            "block_tokens": figure(row, f"block_tokens_{width}"),
            "block_tokens_2": figure(row, f"block_tokens_2_{width}"),
            "window_block_tokens": figure(row, "window_block_tokens"),
            "lora_values": figure(rows[0], "lora_values"),
        }
        for row in rows
    ]


STORED = stored_rows()


def random_case(chance: random.Random):
    model = chance.choice(MODELS)
    gpu = choice_of_gpu(chance.choice(GPUS)) if chance.random() < 0.8 else choice_of_gb(chance.uniform(8, 300))
    longest = model.spec.max_position_embeddings or 131_072
    context = min(longest, int(2 ** chance.uniform(7, 18)))
    name = chance.choice([*WEIGHT_FORMATS, *SAME_WEIGHTS])
    cache = catalog.precision("kv_precision", chance.choice([*CACHE_WIDTHS.values(), "bf16", "int8"]))
    if cache.name == "fp8_ds_mla" and not vllm_has(cache, attention_kind(model.spec)):
        cache = catalog.precision(
            "kv_precision", "fp8"
        )  # the rows have no blocks of windows of a width that is warned of
    drafts = draft_models_of(model.name)
    draft = draft_model(chance.choice(drafts)) if drafts and chance.random() < 0.7 else None
    service = Service(
        model=model.spec,
        precision=None if name == "shipped" else catalog.precision("precision", name),
        kv_precision=cache,
        average_tokens=chance.choice((None, None, chance.randint(1, context))),
        settings=EngineSettings(
            attention_dp=chance.choice((None, None, None, *ATTENTION_GROUPS[1:])),
            shared_tokens=chance.choice((None, None, chance.randint(0, 2 * context))),
            lora_adapters=chance.choice((None, None, chance.randint(0, 20))),
            lora_rank=chance.choice((None, 8, 64)),
            mtp_tokens=chance.choice((1, 5, 64))
            if draft
            else chance.choice((None, 1, 5, 64))
            if model.spec.drafts
            else None,
        ),
        draft=draft.spec if draft else None,
    )
    return drafted_name(model, draft), service, gpu, context


@pytest.mark.slow
def test_terms_give_the_users_of_the_engine():
    chance, held = random.Random(13), 0
    for _ in range(CASES):
        name, service, gpu, context = random_case(chance)
        replicas = replicas_of(service.model, gpu, "vllm", service.groups)
        if not replicas:  # without experts there is nothing that groups share
            continue
        replica = chance.choice([replica for replica in replicas if service.draft is None or replica.pp == 1])
        tokens = min(context, service.average_tokens or context)
        expected = users_that_fit(service.engine, deployment_of(service, replica, context), tokens)
        assert users_per_replica(service, replica, context) == expected
        for stages in (None, stored_inputs(name, service, replica)):
            figures = replica_figures(service, replica, context, stages)
            users = min(math.floor(figure["stage_users"]) for figure in figures) * service.groups
            assert users == expected, (name, service.precision, service.kv_precision.name, replica, context, tokens)
        held += expected > 0
    assert held > CASES / 3


@pytest.mark.parametrize(("tp", "pp"), [(4, 1), (2, 2)])
def test_terms_of_one_replica_give_the_users_of_the_engine(tp, pp):
    name, gpu = "llama-3.1-70b", choice_of_gpu(catalog.gpu("h100-sxm"))
    kv_precision = catalog.precision("kv_precision", "fp16")
    service = Service(model=catalog.model(name).spec, precision=None, kv_precision=kv_precision)
    replica = Replica(gpu, tp, pp)
    found = replica_figures(service, replica, 8192)
    stored = stored_inputs(name, service, replica)
    usual = [stage | {"block_tokens": stage["block_tokens"] or BLOCK_TOKENS} for stage in stored]
    assert found == replica_figures(service, replica, 8192, usual)
    of_stored = replica_figures(service, replica, 8192, stored)  # in which the usual length is left out
    assert [stage["stage_users"] for stage in of_stored] == [stage["stage_users"] for stage in found]
    assert min(math.floor(stage["stage_users"]) for stage in found) == users_per_replica(service, replica, 8192) > 0


def test_of_stages_that_do_not_differ_there_is_one_row():
    """The first of four stages has the embeddings too, the last the head; the other two are equal."""
    model, kv_precision = catalog.model("llama-3.1-70b").spec, catalog.precision("kv_precision", "fp16")
    first, middle, last = stage_inputs(model, None, kv_precision, 1, 4, STEP_CLASSES[0])
    table = 128_256 * 8192 * 2
    assert first["weights_bytes"] - middle["weights_bytes"] == table
    assert last["weights_bytes"] - middle["weights_bytes"] == table + 8192 * 2  # and the last norm


def test_stored_rows_are_those_of_the_models():
    """A sample here, and every model in `make parity`; renew them with `python -m tools.layout_table`."""
    known = drafted_models()
    if CASES < 100_000:
        known = random.Random(5).sample(known, 12) + random.Random(6).sample(known[-len(draft_pairs()) :], 3)
    stored = (ROOT / "core/plan/data/layouts.csv").read_text(encoding="utf-8").splitlines()
    for drafted in known:
        renewed = table_text(LAYOUT_HEADER, [layout_lines(drafted)]).splitlines()[1:]
        assert [line for line in stored if line.startswith(f"{drafted.name},")] == renewed, drafted.name
    assert list(STORED) == [drafted.name for drafted in drafted_models()]


def test_models_have_no_more_kinds_of_blocks_than_the_terms_know():
    for model in MODELS:
        assert len(model_counts(model.spec).kv.windowed) <= 2, model.name
        figures = model_figures(model.spec)
        assert figures.shipped_kernels in (1, 2, 3), model.name
        assert figures.shipped_wide in (1, 2), model.name


def test_a_layout_has_at_most_three_rows():
    """The workbook has columns for three stages."""
    assert max(len(rows) for layouts in STORED.values() for rows in layouts.values()) <= 3


def test_a_device_by_hand():
    """An H100 reports 81 559 MiB: less 410 MiB and 0.2 % (163 MiB) 80 986; class 2: 8192 tokens, 1024 sequences."""
    figures = device_figures(choice_of_gpu(catalog.gpu("h100-sxm")))
    assert figures["memory_bytes"] == 81_559 * 2**20
    assert figures["shown_bytes"] == (81_559 - 410) * 2**20 - round(81_559 * 2**20 * 0.002)
    assert (figures["step_class"], figures["step_tokens"], figures["max_sequences"]) == (2, 8192, 1024)
    assert device_figures(choice_of_gpu(catalog.gpu("a100-sxm-80gb")))["step_class"] == 1
    assert device_figures(choice_of_gpu(catalog.gpu("b200")))["step_class"] == 3
    assert [step.tokens for step in STEP_CLASSES] == [CONSTANTS[f"step_tokens_{i}"] for i in (1, 2, 3)]


def test_the_rule_by_hand():
    """Llama-3.1-70B at TP 4 by 10 %: 35.28 GB of weights a GPU of 80, 81 920 bytes a token, 37.45 GB left."""
    spec = catalog.model("llama-3.1-70b").spec
    service = Service(
        model=spec, precision=catalog.precision("precision", "fp16"),
        kv_precision=catalog.precision("kv_precision", "fp16"), overhead=0.1,
    )  # fmt: skip
    replica = Replica(choice_of_gb(80), 4, 1)
    parameters = rule_row(spec, 4, 1)["parameters"]
    left = 80 * 10**9 / 1.1 - 2 * parameters
    assert users_per_replica(service, replica, 32_768) == int(left // (81_920 * 32_768)) == 13


def test_an_average_takes_whole_blocks_by_the_rule_too():
    given = {
        "is_shipped": 0, "shipped_bytes": 0, "all_weights_bytes": 100, "parameters": 50, "all_parameters": 100,
        "values_per_token": 4, "value_bytes": 2, "index_bytes": 0, "allocated_tokens": 16, "windowed_values": 2,
        "windowed_values_2": 0, "tokens_in_window": 8, "tokens_in_window_2": 0, "fixed_values": 3, "fixed_bytes": 10,
        "memory_bytes": 1100, "overhead": 0.1,
    }  # fmt: skip
    figures = RULE.compute(given)
    assert figures["rule_weights_bytes"] == 50
    assert figures["rule_user_bytes"] == 4 * 2 * 16 + 2 * 8 * 2 + 3 * 2 + 10 == 176
    assert figures["rule_users"] == (1000 - 50) // 176


def test_a_pair_has_rows_in_which_one_drafts_without_pipelines():
    for drafted in drafted_models()[-len(draft_pairs()) :]:
        layouts = STORED[drafted.name]
        assert all(pp == 1 and drafts for _, pp, _, drafts in layouts)
        assert {tp for tp, *_ in layouts} == {
            replica.tp for replica in replicas_of(drafted.model.spec, choice_of_gb(80), "vllm") if replica.pp == 1
        }


def test_every_model_has_rows_for_every_possible_layout():
    for model in catalog.models():
        for groups in ATTENTION_GROUPS:
            for replica in replicas_of(model.spec, choice_of_gb(80), "vllm", groups):
                for drafts in (False, True):
                    layout = (replica.tp, replica.pp, groups, drafts)
                    assert (layout in STORED[model.name]) is (not drafts or model.spec.drafts is not None)
    assert asdict(model_figures(catalog.model("article-llama-70b").spec))["groups"] == 0
    assert len(layout_rows(catalog.model("article-llama-70b").spec, 1, 1)) == 1
