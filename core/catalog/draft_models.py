"""Look up models that draft tokens for others (speculative decoding), and the pairs that are published."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from core import catalog
from core.catalog.data_files import DATA_FOLDER, read_data
from core.catalog.names import CatalogModel, model_of_row, name_key
from core.catalog.rows import read_rows
from core.errors import PlannerError
from core.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class DraftPair:
    """One row of draft_pairs.csv: names of a model and of one that is published as drafting for it."""

    model: str
    draft_model: str
    source: str
    as_of: str


@dataclass(frozen=True, kw_only=True)
class DraftedModel:
    """A model to serve, and the model that drafts for it; None for none, or for the model's own layers."""

    model: CatalogModel
    draft: CatalogModel | None = None

    @property
    def name(self) -> str:
        """Return the name by which tables of figures list it."""
        return self.model.name if self.draft is None else f"{self.model.name}{JOINED}{self.draft.name}"

    @property
    def draft_spec(self) -> ModelSpec | None:
        """Return the architecture of the model that drafts; None for none."""
        return None if self.draft is None else self.draft.spec

    def is_any_of(self, names: Collection[str]) -> bool:
        """Return whether the model, or the one that drafts, has one of these names."""
        return self.model.name in names or (self.draft is not None and self.draft.name in names)


JOINED = " + "  # between the names of a pair


def drafted_models() -> tuple[DraftedModel, ...]:
    """Return every model of the catalog, then every published pair."""
    known = {model.name: model for model in catalog.models()}
    pairs = (
        DraftedModel(model=known[pair.model], draft=draft_model(pair.draft_model))
        for pair in draft_pairs()
        if pair.model in known
    )
    return (*(DraftedModel(model=model) for model in known.values()), *pairs)


@cache
def draft_heads() -> Mapping[str, CatalogModel]:
    """Return the EAGLE-3 heads of draft_heads.csv by name."""
    rows = read_rows(os.path.join(DATA_FOLDER, "draft_heads.csv"), own=False)
    return {row["name"]: model_of_row(row, heads=True) for row in rows}


@cache
def draft_pairs() -> tuple[DraftPair, ...]:
    """Return the published pairs, in file order."""
    return tuple(DraftPair(**row) for row in read_data("draft_pairs.csv"))


@cache
def draft_models_of(name: str) -> tuple[str, ...]:
    """Return the names of the models that are published as drafting for the model with that name of the catalog."""
    return tuple(pair.draft_model for pair in draft_pairs() if pair.model == name)


def draft_model(name: object) -> CatalogModel:
    """Return the head or the model with that name or alias; any model of the catalog can be meant.

    Raises:
        PlannerError: there is none; the errors are those of `core.catalog.model`, of the field `draft_model`.
    """
    with errors_of_draft_model():
        return draft_head(name) or catalog.model(name)


def draft_head(name: object) -> CatalogModel | None:
    """Return the head with that name or alias; None if there is none."""
    return _heads_by_key().get(name_key(name)) if isinstance(name, str) else None


@contextmanager
def errors_of_draft_model() -> Iterator[None]:
    """Name the field `draft_model` in errors of the field "model"."""
    try:
        yield
    except PlannerError as error:
        if error.field == "model":
            error.field = "draft_model"
        raise


@cache
def _heads_by_key() -> Mapping[str, CatalogModel]:
    return {name_key(name): head for head in draft_heads().values() for name in (head.name, *head.aliases)}
