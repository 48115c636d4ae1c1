"""The models, GPUs and precisions that are known by name, read from the CSV files in `core/data`."""

from __future__ import annotations

import csv
import os
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from core.errors import PlannerError, WrongTypeError, quoted, unknown_name
from core.gpu import Gpu
from core.model_spec import ModelSpec
from core.precision import Precision, precision_of_bytes
from core.readers.hf_config import spec_from_config

DATA_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")

# Columns of models.csv that are fields of a config.json, by the kind of value they hold.
_NUMBER_FIELDS = (
    "params_b",
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
)
_FLAG_FIELDS = ("tie_word_embeddings", "attention_bias")


@dataclass(frozen=True, kw_only=True)
class CatalogModel:
    """One row of models.csv.

    Attributes:
        name: the name to write in a cell.
        aliases: its identifiers on the Hugging Face hub; it is found under them with and without the maker's part.
        title: the name in full.
        spec: the model itself.
        published_parameters: the total that the model's maker publishes, where there is one to count against.
        source, as_of: where its fields were read, and when.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    developer: str
    licence: str
    spec: ModelSpec
    published_parameters: int | None
    source: str
    as_of: str


@dataclass(frozen=True, kw_only=True)
class CatalogPrecision:
    """One row of precisions.csv, with its title in each language."""

    precision: Precision
    aliases: tuple[str, ...]
    titles: dict[str, str]
    as_of: str


def model(name: object) -> CatalogModel:
    """The catalog's model of that name or alias, whatever its case, spaces, hyphens or underscores.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: no such model; the remedy names the nearest one.
    """
    return _catalog_model(_known_as("model", name, _model_names_by_normal(), model_names(), "Models", "llama-3.1-70b"))


def models() -> tuple[CatalogModel, ...]:
    """Every model, in the order of the file."""
    return tuple(model(name) for name in model_names())


def model_names() -> tuple[str, ...]:
    """The name of every model, in the order of the file."""
    return tuple(_model_rows())


def gpu(name: object) -> Gpu:
    """The catalog's GPU of that name or alias, whatever its case, spaces, hyphens or underscores.

    A name that says nothing of the form factor ("H100") is the SXM module's, where there is one.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: no such GPU; the remedy names the nearest one.
    """
    return _gpus_by_name()[_known_as("gpu", name, _gpu_names_by_normal(), gpu_names(), "GPUs", "h100-sxm")]


def gpus() -> tuple[Gpu, ...]:
    """Every GPU, in the order of the file."""
    return tuple(_gpus_by_name().values())


def gpu_names() -> tuple[str, ...]:
    """The name of every GPU, in the order of the file."""
    return tuple(_gpus_by_name())


def precision(field: str, value: object) -> Precision:
    """A precision from its name ("fp16"), or from its number of bytes per value (2, 1, 0.5).

    Raises:
        WrongTypeError: neither text nor a number.
        OutOfRangeError: an impossible number of bytes.
        UnknownNameError: no such precision; the remedy names the nearest one.
    """
    if isinstance(value, str):
        found = _precisions_by_name().get(_normal(value))
        if found is None:
            raise unknown_name(field, value, (p.precision.name for p in precisions()), "the Precisions sheet")
        return found.precision
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongTypeError(field, f"{quoted(value)} is not a precision", 'Write "fp16", or the bytes per value.')
    return precision_of_bytes(field, value)


@lru_cache(maxsize=None)
def precisions() -> tuple[CatalogPrecision, ...]:
    """Every precision, in the order of the file."""
    return tuple(
        CatalogPrecision(
            precision=Precision(
                name=row["name"],
                block_bytes=int(row["block_bytes"]),
                block_values=int(row["block_values"]),
                source=row["source"],
            ),
            aliases=_list(row["aliases"]),
            titles={"en": row["title_en"], "zh": row["title_zh"]},
            as_of=row["as_of"],
        )
        for row in _read("precisions.csv")
    )


def _normal(name: str) -> str:
    """The form under which names are compared: full-width letters made plain, case and separators dropped."""
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c not in " \t\u00a0-_")


def _known_as(
    field: str, name: object, names_by_normal: dict[str, str], names: tuple[str, ...], sheet: str, example: str
) -> str:
    """The one of `names` that the user calls `name`."""
    if not isinstance(name, str):
        raise WrongTypeError(field, f"{quoted(name)} is not a name", f'Write a name such as "{example}".')
    known_as = names_by_normal.get(_normal(name))
    if known_as is None:
        raise unknown_name(field, name, names, f"the {sheet} sheet of the planner")
    return known_as


@lru_cache(maxsize=None)
def _precisions_by_name() -> dict[str, CatalogPrecision]:
    return {_normal(name): row for row in precisions() for name in (row.precision.name, *row.aliases)}


@lru_cache(maxsize=None)
def _model_rows() -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in _read("models.csv")}


@lru_cache(maxsize=None)
def _model_names_by_normal() -> dict[str, str]:
    names = {}
    for name, row in _model_rows().items():
        for alias in _list(row["aliases"]):
            names[_normal(alias)] = names[_normal(alias.rpartition("/")[2])] = name
    return names | {_normal(name): name for name in _model_rows()}


@lru_cache(maxsize=None)
def _catalog_model(name: str) -> CatalogModel:
    row = _model_rows()[name]
    fields: dict[str, object] = {"model_type": row["model_type"]}
    fields |= {field: float(row[field]) for field in _NUMBER_FIELDS if row[field]}
    fields |= {field: row[field] == "TRUE" for field in _FLAG_FIELDS if row[field]}
    try:
        spec = spec_from_config(fields, name=row["name"])
    except PlannerError as error:
        raise RuntimeError(f"models.csv, {row['name']}: {error}") from error
    return CatalogModel(
        name=row["name"],
        aliases=_list(row["aliases"]),
        title=row["title"],
        developer=row["developer"],
        licence=row["licence"],
        spec=spec,
        published_parameters=_whole(row["published_parameters"]),
        source=row["source"],
        as_of=row["as_of"],
    )


@lru_cache(maxsize=None)
def _gpus_by_name() -> dict[str, Gpu]:
    return {
        row["name"]: Gpu(
            name=row["name"],
            aliases=_list(row["aliases"]),
            title=row["title"],
            maker=row["maker"],
            architecture=row["architecture"],
            compute_capability=row["compute_capability"],
            sm_count=_whole(row["sm_count"]),
            form_factor=row["form_factor"],
            label_gb=int(row["label_gb"]),
            memory_mib=_whole(row["memory_mib"]),
            memory_type=row["memory_type"],
            bandwidth_gb_per_s=_decimal(row["bandwidth_gb_per_s"]),
            tdp_w=_whole(row["tdp_w"]),
            gpus_per_node=_whole(row["gpus_per_node"]),
            interconnect=row["interconnect"],
            interconnect_gb_per_s=_decimal(row["interconnect_gb_per_s"]),
            source=row["source"],
            memory_source=row["memory_source"],
            as_of=row["as_of"],
        )
        for row in _read("gpus.csv")
    }


@lru_cache(maxsize=None)
def _gpu_names_by_normal() -> dict[str, str]:
    return {
        _normal(written): gpu.name
        for gpu in gpus()
        for alias in (gpu.name, *gpu.aliases)
        for written in (alias, f"{gpu.maker} {alias}")
    }


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _decimal(text: str) -> float | None:
    return float(text) if text else None


def _read(file: str) -> list[dict[str, str]]:
    with open(os.path.join(DATA_FOLDER, file), encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _list(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(";") if part)
