"""Reduce a model with a tensor parallel size to the figures from which `core.plan.speed_terms` computes its speed.

`stored_rows` reads those of the catalog's models from speeds.csv; `python -m tools.layout_table` renews it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.resources import files

from core.catalog import precision_named
from core.catalog.kernels import KINDS, kind_of_format
from core.model.spec import ModelSpec
from core.plan.layout_figures import SHIPPED, WEIGHT_FORMATS
from core.plan.speed_figures import (
    AttentionRow,
    attention_row,
    draft_model_row,
    own_draft_row,
    served_format,
    weight_row,
)

TP_SIZES = (1, 2, 4, 8)  # of the layouts that are planned

# Class of formats that leave the same tensors in 16 bits → its formats. Only the bytes of the others differ in a class.
CLASSES = {
    "fp32": ("fp32",),
    "fp16": ("fp16",),
    "linear": ("fp8_tensor", "fp8_block", "w8a8", "w4a16", "awq", "nf4"),
    "mxfp4": ("mxfp4",),
    "nvfp4": ("nvfp4",),
    "gguf": ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_xs"),
    SHIPPED: (SHIPPED,),
}
# Classes in which the kinds of formats depend on the model; in the others the format has one.
OWN_KINDS = ("mxfp4", "nvfp4", SHIPPED)

ATTENTION_FIGURES = tuple(figure.name for figure in fields(AttentionRow))
COMMON_FIGURES = (
    "expert_flops", "untouched", "touch_rate", "plain_kernels", "all_reduces", "gathered_values", *ATTENTION_FIGURES,
    "draft_work", "draft_expert_work", "draft_cache", "draft_all_reduces", "draft_kernels",
)  # fmt: skip
CLASS_FIGURES = (
    "kept_bytes", "kept_flops", "kept_prompt_flops", "quantized_flops", "quantized_prompt_flops",
    "dense_quantizing", "expert_quantizing",
)  # fmt: skip
KIND_FIGURES = ("dense_kind", "expert_kind")
FORMAT_FIGURES = ("quantized_bytes", "expert_bytes", "draft_bytes", "draft_expert_bytes")
COLUMNS = (
    *COMMON_FIGURES,
    *(f"{figure}_{name}" for figure in CLASS_FIGURES for name in CLASSES),
    *(f"{figure}_{name}" for figure in KIND_FIGURES for name in OWN_KINDS),
    *(f"{figure}_{name}" for figure in FORMAT_FIGURES for name in WEIGHT_FORMATS),
)


def class_of_format(name: str) -> str:
    """Return the class of a format of `WEIGHT_FORMATS`."""
    return next(found for found, formats in CLASSES.items() if name in formats)


def kind_number(name: str) -> int:
    """Return the number in `KINDS`, from 1, of a format of `WEIGHT_FORMATS`; 0 if it depends on the model."""
    if class_of_format(name) in OWN_KINDS:
        return 0
    return KINDS.index(kind_of_format(precision_named(name).precision)) + 1


def speed_row(model: ModelSpec, tp: int, groups: int = 1, draft: ModelSpec | None = None) -> dict[str, float]:
    """Return the figures of one of `tp` ranks: column → number.

    Args:
        groups: of data-parallel attention, each of which has all of its weights.
        draft: another model that drafts, in place of the model's own layers.

    Raises:
        UnsupportedModelError: only the size of the model is known.
    """
    found: dict[str, float] = {**vars(attention_row(model, tp // groups))}
    for name in WEIGHT_FORMATS:
        precision = None if name == SHIPPED else precision_named(name).precision
        served = served_format(model, precision)
        drafts = draft_model_row(draft, model, tp // groups) if draft else own_draft_row(model, served, tp, groups)
        row = vars(weight_row(model, served, tp, groups)) | vars(drafts)
        group = class_of_format(name)
        found |= {figure: row[figure] for figure in COMMON_FIGURES if figure in row}
        found |= {f"{figure}_{group}": row[figure] for figure in CLASS_FIGURES}
        found |= {f"{figure}_{name}": row[figure] for figure in FORMAT_FIGURES}
        if group in OWN_KINDS:
            found |= {f"{figure}_{group}": row[figure] for figure in KIND_FIGURES}
    return found


@cache
def stored_rows() -> Mapping[tuple[str, int, int], Mapping[str, float]]:
    """Return the rows of the catalog's models: (model, tp, groups) → the row of `speed_row` without its zeros."""
    text = files("core.plan").joinpath("data/speeds.csv").read_text(encoding="utf-8")
    lines = csv.reader(text.splitlines())
    columns = next(lines)[3:]
    return {
        (model, int(tp), int(groups)): {name: float(cell) for name, cell in zip(columns, cells) if cell}
        for model, tp, groups, *cells in lines
    }
