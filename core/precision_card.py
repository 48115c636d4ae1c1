"""What is known of a number format, as a card of labelled fields."""

from __future__ import annotations

from core.card import Card, known_fields
from core.catalog import CatalogPrecision


def precision_card(row: CatalogPrecision) -> Card:
    """What is known of a format; `bits_per_value` is of its blocks, and scales per row or tile come on top.

    `stored_in_it` tells the groups of tensors that are stored so where the others stay in 16 bits.
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
