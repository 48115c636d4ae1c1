"""Read the fields of a config.json, or of a part of it, by name and with the defaults of its family.

The class records which fields are read. A field that changes memory and was not read is then an error, so that no
part of an architecture is silently ignored.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

from core.checks import LIMITS, Limits, flag, number_within
from core.errors import UnsupportedModelError, WrongTypeError, quoted

_DEFAULTS_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "config_defaults.csv")

# Fields that have no default at the top of a config.json: without them a model is not described. The parts of a
# composite config (`text_config`) may leave them out where they equal the default.
_REQUIRED = frozenset({"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size"})

# Names for the same field in different families, or in different releases of one.
_SYNONYMS = (
    ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert"),
    ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts"),
)
_SYNONYMS_OF = {name: names for names in _SYNONYMS for name in names}

# Fields with the number of layers for multi-token prediction: DeepSeek, GLM, MiMo; Qwen3-Next, Qwen3.5; MiniMax-M2.
# Layers' lists may have entries for them at the end.
DRAFT_LAYERS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", "mtp_num_layers")

_ANY_SIZE = Limits(0, 10**7, True, "Write a whole number, as in the model's config.json.")
_POSITIVE = replace(_ANY_SIZE, least=1)
COPY_IT = "Copy it from the model's config.json."
_FRACTION = Limits(1e-6, 1e6, False, "Write a number above 0, as in the model's config.json.")


class Fields:
    """The fields of a config.json, by name.

    Args:
        values: the fields as they are in the file.
        model_type: the family whose defaults apply to missing fields.
        path: put before field names in messages ("text_config.").
        nested: whether the fields are a part of a composite config, which may leave out even required fields.
        aliases: usual field name → the family's own name ({"hidden_size": "n_embd"}).
        defaults: values of missing fields, in addition to those in `config_defaults.csv`.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        model_type: str,
        *,
        path: str = "",
        nested: bool = False,
        aliases: Mapping[str, str] | None = None,
        defaults: Mapping[str, object] | None = None,
    ) -> None:
        self.values = values
        self.model_type = model_type
        self.path = path
        self.nested = nested
        self.read: set[str] = set()
        self._aliases = aliases or {}
        self._defaults = {**(defaults or {}), **family_defaults(model_type)}

    def raw(self, field: str) -> object:
        """Return the value as it is in the file, else the family's default, else None."""
        names = self._names(field)
        self.read.update(names)
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        if field in _REQUIRED and not self.nested:
            return None
        if any(name in self.values for name in names):
            return None  # null overrides the default
        return next((self._defaults[name] for name in names if name in self._defaults), None)

    def _names(self, field: str) -> tuple[str, ...]:
        names = dict.fromkeys((field, self._aliases.get(field, field), *_SYNONYMS_OF.get(field, ())))
        return tuple(names)

    def has(self, field: str) -> bool:
        """Return whether the field has a value, or a default, that is not null."""
        return self.raw(field) is not None

    def given(self, field: str) -> bool:
        """Return whether the file has the field, under this very name, and it is not null."""
        self.read.add(field)
        return self.values.get(field) is not None

    def stated(self, field: str) -> int | None:
        """Return a whole number that the file has under any of its names; a default only in a composite config."""
        value = self.optional(field)
        allowed = self.nested or any(self.values.get(name) is not None for name in self._names(field))
        return value if allowed else None

    def optional(self, field: str) -> int | None:
        """Return a whole number, or None; of a list with an entry per layer, all equal, that entry."""
        value = self.raw(field)
        if isinstance(value, list) and len(value) > 1 and all(type(each) is int and each == value[0] for each in value):
            value = value[0]
        return None if value is None else int(number_within(self._shown(field), value, LIMITS.get(field, _ANY_SIZE)))

    def size(self, field: str, default: int | None = None, *, least: int = 1) -> int:
        """Return a whole number of at least `least` that must be given or have a default.

        Raises:
            UnsupportedModelError: it is missing and has no default.
        """
        value = self.optional(field)
        if value is None:
            value = default
        if value is None:
            raise self.error(field, "it is missing", LIMITS.get(field, _ANY_SIZE).remedy)
        return int(number_within(self._shown(field), value, _POSITIVE)) if value < least else value

    def fraction(self, field: str, default: float) -> float:
        """Return a number above 0, not necessarily whole."""
        value = self.raw(field)
        return default if value is None else float(number_within(self._shown(field), value, _FRACTION))

    def flag(self, field: str, default: bool = False) -> bool:
        """Return a truth value."""
        value = self.raw(field)
        return default if value is None else flag(self._shown(field), value)

    def text(self, field: str, default: str = "") -> str:
        """Return a text."""
        value = self.raw(field)
        if value is None:
            return default
        if not isinstance(value, str):
            raise WrongTypeError(self._shown(field), f"{quoted(value)} is not text", COPY_IT)
        return value

    def listed(self, field: str) -> list[object] | None:
        """Return a list, or None."""
        value = self.raw(field)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            raise WrongTypeError(self._shown(field), f"{quoted(value)} is not a list", COPY_IT)
        return list(value)

    def per_layer(self, field: str, layers: int) -> list[object] | None:
        """Return a list with one entry per layer, or None; entries for draft layers at its end are left out.

        Raises:
            UnsupportedModelError: it has another number of entries.
        """
        value = self.listed(field)
        if value is not None and layers < len(value) <= layers + self._draft_layers():
            return value[:layers]
        if value is not None and len(value) != layers:
            raise self.error(
                field,
                f"it has {len(value)} entries for {layers} layers",
                "Write one entry for each of num_hidden_layers.",
            )
        return value

    def _draft_layers(self) -> int:
        """Return the most draft layers that the fields speak of; DeepSeek-V4's DSpark lists the layers it reads."""
        counts = (self.values.get(field) for field in DRAFT_LAYERS)
        listed = self.values.get("dspark_target_layer_ids")
        return max(
            len(listed) + 1 if isinstance(listed, list) else 0, *(count for count in counts if type(count) is int), 0
        )

    def part(self, field: str) -> Mapping[str, object] | None:
        """Return a nested object, or None."""
        self.read.add(field)
        value = self.values.get(field)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise WrongTypeError(self.path + field, f"{quoted(value)} is not an object", COPY_IT)
        return value

    def inside(self, field: str) -> Fields:
        """Return the fields of a nested object; no fields if it is missing."""
        return Fields(self.part(field) or {}, "", path=f"{self.path}{field}.", nested=True)

    def sizes(self, field: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return a list of whole numbers, as long as `default` unless that is empty.

        Raises:
            UnsupportedModelError: it has another length.
        """
        value = self.listed(field)
        if not value:
            return default
        if default and len(value) != len(default):
            raise self.error(
                field, f"it has {len(value)} entries", f"Write {len(default)}, as in the model's config.json."
            )
        return tuple(int(number_within(self._shown(field), each, _ANY_SIZE)) for each in value)

    def ignore(self, *names: str) -> None:
        """Mark fields as read that change nothing in this family."""
        self.read.update(names)

    def error(self, field: str, problem: str, remedy: str) -> UnsupportedModelError:
        """Return an error about `field`, named with its path."""
        return UnsupportedModelError(self._shown(field), problem, remedy)

    def _shown(self, field: str) -> str:
        """Return the name of a field with its path: the one under which the file has it, else its family's own name."""
        given = (name for name in self._names(field) if self.values.get(name) is not None)
        return self.path + next(given, self._aliases.get(field, field))

    def unread(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that were not read though they are not empty and differ from the default."""
        return [name for name in names if name not in self.read and self._differs_from_default(name)]

    def _differs_from_default(self, field: str) -> bool:
        value = self.values.get(field)
        return bool(value) and value != self._defaults.get(field)


@cache
def family_defaults(model_type: str) -> Mapping[str, object]:
    """Return the values of fields that the config.json of a family leaves out."""
    row = _default_rows().get(model_type)
    return json.loads(row["defaults"]) if row else {}


@cache
def default_parts(model_type: str) -> Mapping[str, str]:
    """Return part → model type of a composite family, where its config.json leaves the model type out."""
    row = _default_rows().get(model_type)
    return json.loads(row["parts"]) if row else {}


@cache
def _default_rows() -> Mapping[str, Mapping[str, str]]:
    with open(_DEFAULTS_FILE, encoding="utf-8", newline="") as lines:
        return {row["model_type"]: row for row in csv.DictReader(lines)}
