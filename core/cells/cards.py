"""The cell functions for facts about a model, GPU or precision. `vram_udf` describes each function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core import catalog
from core.catalog.cards import Card, card_field, gpu_card, model_card, precision_card
from core.catalog.gpu_inputs import gpu_or_size
from core.catalog.hardware import Gpu
from core.cells.arguments import FIELD, MODEL, cell_argument
from core.cells.broadcast import Array, broadcast
from core.cells.spill import labelled_rows, value_or_rows
from core.cells.values import grid, is_blank


def _gpu(value: object) -> Gpu:
    """Return the GPU that is named, also by a card's number; a size of memory is no GPU."""
    found = gpu_or_size(value, more="")
    return found if isinstance(found, Gpu) else catalog.gpu(value)


GPU = cell_argument("gpu", _gpu)
PRECISION_ROW = cell_argument("precision", catalog.precision_named)


def model(name: object, field_name: object) -> object:
    return _cards(MODEL.read(name), model_card, field_name)


def gpu(name: object, field_name: object) -> object:
    return _cards(GPU.read(name), gpu_card, field_name)


def precision(name: object, field_name: object) -> object:
    return _cards(PRECISION_ROW.read(name), precision_card, field_name)


def _cards(items: Array, card_of: Callable[[Any], Card], field_name: object) -> object:
    """Return one field of each item's card, or without a field the whole cards in adjacent columns."""
    if not all(is_blank(cell) for row in grid(field_name) for cell in row):
        return value_or_rows(
            broadcast(lambda item, name: card_field(card_of(item), name), [items, FIELD.read(field_name)])
        )
    cards = broadcast(card_of, [items])
    fullest_first = sorted((card for card in cards.elements if isinstance(card, dict)), key=len, reverse=True)
    labels = list(dict.fromkeys(label for card in fullest_first for label in card)) or ["name"]
    return labelled_rows(
        labels,
        [[card.get(label, "") for label in labels] if isinstance(card, dict) else card for card in cards.elements],
    )
