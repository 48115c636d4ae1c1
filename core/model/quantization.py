"""Describe how a checkpoint stores its weights: in which formats, and which modules it does not quantize."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from core.errors import UnsupportedModelError, quoted
from core.model.precision import Precision
from core.model.tensors import ATTENTION, EMBEDDING, EXPERT, HEAD, MLP, ROUTER, VISION, Tensor

# Formats quantize linear modules; none of them quantizes embeddings, norms, biases or routers
# (vLLM model_executor/layers/quantization; the router is a ReplicatedLinear without quant_config).
LINEAR_GROUPS = frozenset({ATTENTION, MLP, EXPERT})
LINEAR_GROUPS_AND_HEAD = LINEAR_GROUPS | {HEAD, VISION}
EVERY_MATRIX = LINEAR_GROUPS | {HEAD, EMBEDDING, ROUTER}  # MLX: every matrix of the language model

_LAYER = re.compile(r"^(?:.*\.)?(?:layers|h)\.(\d+)\.(.+)$")
_DRAFT = re.compile(r"^(?:model\.)?mtp\b")
# Words by which module names and patterns speak of a tower, or of what lies between a tower and the decoder; the first
# that fits decides ("visual.merger" is a projector).
_TOWER_WORDS = (
    ("projector", re.compile(r"projector|multi_modal|mm_proj|merger|mlp1|connector|resampler|aligner|img_projection|"
                             r"embed_(?:vision|audio|modality)|vision_adapter")),
    ("audio", re.compile(r"audio|speech|sound")),
    ("vision", re.compile(r"visual|vision|\bvit\b|\bimage_|\bimg_")),
)  # fmt: skip
_WHOLE_TOWER = re.compile(r"(?:visual|vision|audio|speech|sound)\w*[.*$\\]*$")
_LAYER_PREFIXES = (
    "model.layers",
    "model.language_model.layers",
    "language_model.model.layers",
    "backbone.layers",
    "layers",
)
_ALTERNATIVE_NAMES = (
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
        in_layers: (layer, path in the layer) of modules with a full path, which selects the modules below it too.
        prefixes: the same, for paths that end in "*".
        anywhere: parts of paths that select modules in every layer.
        patterns: regular expressions for all other entries.
        towers: kinds of parts outside the decoder that entries speak of: "vision", "audio", "projector"; "all vision"
            and "all audio" include the projector inside the tower. Checkpoints name every module of a tower, or the
            tower; its layers are not told apart.
        exact: whether a path selects that module only, not those below it (compressed-tensors, utils/match.py).
    """

    in_layers: frozenset[tuple[int, str]]
    prefixes: frozenset[tuple[int, str]]
    anywhere: frozenset[str]
    patterns: tuple[str, ...]
    towers: frozenset[str] = frozenset()
    exact: bool = False

    @property
    def varies_by_layer(self) -> bool:
        """Return whether the selection may include a module in one layer but not in another."""
        return bool(self.in_layers or self.prefixes or (self.patterns and self != EVERYTHING))

    def has(self, tensor: Tensor, layer: int | None) -> bool:
        """Return whether the selection includes a tensor of `layer` (None: outside the layers)."""
        if self.patterns == EVERYTHING.patterns:
            return True
        if tensor.group == VISION and not self.towers.isdisjoint(_tower_kinds(tensor.name)):
            return True
        if tensor.name not in self._selected_layers_by_name:
            self._selected_layers_by_name[tensor.name] = self._selected_layers(_names(tensor.name))
        selected = self._selected_layers_by_name[tensor.name]
        if selected is None or layer in selected:
            return True
        return any(pattern.match(path) for pattern in self._compiled for path in _paths(tensor.name, layer))

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(map(re.compile, self.patterns))

    @cached_property
    def _selected_layers_by_name(self) -> dict[str, frozenset[int] | None]:
        """Cache `_selected_layers` by tensor name: all layers have the same names."""
        return {}

    def _selected_layers(self, names: tuple[str, ...]) -> frozenset[int] | None:
        """Return the layers in which a module with one of these `names` is selected, patterns aside; None for all."""
        within = _itself if self.exact else _parts
        if any(not self.anywhere.isdisjoint(within(name)) for name in names):
            return None
        paths = frozenset[str]().union(*map(_itself if self.exact else _path_and_parents, names))
        by_path = {layer for layer, path in self.in_layers if path in paths}
        by_prefix = {layer for layer, prefix in self.prefixes if any(name.startswith(prefix) for name in names)}
        return frozenset(by_path | by_prefix)


def modules(entries: Iterable[str], *, exact: bool = False) -> Modules:
    """Parse a list of module names in config.json; `exact`: see `Modules`."""
    entries = tuple(entries)
    towers = frozenset(kind for name in entries for kind in _towers_of_entry(name))
    in_layers, prefixes, anywhere, patterns, globs = set(), set(), set(), [], []
    for name in entries:
        if name.startswith("re:"):
            patterns.append(_checked_pattern(name[3:]))
            continue
        found = None if _DRAFT.match(name) or _towers_of_entry(name) else _LAYER.match(name)
        if found and "*" not in name:
            in_layers.add((int(found[1]), found[2]))
        elif found and "*" not in name[:-1]:
            prefixes.add((int(found[1]), found[2][:-1]))
        elif "*" in name:
            globs.append(fnmatch.translate(name).replace("\\Z", r"(?:\Z|\.)").replace("\\z", r"(?:\Z|\.)"))
        else:
            anywhere.add(re.sub(r"^(?:(?:model|language_model)\.)+(?=.)", "", name))
    if globs:
        patterns.append("|".join(globs))  # one search of each path instead of one per glob
    return Modules(frozenset(in_layers), frozenset(prefixes), frozenset(anywhere), tuple(patterns), towers, exact)


def _tower_kind(text: str) -> str:
    return next((kind for kind, words in _TOWER_WORDS if words.search(text)), "")


def _towers_of_entry(entry: str) -> tuple[str, ...]:
    """Return the kinds of parts outside the decoder that an entry of a list of modules speaks of."""
    kind = _tower_kind(entry)
    if kind in ("", "projector") or not _WHOLE_TOWER.search(entry):
        return (kind,) if kind else ()
    return kind, f"all {kind}"


@lru_cache(maxsize=1024)
def _tower_kinds(name: str) -> tuple[str, ...]:
    """Return the kinds of a tensor outside the decoder: its own, and that of the tower that it is in."""
    return _tower_kind(name), f"all {_tower_kind(name.partition('.')[0])}"


def _checked_pattern(pattern: str) -> str:
    """Return `pattern` if it is a regular expression that should match in reasonable time.

    Raises:
        UnsupportedModelError: it is not a regular expression, or it has nested or too many repeats.
    """
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnsupportedModelError(
            "quantization_config", f"{quoted(pattern)} is not a regular expression ({error})", "Name a precision."
        ) from error
    if _NESTED_REPEAT.search(pattern) or len(_REPEAT.findall(pattern)) > _MAX_REPEATS:
        raise UnsupportedModelError(
            "quantization_config", f"{quoted(pattern)} could take too long to match", "Name a precision."
        )
    return pattern


# (a+)+ takes twice as long for each further letter; each repeat multiplies the time by the length of the path.
_REPEAT, _NESTED_REPEAT = re.compile(r"(?<!\\)[*+]"), re.compile(r"[*+}?]\)+[*+{]")
_MAX_REPEATS = 8

EVERYTHING = Modules(frozenset(), frozenset(), frozenset(), (".*",))
NOTHING = Modules(frozenset(), frozenset(), frozenset(), ())


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """The formats of a checkpoint's weights.

    Attributes:
        method: the format's name in config.json ("fp8", "compressed-tensors").
        formats: modules and their precision; the first entry that includes a module applies.
        excluded: modules that are not quantized.
        groups: groups of tensors that can be quantized.
        named: the one format of all weights where the model's name states it, which may be a mix of GGUF.
        refusal: field, problem and remedy of a format that is not supported; any other precision can be asked for.
    """

    method: str
    formats: tuple[tuple[Modules, Precision], ...]
    excluded: Modules = NOTHING
    groups: frozenset[str] = LINEAR_GROUPS
    named: Precision | None = None
    refusal: tuple[str, str, str] | None = None

    @cached_property
    def varies_by_layer(self) -> bool:
        """Return whether layers of the same shape may be stored in different formats."""
        selections = (self.excluded, *(modules for modules, _ in self.formats))
        return any(selected.varies_by_layer for selected in selections)

    def precision_of(self, tensor: Tensor, layer: int | None) -> Precision | None:
        """Return the format of a tensor of `layer` (None: outside the layers); None if it is not quantized.

        Raises:
            UnsupportedModelError: the checkpoint's format is not supported.
        """
        if self.refusal is not None:
            raise UnsupportedModelError(*self.refusal)
        if tensor.group not in self.groups or tensor.columns == 1 or self.excluded.has(tensor, layer):
            return None
        return next((precision for selected, precision in self.formats if selected.has(tensor, layer)), None)


def in_format(precision: Precision) -> Quantization:
    """Return the quantization of a checkpoint that is stored in `precision`, as the name of a copy states it."""
    return Quantization(
        method=precision.name, formats=((EVERYTHING, precision),), groups=precision.groups, named=precision
    )


@lru_cache(maxsize=1024)
def _names(name: str) -> tuple[str, ...]:
    """Return the names that checkpoints use for a module."""
    names = [name]
    head, is_expert, last = name.rpartition("experts.")
    if is_expert and not head.endswith("shared_") and last in _MIXTRAL_NAMES:
        names += [f"{head}experts.0.{last}", f"{head}experts.0.{_MIXTRAL_NAMES[last]}"]
        names += [f"{head}switch_mlp.{last}", f"{head}experts.switch_glu.{last}"]  # MLX: mlx-lm models/switch_layers.py
    if name in ("mlp.gate", "gate"):  # Bailing's and Hunyuan's routers have a projection inside; Gemma 4: router.proj
        names += ["mlp.router", "router.proj", "mlp.gate.gate_proj", "mlp.gate.wg"]
    parent, _, last = name.rpartition(".")
    if last in _FUSED_NAMES:
        names.append(f"{parent}.{_FUSED_NAMES[last]}")
    return tuple(dict.fromkeys(names + [each.replace(*other, 1) for each in names for other in _ALTERNATIVE_NAMES
                                        if each.startswith(other[0])]))  # fmt: skip


@lru_cache(maxsize=4096)
def _itself(name: str) -> frozenset[str]:
    """Return a path, and for experts the path of all of them, which engines match as one module."""
    experts = name.rpartition("experts.")
    return frozenset({name, f"{experts[0]}experts"} if experts[1] else {name})


@lru_cache(maxsize=4096)
def _path_and_parents(name: str) -> frozenset[str]:
    words = name.split(".")
    return frozenset(".".join(words[:end]) for end in range(1, len(words) + 1))


@lru_cache(maxsize=4096)
def _parts(name: str) -> frozenset[str]:
    """Return every sequence of whole components within a path."""
    words = name.split(".")
    return frozenset(".".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))


@lru_cache(maxsize=4096)
def _paths(name: str, layer: int | None) -> list[str]:
    """Return the full paths that checkpoints use for a module of a layer (None: outside the layers)."""
    names = tuple(each for each in _names(name) if "switch_" not in each)  # MLX writes no patterns
    if layer is None:
        return [path for each in names for path in (each, f"model.{each}", f"language_model.{each}")]
    return [f"{prefix}.{layer}.{each}" for prefix in _LAYER_PREFIXES for each in names]
