"""Look up models, GPUs and precisions by name: those in `core/catalog/data`, and the user's own models first."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from core.catalog.rows import ModelRow, read_rows
from core.errors import UnknownNameError, WrongTypeError, quoted, unknown_name
from core.model.precision import Precision, precision_of_bytes
from core.model.spec import ModelSpec
from core.model.tensors import GROUPS
from core.texts import plain_letters

if TYPE_CHECKING:
    from core.catalog.hardware import Gpu

DATA_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")

# The environment variable that names a CSV file of the user's own models; they go before the catalog's.
MODELS_VARIABLE = "VRAM_MODELS"

# Columns of precisions.csv that are whole numbers of bytes or values; blank is none.
_SIZES = (
    "block_bytes",
    "block_values",
    "block_scale_bytes",
    "row_bytes",
    "column_bytes",
    "tile_bytes",
    "tensor_bytes",
)

# The formats that the input of that name cannot take: those for this use alone.
_NOT_FOR = {"precision": "kv", "kv_precision": "weights"}
_USES = {"weights": "weights", "kv": "the KV cache"}


@dataclass(frozen=True, kw_only=True)
class CatalogModel:
    """One row of models.csv, or of the user's own file.

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
    """One row of precisions.csv, with its title in each language.

    Attributes:
        use: "weights" or "kv" for a format of one of them alone, "" for both.
    """

    precision: Precision
    aliases: tuple[str, ...]
    use: str
    titles: dict[str, str]
    as_of: str


def model(name: object) -> CatalogModel:
    """The catalog's model of that name or alias, whatever its case, spaces, hyphens or underscores.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: no such model; the remedy names the nearest one.
        PlannerError: the user's own file of models, or the model's row in it, is not understood.
    """
    own_file = _own_file()
    names = _model_names_by_normal(own_file)
    return _catalog_model(own_file, _known_as("model", name, names, model_names, "Models", "llama-3.1-70b"))


def models() -> tuple[CatalogModel, ...]:
    """Every model: the user's own, then the catalog's, each in the order of their file."""
    return tuple(model(name) for name in model_names())


def model_names() -> tuple[str, ...]:
    """The name of every model, in the order of `models`."""
    return tuple(_model_rows(_own_file()))


def gpu(name: object) -> Gpu:
    """The catalog's GPU of that name or alias, whatever its case, spaces, hyphens or underscores.

    A name that says nothing of the form factor ("H100") is the SXM module's, where there is one.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: no such GPU; the remedy names the nearest one.
    """
    return _gpus_by_name()[_known_as("gpu", name, _gpu_names_by_normal(), gpu_names, "GPUs", "h100-sxm")]


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
        UnknownNameError: no such precision, the remedy naming the nearest one that `field` can take; or one that
            `field` cannot take: of weights alone for "kv_precision", of the KV cache alone for "precision".
    """
    if isinstance(value, str):
        found, excluded = _precisions_by_name().get(_normal(value)), _NOT_FOR.get(field)
        if found is None:
            possible = [row.precision.name for row in precisions() if not row.use or row.use != excluded]
            raise unknown_name(field, value, possible, "the Precisions sheet")
        if found.use and found.use == excluded:
            only = _USES[found.use]
            raise UnknownNameError(field, f"{quoted(value)} is a format of {only} alone", 'Write "fp16" or "fp8".')
        return found.precision
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongTypeError(field, f"{quoted(value)} is not a precision", 'Write "fp16", or the bytes per value.')
    return precision_of_bytes(field, value)


# Written for a precision of weights, it means the format in which the model's checkpoint stores them.
SHIPPED = "shipped"


def weights_precision(value: object) -> Precision | None:
    """A precision of weights as `precision` reads it; None, as the checkpoint stores them, for "shipped".

    Raises:
        PlannerError: as `precision` does.
    """
    if isinstance(value, str) and _normal(value) == SHIPPED:
        return None
    return precision("precision", value)


def precision_named(name: object) -> CatalogPrecision:
    """The catalog's row of the precision of that name or alias, whatever it is for.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: no such precision; the remedy names the nearest one.
    """

    def known() -> tuple[str, ...]:
        return tuple(row.precision.name for row in precisions())

    rows = _precisions_by_name()
    normal = _known_as("precision", name, {key: key for key in rows}, known, "Precisions", "fp16")
    return rows[normal]


@cache
def precisions() -> tuple[CatalogPrecision, ...]:
    """Every precision, in the order of the file."""
    return tuple(
        CatalogPrecision(
            precision=_precision(row),
            aliases=_list(row["aliases"]),
            use=row["use"],
            titles={"en": row["title_en"], "zh": row["title_zh"]},
            as_of=row["as_of"],
        )
        for row in _read("precisions.csv")
    )


def _precision(row: dict[str, str]) -> Precision:
    tile_rows, _, tile_columns = row["tile"].partition("x")
    groups = frozenset(row["groups"].split()) if row["groups"] else frozenset(GROUPS)
    return Precision(
        name=row["name"],
        **{size: int(row[size] or 0) for size in _SIZES},
        tile_rows=int(tile_rows or 0),
        tile_columns=int(tile_columns or 0),
        groups=groups,
        mix=row["mix"],
        source=row["source"],
    )


@lru_cache(maxsize=4096)
def _normal(name: str) -> str:
    """The form under which names are compared: full-width letters made plain, case and separators dropped."""
    return "".join(c for c in plain_letters(name).casefold() if c not in " \t\u00a0-_")


def _known_as(
    field: str,
    name: object,
    names_by_normal: dict[str, str],
    names: Callable[[], tuple[str, ...]],
    sheet: str,
    example: str,
) -> str:
    """The one of `names()` that the user calls `name`."""
    if not isinstance(name, str):
        raise WrongTypeError(field, f"{quoted(name)} is not a name", f'Write a name such as "{example}".')
    known_as = names_by_normal.get(_normal(name))
    if known_as is None:
        raise unknown_name(field, name, names(), f"the {sheet} sheet of the planner")
    return known_as


@cache
def _precisions_by_name() -> dict[str, CatalogPrecision]:
    return {_normal(name): row for row in precisions() for name in (row.precision.name, *row.aliases)}


def _own_file() -> str:
    return os.environ.get(MODELS_VARIABLE, "")


@lru_cache(maxsize=4)
def _model_rows(own_file: str) -> dict[str, ModelRow]:
    own = {row["name"]: row for row in (read_rows(own_file) if own_file else ())}
    taken = {_normal(name) for name in own}
    shipped = read_rows(os.path.join(DATA_FOLDER, "models.csv"))
    return own | {row["name"]: row for row in shipped if _normal(row["name"]) not in taken}


@lru_cache(maxsize=4)
def _model_names_by_normal(own_file: str) -> dict[str, str]:
    rows = _model_rows(own_file)
    names: dict[str, str] = {}
    for name, row in rows.items():
        for alias in _list(row["aliases"]):
            names.setdefault(_normal(alias), name)
            names.setdefault(_normal(alias.rpartition("/")[2]), name)
    return names | {_normal(name): name for name in reversed(rows)}


@cache
def _catalog_model(own_file: str, name: str) -> CatalogModel:
    row = _model_rows(own_file)[name]
    return CatalogModel(
        name=row["name"],
        aliases=_list(row["aliases"]),
        title=row["title"] or row["name"],
        developer=row["developer"],
        licence=row["licence"],
        spec=row.spec(),
        published_parameters=row.published_parameters(),
        source=row["source"],
        as_of=row.as_of(),
    )


@cache
def _gpus_by_name() -> dict[str, Gpu]:
    from core.catalog.hardware import Gpu

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


@cache
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
