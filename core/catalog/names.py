"""Look up models, GPUs and precisions by name. The user's own models take precedence over `core/catalog/data`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from core.catalog.data_files import DATA_FOLDER, read_data
from core.catalog.rows import ModelRow, read_rows
from core.catalog.written_names import (
    BRANDS,
    WrittenName,
    brand_in,
    is_size,
    parts_of,
    read_written,
    without_active_size,
    without_brand,
    without_versions,
)
from core.errors import UnknownNameError, WrongTypeError, quoted, unknown_name
from core.model.precision import Precision, mean_precision, precision_of_bytes
from core.model.quantization import in_format
from core.model.spec import ModelSpec
from core.model.tensors import GROUPS
from core.texts import plain_letters, plain_name

if TYPE_CHECKING:
    from core.catalog.hardware import Gpu

# The environment variable with the path of a CSV file of the user's own models.
MODELS_VARIABLE = "VRAM_MODELS"

# Columns of precisions.csv that hold whole numbers of bytes or values; a blank cell means 0.
_SIZES = ("block_bytes", "block_values", "block_scale_bytes", "row_bytes", "column_bytes", "tile_bytes", "tensor_bytes")

# What people leave out of a consumer card's name: "4090", "3090 Ti", "7900 XTX".
_CARD_FAMILY = re.compile(r"(?:geforce |radeon )?(?:rtx|rx)[ -]", re.IGNORECASE)

# Field → the use of the formats that it does not accept.
_NOT_FOR = {"precision": "kv", "kv_precision": "weights"}
_USES = {"weights": "weights", "kv": "the KV cache"}


@dataclass(frozen=True, kw_only=True)
class CatalogModel:
    """One row of models.csv, or of the user's own file.

    Attributes:
        name: the name to write in a cell.
        aliases: its identifiers on the Hugging Face hub, each accepted with and without the organisation.
        title: the full name.
        spec: the model itself.
        published_parameters: the total that the developer publishes, if it counts the same tensors.
        source, as_of: the source of its fields, and the date of the source.
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
        use: "weights" or "kv" for a format for one of them only, "" for both.
    """

    precision: Precision
    aliases: tuple[str, ...]
    use: str
    titles: dict[str, str]
    as_of: str


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """The model that a written name means.

    Attributes:
        model: the model.
        precision: the format of the weights that the name states, for a copy that has no row of its own.
        assumed: the model that the name is read as, where the catalog does not have that name or the user's own file
            has another model of that name; "" otherwise.
    """

    model: CatalogModel
    precision: Precision | None = None
    assumed: str = ""

    @property
    def spec(self) -> ModelSpec:
        """Return the model as the name states it: stored in the format, with a note on what the name was read as."""
        return _as_named(self.model.spec, self.precision, self.assumed) if self.assumed else self.model.spec


@lru_cache(maxsize=1024)
def _as_named(spec: ModelSpec, precision: Precision | None, assumed: str) -> ModelSpec:
    stored = spec.quantization if precision is None else in_format(precision)
    return replace(spec, quantization=stored, notes=(*spec.notes, f"model: {assumed}"))


def model(name: object) -> CatalogModel:
    """Return the model that `name` means, as `named_model` finds it, in the format of the model's checkpoint.

    Raises:
        PlannerError: the same errors as `named_model`.
    """
    return named_model(name).model


def named_model(name: object) -> NamedModel:
    """Return the model with that name or alias, ignoring case, spaces, hyphens and underscores.

    Otherwise the one that an Ollama tag or the name of a quantized copy means; see `core.catalog.written_names`.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: there is no such model, or the name fits several; the remedy suggests similar names.
        PlannerError: the user's own file of models, or the model's row in it, is invalid.
    """
    own_file = _own_file()
    if not own_file and isinstance(name, str) and name in _model_rows(""):
        return _named_model("", name)  # a name as the catalog writes it needs no table of all other names
    names = _model_names_by_key(own_file)
    if isinstance(name, str):
        known = names.get(name_key(name))
        if known is not None:
            return _named_model(own_file, known)
        read = _read_model_name(own_file, name)
        if read is not None:
            named = _as_read(_catalog_model(own_file, read[0]), name, read[1])
            replaced = _replaced(own_file, read[0])
            return replace(named, assumed=f"{named.assumed}; {replaced}") if replaced else named
        _ask_which(own_file, name)
    more = (_CLOSED_REMEDY if _CLOSED.match(name.strip()) else _brand_remedy(name)) if isinstance(name, str) else ""

    def similar() -> tuple[str, ...]:
        return _of_the_size(str(name), model_names())

    return _named_model(own_file, _find_name("model", name, names, similar, "Models", "llama-3.1-70b", more))


@lru_cache(maxsize=4096)
def _named_model(own_file: str, known: str) -> NamedModel:
    return NamedModel(model=_catalog_model(own_file, known), assumed=_replaced(own_file, known))


def _replaced(own_file: str, name: str) -> str:
    """Return the words that name a row of the user's own file in place of one of the catalog; "" for other rows."""
    if not own_file:
        return ""
    shipped = _model_names_by_key("").get(name_key(name))
    if shipped is None or _model_rows(own_file)[name] == _model_rows("")[shipped]:
        return ""
    return f"{name} is that of your own file, not of the catalog"


# Models that their makers serve themselves; gpt-2 and gpt-oss are published.
_CLOSED = re.compile(r"(?:anthropic/|openai/|google/)?(?:claude|gemini|chatgpt|gpt-?[345]|o[134]-)", re.IGNORECASE)
_CLOSED_REMEDY = "Its weights are not published, so that no GPU of yours can serve it; name a model whose weights are."


def _brand_remedy(name: str) -> str:
    """Return a remedy for a brand that is written in Chinese: the names of its models here; "" for other names."""
    brand = brand_in(plain_letters(name))
    if not brand:
        return ""
    example = next(known for known in model_names() if known.startswith(BRANDS[brand]))
    return f'The models of {brand} are called "{BRANDS[brand]}…" here, for example "{example}".'


_MOST_CHOICES = 6


_COPIES = re.compile(r"fp8|nvfp4|awq|gptq|int4")


def _ask_which(own_file: str, name: str) -> None:
    """Raise the error that asks which model is meant, if the name is that of a family, or of one and a size."""
    parts = [part for part in parts_of(without_brand(name.rpartition("/")[2])) if part != ":"]
    words, sizes = [part for part in parts if not is_size(part)], [part for part in parts if is_size(part)]
    if not words:
        return
    fitting = [
        known
        for own, known in _names_in_parts(own_file)[0]
        if own[: len(words)] == tuple(words) and set(sizes) <= set(own) and not _COPIES.search(known)
    ]
    if len(fitting) < 2:
        return
    shown = fitting if len(fitting) <= _MOST_CHOICES else fitting[:: -(-len(fitting) // _MOST_CHOICES)]
    more = " …" if len(shown) < len(fitting) else ""
    raise UnknownNameError("model", f"{quoted(name)} fits several models", f"Say which: {', '.join(shown)}{more}.")


def _of_the_size(name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of `known` that have the sizes that `name` states: no other size is suggested."""
    sizes = {part for part in parts_of(name) if is_size(part)}
    return tuple(each for each in known if sizes <= set(parts_of(each))) if sizes else known


def _as_read(found: CatalogModel, name: str, read: WrittenName) -> NamedModel:
    assumed = f"{quoted(name)} is read as {found.name}"
    stated = _precisions_by_key()[name_key(read.precision)].precision if read.precision else None
    if stated is not None:
        assumed += f" with weights in {stated.name}"
    elif read.unread:
        assumed += f" as it is shipped; give the precision for {quoted(read.unread)}"
    return NamedModel(model=found, precision=stated, assumed=assumed)


def models() -> tuple[CatalogModel, ...]:
    """Return all models: the user's own, then the catalog's, each in file order."""
    return tuple(model(name) for name in model_names())


def model_names() -> tuple[str, ...]:
    """Return the names of all models, in the order of `models`."""
    return tuple(_model_rows(_own_file()))


def own_model_names() -> tuple[str, ...]:
    """Return the names of the models in the user's own file, which go before those of the catalog."""
    own_file = _own_file()
    return tuple(row["name"] for row in read_rows(own_file)) if own_file else ()


def gpu(name: object, more: str = "") -> Gpu:
    """Return the GPU with that name or alias, ignoring case, spaces, hyphens and underscores.

    A name without the form factor ("H100") means the SXM module, if there is one. A consumer card's number is enough.
    A cloud's machine ("p5.48xlarge") means its GPUs, as many a node as it has.

    Args:
        name: what the user wrote.
        more: another remedy for an unknown name.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: there is no such GPU, or the name fits several; the remedy suggests similar names.
    """
    if isinstance(name, str):
        name = _without_chinese(name)
        if name_key(name) not in _gpu_names_by_key():
            machine = _gpu_of_machine(name)
            if machine is not None:
                return machine
            name = _WRITTEN_G.sub(r"\1B", name)
            if name_key(name) not in _gpu_names_by_key():
                _ask_which_memory(name)
    return _gpus_by_name()[_find_name("gpu", name, _gpu_names_by_key(), gpu_names, "GPUs", "h100-sxm", more)]


# Makers and product lines in Chinese, as their names are written here.
_CHINESE = {
    "英伟达": "nvidia ", "华为": "huawei ", "昇腾": "ascend ", "海光": "hygon ", "苹果": "apple ", "英特尔": "intel ",
}  # fmt: skip
_MEMORY = re.compile(r"\d{1,3}gb?")
_WRITTEN_G = re.compile(r"(?<=[ _-])(\d{1,3}g)$", re.IGNORECASE)  # "A100 40G"


def _without_chinese(name: str) -> str:
    for word, meaning in _CHINESE.items() if not name.isascii() else ():
        name = name.replace(word, meaning)
    return name


def _gpu_of_machine(name: str) -> Gpu | None:
    """Return the GPU of a cloud's machine, with the number that the machine has; None if there is no such machine."""
    from core.catalog.machines import machine_named

    found = machine_named(name)
    return None if found is None else replace(_gpus_by_name()[found.gpu], gpus_per_node=found.gpus)


def _ask_which_memory(name: str) -> None:
    """Raise the error that asks which card is meant, if several cards have that name and differ in memory."""
    key = name_key(name)
    fitting = {
        gpu
        for known, gpu in _gpu_names_by_key().items()
        if key and known.startswith(key) and _MEMORY.fullmatch(known[len(key) :])
    }
    if len(fitting) > 1:
        shown = [known for known in gpu_names() if known in fitting]
        raise UnknownNameError("gpu", f"{quoted(name)} fits several GPUs", f"Say which: {', '.join(shown)}.")


def gpus() -> tuple[Gpu, ...]:
    """Return all GPUs, in file order."""
    return tuple(_gpus_by_name().values())


def gpu_names() -> tuple[str, ...]:
    """Return the names of all GPUs, in file order."""
    return tuple(_gpus_by_name())


def precision(field: str, value: object) -> Precision:
    """Return the precision with that name ("fp16") or that number of bytes per value (2, 1, 0.5).

    A KV cache may have two, "q8_0/q4_0": of the keys and of the values, which are taken to be equally many.

    Raises:
        WrongTypeError: `value` is neither text nor a number.
        OutOfRangeError: an impossible number of bytes.
        UnknownNameError: there is no such precision, or `field` does not accept it: one for weights only given as
            "kv_precision", one for the KV cache only given as "precision".
    """
    if isinstance(value, str) and field == "kv_precision" and value.count("/") == 1:
        return mean_precision(*(precision(field, part) for part in value.split("/")))
    if isinstance(value, str):
        found, excluded = _precisions_by_key().get(name_key(value)), _NOT_FOR.get(field)
        if found is None:
            possible = [row.precision.name for row in precisions() if not row.use or row.use != excluded]
            raise unknown_name(field, value, possible, "the Precisions sheet")
        if found.use and found.use == excluded:
            only = _USES[found.use]
            raise UnknownNameError(field, f"{quoted(value)} is a format for {only} only", 'Write "fp16" or "fp8".')
        return found.precision
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongTypeError(field, f"{quoted(value)} is not a precision", 'Write "fp16", or the bytes per value.')
    return precision_of_bytes(field, value)


# As a precision: the format in which the model's checkpoint stores its weights, or states for the cache.
SHIPPED = "shipped"


def weights_precision(value: object) -> Precision | None:
    """Return the precision of weights that `value` names, or None (as stored in the checkpoint) for "shipped".

    Raises:
        PlannerError: the same errors as `precision`.
    """
    return _precision_unless_shipped("precision", value)


def kv_precision(value: object) -> Precision | None:
    """Return the precision of the KV cache that `value` names, or None (as the checkpoint states) for "shipped".

    Raises:
        PlannerError: the same errors as `precision`.
    """
    return _precision_unless_shipped("kv_precision", value)


def _precision_unless_shipped(field: str, value: object) -> Precision | None:
    return None if isinstance(value, str) and name_key(value) == SHIPPED else precision(field, value)


# vLLM keeps the cache in 16 bits also where a checkpoint has 32 (config/model.py, dtype "auto").
USUAL_CACHE = "fp16"


def cache_precision(model: ModelSpec, requested: Precision | None = None) -> Precision:
    """Return the precision of a model's KV cache: as requested, else as its checkpoint states, else 16 bits."""
    return _cache_precision_named(model.kv_precision or USUAL_CACHE) if requested is None else requested


@cache
def _cache_precision_named(name: str) -> Precision:
    return precision("kv_precision", name)


def precision_named(name: object) -> CatalogPrecision:
    """Return the catalog's row for the precision with that name or alias, for weights or KV cache.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: there is no such precision; the remedy suggests similar names.
    """

    def known() -> tuple[str, ...]:
        return tuple(row.precision.name for row in precisions())

    rows = _precisions_by_key()
    return rows[_find_name("precision", name, {key: key for key in rows}, known, "Precisions", "fp16")]


@cache
def precisions() -> tuple[CatalogPrecision, ...]:
    """Return all precisions, in file order."""
    return tuple(
        CatalogPrecision(
            precision=_precision(row),
            aliases=_split(row["aliases"]),
            use=row["use"],
            titles={"en": row["title_en"], "zh": row["title_zh"]},
            as_of=row["as_of"],
        )
        for row in read_data("precisions.csv")
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


_SEPARATORS = dict.fromkeys(map(ord, " \t\u00a0-_"))


@lru_cache(maxsize=4096)
def name_key(name: str) -> str:
    """Return the form in which names are compared: ASCII letters and digits, no case, no separators."""
    return plain_name(name).casefold().translate(_SEPARATORS)


def _find_name(
    field: str,
    name: object,
    names_by_key: dict[str, str],
    names: Callable[[], tuple[str, ...]],
    sheet: str,
    example: str,
    more: str = "",
) -> str:
    """Return the value of `names_by_key` for `name`; `names` lists the known names for the error."""
    if not isinstance(name, str):
        raise WrongTypeError(field, f"{quoted(name)} is not a name", f'Write a name such as "{example}".')
    found = names_by_key.get(name_key(name))
    if found is None:
        raise unknown_name(field, name, names(), f"the {sheet} sheet of the planner", more)
    return found


@cache
def _precisions_by_key() -> dict[str, CatalogPrecision]:
    return {name_key(name): row for row in precisions() for name in (row.precision.name, *row.aliases)}


def _own_file() -> str:
    return os.environ.get(MODELS_VARIABLE, "")


@lru_cache(maxsize=4)
def _model_rows(own_file: str) -> dict[str, ModelRow]:
    shipped = {row["name"]: row for row in read_rows(os.path.join(DATA_FOLDER, "models.csv"), own=False)}
    if not own_file:
        return shipped
    own = {row["name"]: row for row in read_rows(own_file)}
    taken = {name_key(name) for name in own}
    return own | {name: row for name, row in shipped.items() if name_key(name) not in taken}


@lru_cache(maxsize=4)
def _model_names_by_key(own_file: str) -> dict[str, str]:
    rows = _model_rows(own_file)
    names: dict[str, str] = {}
    for name, row in rows.items():
        for alias in _split(row["aliases"]):
            names.setdefault(name_key(alias), name)
            names.setdefault(name_key(alias.rpartition("/")[2]), name)
    return names | {name_key(name): name for name in reversed(rows)}


@lru_cache(maxsize=4096)
def _read_model_name(own_file: str, name: str) -> tuple[str, WrittenName] | None:
    """Return the model that a name outside the catalog means, and what else the name says; None if it is not sure."""
    written = read_written(name, _weights_format)
    if written is None or not written.parts:
        return None
    possible = (*written.possible_parts(), parts_of(name.rpartition("/")[2]))  # "text" may be part of a model's name
    found = next(filter(None, (_model_of_parts(own_file, parts) for parts in possible)), "")
    return (found, written) if found else None


def _weights_format(name: str) -> str:
    found = _precisions_by_key().get(name_key(name))
    return found.precision.name if found is not None and found.use != "kv" else ""


def _model_of_parts(own_file: str, parts: tuple[str, ...]) -> str:
    """Return the model with that name in parts, without its maker's name or with it; "" for none, or for several."""
    plain = _model_names_by_parts(own_file)
    return plain[parts] if parts in plain else _made_names_by_parts(own_file).get(parts, "")


@lru_cache(maxsize=4)
def _model_names_by_parts(own_file: str) -> dict[tuple[str, ...], str]:
    """Return the models by the parts of their names; surer names go first, and a name that fits several means none."""
    return _owned_once(_names_in_parts(own_file))


@lru_cache(maxsize=4)
def _made_names_by_parts(own_file: str) -> dict[tuple[str, ...], str]:
    """Return the same with the makers' names before the parts ("google", "gemma" …)."""
    makers = {
        name: {parts_of(each) for each in (row["developer"], *(a.partition("/")[0] for a in _split(row["aliases"])))}
        for name, row in _model_rows(own_file).items()
    }
    tiers = _names_in_parts(own_file)
    return _owned_once([[(maker + parts, name) for parts, name in tier for maker in makers[name]] for tier in tiers])


_Tier = list[tuple[tuple[str, ...], str]]


@lru_cache(maxsize=4)
def _names_in_parts(own_file: str) -> list[_Tier]:
    """Return the models' names in parts, the surest first: names, aliases, other names, titles, and shortened ones."""
    rows = _model_rows(own_file)
    aliases = [(alias.rpartition("/"), name) for name, row in rows.items() for alias in _split(row["aliases"])]
    titles = [(row["title"], name) for name, row in rows.items() if row["title"]]
    of_aliases = [(parts_of(alias[2]), name) for alias, name in aliases]
    of_names = [(parts_of(name), name) for name in rows]
    others = [(parts_of(row["name"]), row["model"]) for row in read_data("model_names.csv") if row["model"] in rows]
    return [
        of_names,
        of_aliases,
        others,
        [(parts_of(title), name) for title, name in titles],
        [(without_versions(parts), name) for parts, name in of_aliases],
        [(without_active_size(parts), name) for parts, name in of_names],
        [(tuple(part for part in parts if part != ":"), name) for parts, name in others],  # "deepseek r1 671b"
    ]


def _owned_once(tiers: list[_Tier]) -> dict[tuple[str, ...], str]:
    names: dict[tuple[str, ...], str] = {}
    for tier in tiers:
        owners: dict[tuple[str, ...], set[str]] = {}
        for parts, name in tier:
            owners.setdefault(parts, set()).add(name)
        for parts, found in owners.items():
            names.setdefault(parts, found.pop() if len(found) == 1 else "")
    return names


@cache
def _catalog_model(own_file: str, name: str) -> CatalogModel:
    return model_of_row(_model_rows(own_file)[name])


def model_of_row(row: ModelRow, *, heads: bool = False) -> CatalogModel:
    """Return the model of a row.

    Args:
        heads: whether it may be a head that drafts for another model.

    Raises:
        BadRowError: a cell is invalid.
    """
    return CatalogModel(
        name=row["name"],
        aliases=_split(row["aliases"]),
        title=row["title"] or row["name"],
        developer=row["developer"],
        licence=row["licence"],
        spec=row.spec(heads=heads),
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
            aliases=_split(row["aliases"]),
            title=row["title"],
            maker=row["maker"],
            architecture=row["architecture"],
            compute_capability=row["compute_capability"],
            sm_count=_int_or_none(row["sm_count"]),
            form_factor=row["form_factor"],
            label_gb=int(row["label_gb"]),
            memory_mib=_int_or_none(row["memory_mib"]),
            memory_type=row["memory_type"],
            bandwidth_gb_per_s=float_or_none(row["bandwidth_gb_per_s"]),
            tdp_w=_int_or_none(row["tdp_w"]),
            gpus_per_node=_int_or_none(row["gpus_per_node"]),
            interconnect=row["interconnect"],
            interconnect_gb_per_s=float_or_none(row["interconnect_gb_per_s"]),
            source=row["source"],
            memory_source=row["memory_source"],
            as_of=row["as_of"],
            bf16_tflops=float_or_none(row["bf16_tflops"]),
            int8_tops=float_or_none(row["int8_tops"]),
            fp8_tflops=float_or_none(row["fp8_tflops"]),
            fp4_tflops=float_or_none(row["fp4_tflops"]),
            compute_source=row["compute_source"],
            segment=row["segment"],
        )
        for row in read_data("gpus.csv")
    }


@cache
def _gpu_names_by_key() -> dict[str, str]:
    return {
        name_key(written): gpu.name
        for gpu in gpus()
        for alias in (gpu.name, *gpu.aliases)
        for written in (alias, f"{gpu.maker} {alias}", _without_family(gpu, alias))
    }


def _without_family(gpu: Gpu, alias: str) -> str:
    """Return the alias of a consumer card without its family ("4090"); others, of which many share a number, whole."""
    return _CARD_FAMILY.sub("", alias, count=1) if gpu.segment == "consumer" else alias


def _int_or_none(text: str) -> int | None:
    return int(text) if text else None


def float_or_none(text: str) -> float | None:
    return float(text) if text else None


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(";") if part)
