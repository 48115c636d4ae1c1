"""The kinds of feed-forward block: dense, gated, and mixtures of experts.

A new kind is one subclass of `Mlp`; what it does not override has a default that suits a layer without such a part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from core.model.tensors import BY_COLUMNS, BY_ROWS, EXPERT, MLP, ROUTER, WHOLE, Tensor, linear, vector

_FLOAT32_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Mlp(ABC):
    """A feed-forward block."""

    @abstractmethod
    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        """Return the weight tensors of one block."""

    @property
    def num_routed_experts(self) -> int:
        """Return the number of routed experts, 0 for a dense block."""
        return 0

    @abstractmethod
    def cut_width(self, *, expert_parallel: bool) -> int | None:
        """Return the width that tensor parallelism divides, None if it divides none.

        Args:
            expert_parallel: whether experts are distributed over the ranks without dividing them.
        """

    @abstractmethod
    def dense_peak(self, tp: int) -> tuple[int, int]:
        """Return the width on one of `tp` ranks and how many tensors of that width are alive at the block's peak."""

    def expert_peak(self, hidden_size: int, tp: int) -> tuple[int, int, int]:
        """Return the experts per token, the width of one on one of `tp` ranks, and the width of its input."""
        return 0, 0, 0


@dataclass(frozen=True, kw_only=True)
class DenseMlp(Mlp):
    """A block without experts.

    Attributes:
        copies_at_peak: how many tensors of the block's width are alive at its peak.
    """

    intermediate_size: int
    bias: bool = False

    copies_at_peak: ClassVar[int]

    def cut_width(self, *, expert_parallel: bool) -> int | None:
        return self.intermediate_size

    def dense_peak(self, tp: int) -> tuple[int, int]:
        return -(-self.intermediate_size // tp), self.copies_at_peak


@dataclass(frozen=True, kw_only=True)
class GatedMlp(DenseMlp):
    """The gated feed-forward block: gate, up and down projections (Shazeer 2020, "GLU variants")."""

    copies_at_peak: ClassVar[int] = 3  # gate, up and their product

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        width, bias = self.intermediate_size, self.bias
        return (
            *linear("mlp.gate_proj", MLP, width, hidden_size, BY_ROWS, bias=bias, fused="gate_up"),
            *linear("mlp.up_proj", MLP, width, hidden_size, BY_ROWS, bias=bias, fused="gate_up"),
            *linear("mlp.down_proj", MLP, hidden_size, width, BY_COLUMNS, bias=bias),
        )


@dataclass(frozen=True, kw_only=True)
class PlainMlp(DenseMlp):
    """The feed-forward block of the first transformers: up and down projections (Vaswani et al. 2017)."""

    copies_at_peak: ClassVar[int] = 2  # up and its activation

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        width, bias = self.intermediate_size, self.bias
        return (
            *linear("mlp.up_proj", MLP, width, hidden_size, BY_ROWS, bias=bias),
            *linear("mlp.down_proj", MLP, hidden_size, width, BY_COLUMNS, bias=bias),
        )


@dataclass(frozen=True, kw_only=True)
class MoeMlp(Mlp):
    """A mixture of experts: a router sends each token to a few of many feed-forward blocks (arXiv:2101.03961).

    Attributes:
        num_experts, num_experts_per_tok: routed experts, and how many of them process one token.
        moe_intermediate_size: width of one routed expert.
        shared_intermediate_size: total width of the experts that process every token; 0 if there are none.
        gated: whether experts have a gate projection.
        expert_bias, router_bias: whether those have bias vectors.
        correction_bias: whether the router has a 32-bit bias per expert that balances the load.
        shared_gate: whether the output of the shared expert has its own gate.
        expert_hidden_size: width of the experts' input where it differs from the model's (latent experts).
        router_bytes_per_value: bytes of the router's weights where they are stored wider than the rest.
    """

    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    shared_intermediate_size: int = 0
    gated: bool = True
    expert_bias: bool = False
    router_bias: bool = False
    correction_bias: bool = False
    shared_gate: bool = False
    expert_hidden_size: int | None = None
    router_bytes_per_value: int | None = None

    @property
    def num_routed_experts(self) -> int:
        return self.num_experts

    def cut_width(self, *, expert_parallel: bool) -> int | None:
        return None if expert_parallel else self.moe_intermediate_size

    def dense_peak(self, tp: int) -> tuple[int, int]:
        if not self.shared_intermediate_size:
            return 0, 0
        return self._shared_block.dense_peak(tp)

    def expert_peak(self, hidden_size: int, tp: int) -> tuple[int, int, int]:
        width = -(-self.moe_intermediate_size // tp)
        return self.num_experts_per_tok, width, self.expert_hidden_size or hidden_size

    @property
    def _shared_block(self) -> Mlp:
        block = GatedMlp if self.gated else PlainMlp
        return block(intermediate_size=self.shared_intermediate_size)

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        experts, width = self.num_experts, self.expert_hidden_size or hidden_size
        each: dict[str, Any] = {"copies": experts, "active": self.num_experts_per_tok, "bias": self.expert_bias}
        inward: dict[str, Any] = {
            **each, "group": EXPERT, "rows": self.moe_intermediate_size, "columns": width, "split": BY_ROWS,
            "fused": "experts_gate_up",
        }  # fmt: skip
        tensors = list(
            linear("mlp.gate", ROUTER, experts, hidden_size, WHOLE, bias=self.router_bias,
                   bytes_per_value=self.router_bytes_per_value)
        )  # fmt: skip
        if self.correction_bias:
            tensors.append(vector("mlp.gate.e_score_correction_bias", experts, bytes_per_value=_FLOAT32_BYTES))
        if self.gated:
            tensors += linear("mlp.experts.gate_proj", **inward)
        tensors += linear("mlp.experts.up_proj", **inward)
        down = "mlp.experts.down_proj"
        tensors += linear(down, EXPERT, width, self.moe_intermediate_size, BY_COLUMNS, fused="experts_down", **each)
        if self.shared_intermediate_size:
            for tensor in self._shared_block.weight_tensors(hidden_size):
                name = tensor.name.replace("mlp.", "mlp.shared_experts.")
                tensors += linear(name, MLP, tensor.rows, tensor.columns, tensor.split, fused=tensor.fused and "shared")
        if self.shared_gate:
            tensors += linear("mlp.shared_expert_gate", ROUTER, 1, hidden_size, WHOLE)
        return tuple(tensors)
