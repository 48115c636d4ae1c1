"""Cards: the known facts about a model, a GPU or a precision, as labelled fields in display order."""

from __future__ import annotations

from collections.abc import Mapping

from core.catalog import names
from core.catalog.draft_models import draft_models_of
from core.catalog.hardware import Gpu
from core.catalog.names import CatalogPrecision
from core.catalog.offer_choice import Price, catalog_prices
from core.errors import UnknownNameError, unknown_name
from core.model.counts import model_counts
from core.model.spec import ModelSpec
from core.units import GB

# Fields of a model's card as people call them.
_SHORT_NAMES = {
    "layers": "num_hidden_layers", "num_layers": "num_hidden_layers", "n_layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads", "num_heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads", "num_kv_heads": "num_key_value_heads",
    "vocab": "vocab_size", "vocabulary": "vocab_size",
    "context": "max_position_embeddings", "context_length": "max_position_embeddings",
    "max_context": "max_position_embeddings", "max_model_len": "max_position_embeddings",
    "params": "parameters",
    "license": "licence",
    "maker": "developer", "vendor": "developer",
}  # fmt: skip

CardValue = float | str
Card = dict[str, CardValue]


def known_fields(fields: Mapping[str, float | str | None]) -> Card:
    """Return a card without the fields that are None or "", with ints converted to floats, as in cells."""
    return {
        field: float(value) if isinstance(value, int) else value
        for field, value in fields.items()
        if value is not None and value != ""
    }


def card_field(card: Card, field: str) -> CardValue:
    """Return one field of the card; letter case does not matter, and the short names that people type will do.

    Raises:
        UnknownNameError: the card has no such field.
    """
    name = field.strip().lower()
    if name not in card:
        name = _SHORT_NAMES.get(name, name)
    if name not in card:
        raise unknown_name("field", field, card, "the card")
    return card[name]


def model_card(spec: ModelSpec) -> Card:
    """Return the known fields of `spec` in display order.

    `kv_bytes_per_token` is for a cache in 16 bits, or in `kv_precision` if the checkpoint states one. The card of a
    catalog model also names its maker, licence, the models that are published as drafting for it, source and date.
    """
    known = model_counts(spec)
    heads = spec.layers[0].mixer.attention if spec.vocab_size is not None else None
    fields: dict[str, float | str | None] = {
        "name": spec.name,
        "parameters": known.parameters.total,
        "num_hidden_layers": spec.num_hidden_layers,
        "hidden_size": spec.hidden_size,
        "num_attention_heads": heads.num_attention_heads if heads else None,
        "num_key_value_heads": heads.num_key_value_heads if heads else None,
        "head_dim": heads.head_dim if heads else None,
        "vocab_size": spec.vocab_size,
        "max_position_embeddings": spec.max_position_embeddings,
        "kv_precision": spec.kv_precision,
        "kv_bytes_per_token": known.kv.bytes_per_token(names.cache_precision(spec)),
        **_provenance(spec),
    }
    return known_fields(fields)


def _provenance(spec: ModelSpec) -> dict[str, str]:
    try:
        named = names.named_model(spec.name)
    except UnknownNameError:
        return {}
    if named.spec is not spec and named.model.spec is not spec:
        return {}
    known = named.model
    return {
        "title": known.title,
        "developer": known.developer,
        "licence": known.licence,
        "draft_models": ", ".join(draft_models_of(known.name)),
        "source": known.source,
        "as_of": known.as_of,
    }


def gpu_card(gpu: Gpu) -> Card:
    """Return the known facts about `gpu`; `memory_basis` is "driver" (as the driver reports it) or "label".

    Prices are indicative, in US dollars: `price` to buy one, the others for an hour of one.
    """
    return known_fields(
        {
            "name": gpu.name,
            "title": gpu.title,
            "maker": gpu.maker,
            "architecture": gpu.architecture,
            "compute_capability": gpu.compute_capability,
            "sm_count": gpu.sm_count,
            "form_factor": gpu.form_factor,
            "label_gb": gpu.label_gb,
            "memory_mib": gpu.memory_mib,
            "memory_gb": gpu.memory_bytes / GB,
            "memory_basis": "label" if gpu.memory_is_label else "driver",
            "memory_type": gpu.memory_type,
            "bandwidth_gb_per_s": gpu.bandwidth_gb_per_s,
            "tdp_w": gpu.tdp_w,
            "gpus_per_node": gpu.gpus_per_node,
            "interconnect": gpu.interconnect,
            "interconnect_gb_per_s": gpu.interconnect_gb_per_s,
            "bf16_tflops": gpu.bf16_tflops,
            "int8_tops": gpu.int8_tops,
            "fp8_tflops": gpu.fp8_tflops,
            "fp4_tflops": gpu.fp4_tflops,
            **_indicative_prices(gpu),
            "source": gpu.source,
            "compute_source": gpu.compute_source,
            "memory_source": gpu.memory_source,
            "as_of": gpu.as_of,
        }
    )


def _indicative_prices(gpu: Gpu) -> dict[str, float | str | None]:
    """Return US dollars to buy the GPU, and to rent it for an hour, by the catalog's offers; see `offer_choice`."""
    found = catalog_prices()[gpu.name]
    items: dict[str, Price | None] = {
        "price": found.purchase,
        "rent_per_hour": found.on_demand_per_gpu_hour,
        "reserved_per_hour": found.reserved_per_gpu_hour,
    }
    known = [price for price in items.values() if price is not None]
    return {
        **{field: None if price is None else price.usd for field, price in items.items()},
        "price_source": known[0].offer.source if known else None,
        "price_as_of": str(known[0].offer.date) if known else None,
    }


def precision_card(row: CatalogPrecision) -> Card:
    """Return the known facts about a format; `bits_per_value` is without the scales per row or tile.

    `stored_in_it` lists the groups of tensors that use the format; other tensors stay in 16 bits.
    """
    precision = row.precision
    return known_fields(
        {
            "name": precision.name,
            "title": row.titles["en"],
            "used_for": row.use or "weights and KV cache",
            "bytes_per_value": precision.bytes_per_value,
            "bits_per_value": precision.bits_per_value,
            "block_bytes": precision.block_bytes,
            "block_values": precision.block_values,
            "stored_in_it": "every tensor" if precision.is_nominal else ", ".join(sorted(precision.groups)),
            "source": precision.source,
            "as_of": row.as_of,
        }
    )
