"""The fields of one config.json, or of one part of it, read by name with the defaults of its family.

Whoever reads through this class leaves a trace: a field that changes memory and that nobody read is an error, so that
no part of an architecture is passed over in silence.
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

# Never taken from a default at the top of a config.json: whoever leaves these out has not described a model. In the
# parts of a composite config (`text_config`) they are left out wherever they equal the default.
ESSENTIAL = frozenset({"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size"})

# The same fact under the names that different families, or different releases of one, give it.
_SAME_FACT = (
    ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert"),
    ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts"),
)
_OTHER_NAMES = {name: names for names in _SAME_FACT for name in names}

_ANY_SIZE = Limits(0, 10**7, True, "Write a whole number, as in the model's config.json.")
_POSITIVE = replace(_ANY_SIZE, least=1)
_FRACTION = Limits(1e-6, 1e6, False, "Write a number above 0, as in the model's config.json.")


class Fields:
    """Fields of a config.json by name.

    Args:
        values: the fields as they stand.
        model_type: the family whose defaults apply where a field is absent.
        path: where the fields stand, for messages ("text_config.").
        nested: whether they are a part of a composite config, where even sizes are left to defaults.
        aliases: the family's own names, by the usual ones ({"hidden_size": "n_embd"}).
        defaults: what absent fields are, besides what `config_defaults.csv` has.
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
        """The value as it stands, else the family's default, else None."""
        names = self._names(field)
        self.read.update(names)
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        if field in ESSENTIAL and not self.nested:
            return None
        if any(name in self.values for name in names):
            return None  # null says: none, not the default
        return next((self._defaults[name] for name in names if name in self._defaults), None)

    def _names(self, field: str) -> tuple[str, ...]:
        names = dict.fromkeys((field, self._aliases.get(field, field), *_OTHER_NAMES.get(field, ())))
        return tuple(names)

    def has(self, field: str) -> bool:
        """Whether the field has a value or a default that is not null."""
        return self.raw(field) is not None

    def given(self, field: str) -> bool:
        """Whether the field itself stands there, not null."""
        self.read.add(field)
        return self.values.get(field) is not None

    def stated(self, field: str) -> int | None:
        """A whole number that stands there under any of its names; a default only inside a composite config."""
        value = self.optional(field)
        is_there = self.nested or any(self.values.get(name) is not None for name in self._names(field))
        return value if is_there else None

    def optional(self, field: str) -> int | None:
        """A whole number, or None."""
        value = self.raw(field)
        return None if value is None else int(number_within(self.path + field, value, LIMITS.get(field, _ANY_SIZE)))

    def size(self, field: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number that is needed, 0 only where `least` allows it.

        Raises:
            UnsupportedModelError: it is not there, and has no default.
        """
        value = self.optional(field)
        if value is None:
            value = default
        if value is None:
            raise self.error(field, "it is missing", LIMITS.get(field, _ANY_SIZE).remedy)
        return int(number_within(self.path + field, value, _POSITIVE)) if value < least else value

    def fraction(self, field: str, default: float) -> float:
        """A number above 0 that need not be whole."""
        value = self.raw(field)
        return default if value is None else float(number_within(self.path + field, value, _FRACTION))

    def flag(self, field: str, default: bool = False) -> bool:
        """True or false."""
        value = self.raw(field)
        return default if value is None else flag(self.path + field, value)

    def text(self, field: str, default: str = "") -> str:
        """A word."""
        value = self.raw(field)
        if value is None:
            return default
        if not isinstance(value, str):
            raise WrongTypeError(self.path + field, f"{quoted(value)} is not text", "Write it as in config.json.")
        return value

    def listed(self, field: str) -> list[object] | None:
        """A list, or None."""
        value = self.raw(field)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            raise WrongTypeError(self.path + field, f"{quoted(value)} is not a list", "Write it as in config.json.")
        return list(value)

    def per_layer(self, field: str, layers: int) -> list[object] | None:
        """A list with one entry for each layer, or None; entries for draft layers at its end are left out.

        Raises:
            UnsupportedModelError: it has more or fewer entries.
        """
        value = self.listed(field)
        if value is not None and len(value) == layers + (self.optional("num_nextn_predict_layers") or 0):
            return value[:layers]
        if value is not None and len(value) != layers:
            raise self.error(
                field,
                f"it has {len(value)} entries for {layers} layers",
                "Give one entry for each of num_hidden_layers.",
            )
        return value

    def part(self, field: str) -> Mapping[str, object] | None:
        """A nested object, or None."""
        self.read.add(field)
        value = self.values.get(field)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise WrongTypeError(self.path + field, f"{quoted(value)} is not an object", "Write it as in config.json.")
        return value

    def inside(self, field: str) -> Fields:
        """The fields of a nested object; none of them where it is absent."""
        return Fields(self.part(field) or {}, "", path=f"{self.path}{field}.", nested=True)

    def sizes(self, field: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A list of whole numbers, as many as the default has where there is one.

        Raises:
            UnsupportedModelError: it has more or fewer.
        """
        value = self.listed(field)
        if not value:
            return default
        if default and len(value) != len(default):
            raise self.error(
                field, f"it has {len(value)} entries", f"Give {len(default)}, as in the model's config.json."
            )
        return tuple(int(number_within(self.path + field, each, _ANY_SIZE)) for each in value)

    def ignore(self, *names: str) -> None:
        """Fields that change nothing in this family."""
        self.read.update(names)

    def error(self, field: str, problem: str, remedy: str) -> UnsupportedModelError:
        """An error about a field, named with its place."""
        return UnsupportedModelError(self.path + field, problem, remedy)

    def unread(self, names: Iterable[str]) -> list[str]:
        """Which of `names` say something here that nobody has read."""
        return [name for name in names if name not in self.read and self._says_something(name)]

    def _says_something(self, field: str) -> bool:
        value = self.values.get(field)
        return bool(value) and value != self._defaults.get(field)


@cache
def family_defaults(model_type: str) -> Mapping[str, object]:
    """What the fields of a family are where its config.json leaves them out."""
    row = _default_rows().get(model_type)
    return json.loads(row["defaults"]) if row else {}


@cache
def default_parts(model_type: str) -> Mapping[str, str]:
    """The model types of the parts of a composite family, where its config.json leaves them out."""
    row = _default_rows().get(model_type)
    return json.loads(row["parts"]) if row else {}


@cache
def _default_rows() -> Mapping[str, Mapping[str, str]]:
    with open(_DEFAULTS_FILE, encoding="utf-8", newline="") as lines:
        return {row["model_type"]: row for row in csv.DictReader(lines)}
