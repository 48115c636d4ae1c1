"""A card: what is known of one thing of the catalog, as labelled fields in the order in which to show them."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import unknown_name

CardValue = float | str
Card = dict[str, CardValue]


def known_fields(fields: Mapping[str, float | str | None]) -> Card:
    """A card of the fields that are known, neither None nor "", with whole numbers as floats, as a cell holds them."""
    return {
        field: float(value) if isinstance(value, int) else value
        for field, value in fields.items()
        if value is not None and value != ""
    }


def card_field(card: Card, field: str) -> CardValue:
    """One field of the card, whatever its case.

    Raises:
        UnknownNameError: the card has no such field.
    """
    name = field.strip().lower()
    if name not in card:
        raise unknown_name("field", field, card, "the card")
    return card[name]
