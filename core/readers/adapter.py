"""Read the adapter_config.json of a LoRA adapter and add the adapter to its base model.

Sources: LoRA (Hu et al. 2021, arXiv:2106.09685, section 4.1); PEFT tuners/lora/config.py and
tuners/tuners_utils.py (target_modules, modules_to_save, rank_pattern).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.checks import Limits, number_within
from core.errors import UnsupportedModelError, quoted
from core.model.parameters import counted_outer_tensors, layer_groups
from core.model.quantization import Modules, modules
from core.model.spec import ModelSpec
from core.model.tensors import ADAPTABLE, Tensor, adapter_matrices, vector
from core.readers.side_files import ADAPTER_FILE

_RANK = Limits(1, 10**6, True, "Give the adapter's own adapter_config.json.")
_ALL_LINEAR = "all-linear"
_STORED_BYTES = 2  # engines load adapters in the model's 16 bits (vLLM lora/lora_model.py)


def base_name(settings: Mapping[str, object]) -> str:
    """Return the name or path of the base model.

    Raises:
        UnsupportedModelError: it is missing, or the adapter is none of LoRA.
    """
    kind, base = settings.get("peft_type", "LORA"), settings.get("base_model_name_or_path")
    if kind != "LORA":
        raise _error("peft_type", f"{quoted(kind)} is not supported", "Merge the adapter into its base model.")
    if not isinstance(base, str) or not base:
        raise _error("base_model_name_or_path", "it is missing", "Put the base model's config.json next to it.")
    return base


def with_adapter(base: ModelSpec, settings: Mapping[str, object], name: str) -> tuple[ModelSpec, int]:
    """Return the base model with the adapter, and the bytes of the adapter.

    Raises:
        PlannerError: the rank or the targets are missing, or fit no matrix of the base model.
    """
    values = sum(
        tensor.parameters
        for group in layer_groups(base)
        for layer in group.numbers
        for tensor in _trained(group.tensors, layer, settings)
    ) + sum(tensor.parameters for tensor in _saved(base, settings))
    if not values:
        targets = settings.get("target_modules")
        raise _error("target_modules", f"{quoted(targets)} fits no matrix of {base.name}", "Give its own base model.")
    note = (
        f"{ADAPTER_FILE}: a LoRA adapter of rank {settings['r']} with {values:,} parameters "
        f"({values * _STORED_BYTES:,} bytes in 16 bits), counted with its base model {base.name}"
    )
    extra = vector("lora", values, bytes_per_value=_STORED_BYTES)
    return replace(base, name=name, extra=(*base.extra, extra), notes=(*base.notes, note)), values * _STORED_BYTES


def _trained(tensors: tuple[Tensor, ...], layer: int, settings: Mapping[str, object]) -> list[Tensor]:
    targets = settings.get("target_modules")
    selected = _selection(targets)
    rank = int(number_within(f"{ADAPTER_FILE}: r", settings.get("r"), _RANK))
    return [
        matrix
        for tensor in tensors
        if tensor.group in ADAPTABLE and tensor.columns > 1
        if (targets == _ALL_LINEAR or selected.has(tensor, layer))
        for matrix in adapter_matrices(tensor, rank)
    ]


def _selection(targets: object) -> Modules:
    if isinstance(targets, str):
        return modules([] if targets == _ALL_LINEAR else [f"re:{targets}"])
    return modules(map(str, targets) if isinstance(targets, list) else [])


def _saved(base: ModelSpec, settings: Mapping[str, object]) -> list[Tensor]:
    """Return the tensors outside the layers that are saved whole (embedding and head)."""
    saved = settings.get("modules_to_save")
    names = set(map(str, saved)) if isinstance(saved, list) else set()
    return [tensor for tensor, count in counted_outer_tensors(base) if tensor.name in names]


def _error(field: str, problem: str, remedy: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{ADAPTER_FILE}: {field}", problem, remedy)
