"""The cell functions on what is known of a thing by name. What each is, `vram_udf` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core import catalog
from core.catalog.cards import Card, card_field, gpu_card, model_card, precision_card
from core.cells.arguments import FIELD, MODEL, field
from core.cells.broadcast import Array, broadcast
from core.cells.spill import labelled, spilled
from core.cells.values import grid, is_blank

GPU = field("gpu", catalog.gpu)
PRECISION_ROW = field("precision", catalog.precision_named)


def model(name: object, field_name: object) -> object:
    return _cards(MODEL.read(name), model_card, field_name)


def gpu(name: object, field_name: object) -> object:
    return _cards(GPU.read(name), gpu_card, field_name)


def precision(name: object, field_name: object) -> object:
    return _cards(PRECISION_ROW.read(name), precision_card, field_name)


def _cards(things: Array, card_of: Callable[[Any], Card], field_name: object) -> object:
    """One field of the card of each thing, or with no field the whole cards side by side."""
    if not all(is_blank(cell) for row in grid(field_name) for cell in row):
        return spilled(
            broadcast(lambda thing, name: card_field(card_of(thing), name), [things, FIELD.read(field_name)])
        )
    cards = broadcast(card_of, [things])
    fullest_first = sorted((card for card in cards.elements if isinstance(card, dict)), key=len, reverse=True)
    labels = list(dict.fromkeys(label for card in fullest_first for label in card)) or ["name"]
    return labelled(
        labels,
        [[card.get(label, "") for label in labels] if isinstance(card, dict) else card for card in cards.elements],
    )
