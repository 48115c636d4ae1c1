"""How a checkpoint stores its weights: which format, and which modules it leaves as they were."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from core.errors import UnsupportedModelError, quoted
from core.model.precision import Precision
from core.model.tensors import ATTENTION, EMBEDDING, EXPERT, HEAD, MLP, ROUTER, VISION, Tensor

# Linear modules that formats quantize: embeddings, norms, biases and routers are left alone by all of them
# (vLLM model_executor/layers/quantization; the router is a ReplicatedLinear without quant_config).
LINEAR_GROUPS = frozenset({ATTENTION, MLP, EXPERT})
LINEAR_GROUPS_AND_HEAD = LINEAR_GROUPS | {HEAD, VISION}
EVERY_MATRIX = LINEAR_GROUPS | {HEAD, EMBEDDING, ROUTER}  # MLX: whatever has rows, in the language model

_LAYER = re.compile(r"^(?:.*\.)?(?:layers|h)\.(\d+)\.(.+)$")
_TOWER = re.compile(r"^(?:model\.)?(?:visual|vision|audio|mtp|multi_modal|mm_)")
_LAYER_PREFIXES = (
    "model.layers",
    "model.language_model.layers",
    "language_model.model.layers",
    "backbone.layers",
    "layers",
)
_OTHER_NAMES = (
    ("mlp.shared_experts.", "mlp.shared_expert."),
    ("mlp.", "block_sparse_moe."),
    ("mlp.", "feed_forward."),
    ("mlp.", "mixer."),
    ("mlp.", "ffn."),
    ("self_attn.", "mixer."),
    ("self_attn.", "attn."),
)
_FUSED_NAMES = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "gate_proj": "gate_up_proj",
                "up_proj": "gate_up_proj"}  # fmt: skip
_MIXTRAL_NAMES = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}


@dataclass(frozen=True)
class Modules:
    """A selection of modules, as config.json writes it: paths, parts of paths, "*" and "re:".

    Attributes:
        in_layers: (layer, path in it) of modules that are named in full; what is below them is meant too.
        beginnings: the same, for paths that end in "*".
        anywhere: parts of paths that may stand in any layer.
        patterns: regular expressions for the rest.
    """

    in_layers: frozenset[tuple[int, str]]
    beginnings: frozenset[tuple[int, str]]
    anywhere: frozenset[str]
    patterns: tuple[str, ...]

    @property
    def varies_by_layer(self) -> bool:
        """Whether it may have a module of one layer and not the same one of another."""
        return bool(self.in_layers or self.beginnings or (self.patterns and self != EVERYTHING))

    def has(self, tensor: Tensor, layer: int | None) -> bool:
        """Whether the tensor, the one of `layer` (None: outside the layers), is among them."""
        if self.patterns == EVERYTHING.patterns:
            return True
        if tensor.name not in self._layers_of:
            self._layers_of[tensor.name] = self._named_layers(_names(tensor.name))
        named = self._layers_of[tensor.name]
        if named is None or layer in named:
            return True
        return any(pattern.match(path) for pattern in self._compiled for path in _paths(tensor.name, layer))

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(map(re.compile, self.patterns))

    @cached_property
    def _layers_of(self) -> dict[str, frozenset[int] | None]:
        """What `_named_layers` said of the modules that were asked for: layers ask for the same ones."""
        return {}

    def _named_layers(self, names: tuple[str, ...]) -> frozenset[int] | None:
        """The layers in which a module of one of these `names` is named, patterns aside; None if it is in all."""
        if any(not self.anywhere.isdisjoint(_parts(name)) for name in names):
            return None
        above = frozenset[str]().union(*map(_beginnings, names))
        in_full = {layer for layer, path in self.in_layers if path in above}
        begun = {layer for layer, start in self.beginnings if any(name.startswith(start) for name in names)}
        return frozenset(in_full | begun)


def modules(written: Iterable[str]) -> Modules:
    """The selection that a list of names in config.json makes."""
    in_layers, beginnings, anywhere, patterns, globs = set(), set(), set(), [], []
    for name in written:
        if name.startswith("re:"):
            patterns.append(_checked(name[3:]))
            continue
        found = None if _TOWER.match(name) else _LAYER.match(name)
        if found and "*" not in name:
            in_layers.add((int(found[1]), found[2]))
        elif found and "*" not in name[:-1]:
            beginnings.add((int(found[1]), found[2][:-1]))
        elif "*" in name:
            globs.append(fnmatch.translate(name).replace("\\Z", r"(?:\Z|\.)").replace("\\z", r"(?:\Z|\.)"))
        else:
            anywhere.add(name.removeprefix("model.").removeprefix("language_model."))
    if globs:
        patterns.append("|".join(globs))  # one look at each path instead of one for each glob
    return Modules(frozenset(in_layers), frozenset(beginnings), frozenset(anywhere), tuple(patterns))


def _checked(pattern: str) -> str:
    """A regular expression that ends in reasonable time, as far as its looks tell.

    Raises:
        UnsupportedModelError: it is none, or repeats what repeats itself.
    """
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnsupportedModelError(
            "quantization_config", f"{quoted(pattern)} is not a regular expression ({error})", "Name a precision."
        ) from error
    if _REPEATED_REPEAT.search(pattern) or len(_REPEAT.findall(pattern)) > _MOST_REPEATS:
        raise UnsupportedModelError(
            "quantization_config", f"{quoted(pattern)} could be looked for without end", "Name a precision."
        )
    return pattern


# (a+)+ takes twice as long for each letter more; each repeat takes as many times longer as a path has letters.
_REPEAT, _REPEATED_REPEAT = re.compile(r"(?<!\\)[*+]"), re.compile(r"[*+}?]\)+[*+{]")
_MOST_REPEATS = 8

EVERYTHING = Modules(frozenset(), frozenset(), frozenset(), (".*",))
NOTHING = Modules(frozenset(), frozenset(), frozenset(), ())


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """The formats of a checkpoint's weights.

    Attributes:
        method: the format's name, as config.json has it ("fp8", "compressed-tensors").
        formats: which modules are stored in which precision; the first that has a module decides.
        excluded: modules that stay as they were.
        groups: groups of tensors that can be quantized at all.
    """

    method: str
    formats: tuple[tuple[Modules, Precision], ...]
    excluded: Modules = NOTHING
    groups: frozenset[str] = LINEAR_GROUPS

    @cached_property
    def varies_by_layer(self) -> bool:
        """Whether layers of the same shape may be stored differently."""
        selections = (self.excluded, *(modules for modules, _ in self.formats))
        return any(selected.varies_by_layer for selected in selections)

    def precision_of(self, tensor: Tensor, layer: int | None) -> Precision | None:
        """The format of a tensor, the one of `layer` (None: outside the layers); None where it stays as it was."""
        if tensor.group not in self.groups or tensor.columns == 1 or self.excluded.has(tensor, layer):
            return None
        return next((precision for selected, precision in self.formats if selected.has(tensor, layer)), None)


@lru_cache(maxsize=1024)
def _names(name: str) -> tuple[str, ...]:
    """The names under which checkpoints have a module."""
    names = [name]
    head, is_expert, last = name.rpartition("experts.")
    if is_expert and not head.endswith("shared_") and last in _MIXTRAL_NAMES:
        names += [f"{head}experts.0.{last}", f"{head}experts.0.{_MIXTRAL_NAMES[last]}"]
    if name == "mlp.gate":
        names.append("mlp.router")
    parent, _, last = name.rpartition(".")
    if last in _FUSED_NAMES:
        names.append(f"{parent}.{_FUSED_NAMES[last]}")
    return tuple(dict.fromkeys(names + [each.replace(*other, 1) for each in names for other in _OTHER_NAMES
                                        if each.startswith(other[0])]))  # fmt: skip


@lru_cache(maxsize=4096)
def _beginnings(name: str) -> frozenset[str]:
    """Every run of whole components with which a path begins, itself included."""
    words = name.split(".")
    return frozenset(".".join(words[:end]) for end in range(1, len(words) + 1))


@lru_cache(maxsize=4096)
def _parts(name: str) -> frozenset[str]:
    """Every run of whole components of a path."""
    words = name.split(".")
    return frozenset(".".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))


@lru_cache(maxsize=4096)
def _paths(name: str, layer: int | None) -> list[str]:
    """The paths under which checkpoints have a module of a layer."""
    names = _names(name)
    if layer is None:
        return [path for each in names for path in (each, f"model.{each}", f"language_model.{each}")]
    return [f"{prefix}.{layer}.{each}" for prefix in _LAYER_PREFIXES for each in names]
