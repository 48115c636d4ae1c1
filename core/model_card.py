"""What is known of a model, as a card of labelled fields."""

from __future__ import annotations

from core import catalog
from core.card import Card, known_fields
from core.errors import UnknownNameError
from core.model_spec import FullAttention, ModelSpec
from core.precision import Precision
from core.sizing import footprint

_SIXTEEN_BITS = Precision(name="fp16", block_bytes=2)


def model_card(spec: ModelSpec) -> Card:
    """The fields of `spec` that are known, in the order in which to show them.

    `kv_bytes_per_token` is at 16 bits. A catalog model's card also names its maker, licence, source and date.
    """
    known = footprint(spec)
    mixer = spec.layers[0].mixer
    heads = mixer if isinstance(mixer, FullAttention) and spec.vocab_size is not None else None
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
        "kv_bytes_per_token": known.kv.bytes_per_token(_SIXTEEN_BITS),
        **_provenance(spec),
    }
    return known_fields(fields)


def _provenance(spec: ModelSpec) -> dict[str, str]:
    try:
        known = catalog.model(spec.name)
    except UnknownNameError:
        return {}
    if known.spec is not spec:
        return {}
    return {
        "title": known.title,
        "developer": known.developer,
        "licence": known.licence,
        "source": known.source,
        "as_of": known.as_of,
    }
