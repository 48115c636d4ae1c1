"""Which number formats an engine runs on a GPU, and at which of the GPU's compute rates.

A format with native units computes at their rate. Other formats are widened to 16 bits as they are read: they save
memory and bandwidth, not compute. Sources: vLLM docs, "Supported Hardware" for quantization, and
model_executor/layers/quantization (get_min_capability); vllm/platforms/rocm.py (supported_quantization); for NVFP4 on
AMD's GPUs SGLang docs, "AMD GPUs" (Petit).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.catalog.hardware import Gpu
from core.errors import OutOfRangeError
from core.model.precision import Precision

TENSORRT_LLM, LLAMA_CPP = "tensorrt-llm", "llama.cpp"

SIXTEEN_BIT, WIDENED = "16-bit", "widened"
# Kinds of formats, each of which needs its own kernel.
KINDS = (SIXTEEN_BIT, "int8", "fp8", "fp4", "groups", "bitsandbytes", "gguf")

# The least CUDA compute capability with a kernel, by kind of format; then that with native units.
_LEAST_CAPABILITY = {"int8": 7.5, "fp8": 7.5, "fp4": 7.5, "groups": 6.0, "bitsandbytes": 7.0, "gguf": 6.0}
_NATIVE_CAPABILITY = {"int8": 7.5, "fp8": 8.9, "fp4": 10.0}
WITH_UNITS = tuple(_NATIVE_CAPABILITY)  # the kinds for which some GPUs have units; others are always widened
# AMD's LLVM targets with native units.
_AMD_NATIVE = {"int8": ("gfx9", "gfx11", "gfx12"), "fp8": ("gfx94", "gfx95", "gfx12"), "fp4": ("gfx95",)}


@dataclass(frozen=True)
class Rate:
    """The rate at which a GPU computes with weights of one format.

    Attributes:
        unit: "16-bit", "int8", "fp8", "fp4" for native units, "widened" for weights that are widened to 16 bits.
        flops_per_s: the peak, operations per second.
    """

    unit: str
    flops_per_s: float


def kind_of_format(precision: Precision | None) -> str:
    """Return the one of `KINDS` that a format needs; None stands for tensors that are not quantized."""
    if precision is None or precision.bytes_per_value >= 2:
        return "16-bit"
    name = precision.name.lower()  # a mix names its parts as llama.cpp does ("Q6_K")
    if name.startswith(("nvfp4", "mxfp4")):
        return "fp4"
    if name.startswith(("fp8", "mxfp8")):
        return "fp8"
    if name in ("w8a8", "int8"):
        return "int8"
    if name.startswith(("nf4", "bnb")):
        return "bitsandbytes"
    if precision.mix or name.startswith(("q", "iq")):
        return "gguf"
    return "groups"


def has_native_units(gpu: Gpu, kind: str) -> bool:
    """Return whether the GPU's matrix units compute in that kind of format."""
    capability = gpu.cuda_capability
    if capability is not None:
        return capability >= _NATIVE_CAPABILITY.get(kind, float("inf"))
    if gpu.compute_capability.startswith("gfx"):
        return gpu.compute_capability.startswith(_AMD_NATIVE.get(kind, ("none",)))
    rates = {"int8": gpu.int8_tops, "fp8": gpu.fp8_tflops, "fp4": gpu.fp4_tflops}
    return rates.get(kind) is not None


def obstacle(engine: str, kind: str, gpu: Gpu) -> str:
    """Return why the engine cannot run that kind of format on the GPU, as a clause; "" if it can."""
    if engine == TENSORRT_LLM and gpu.maker != "NVIDIA":
        return f"TensorRT-LLM runs on NVIDIA's GPUs only, not on {gpu.title}"
    if engine == TENSORRT_LLM and kind in ("gguf", "bitsandbytes"):
        return f"TensorRT-LLM has no kernel for {kind} formats"
    if engine == LLAMA_CPP:
        return "" if kind in ("16-bit", "gguf", "fp4") else "llama.cpp runs 16-bit, GGUF and MXFP4 weights only"
    if kind == "16-bit":
        return ""
    capability = gpu.cuda_capability
    if capability is not None:
        least = _LEAST_CAPABILITY[kind]
        if capability < least:
            return f"{kind} needs compute capability {least:g}, and {gpu.title} has {capability:g}"
        return ""
    if gpu.compute_capability.startswith("gfx"):
        if kind == "fp8" and not has_native_units(gpu, kind):
            return f"{gpu.title} has no FP8 units, and no kernel widens FP8 weights on it"
        return ""
    if kind in ("fp8", "int8", "fp4") and not has_native_units(gpu, kind):
        return f"no kernel for {kind} is known on {gpu.title}"
    return ""


def check_kind(engine: str, kind: str, gpu: Gpu) -> None:
    """Raise an error if no kernel of the engine runs that kind of format on the GPU.

    Raises:
        OutOfRangeError: there is no such kernel.
    """
    problem = obstacle(engine, kind, gpu)
    if problem:
        remedy = 'Write "q4_k_m" or "q8_0".' if engine == LLAMA_CPP else "Choose another precision or GPU."
        raise OutOfRangeError("precision", problem, remedy)


def rate_of_kind(kind: str, gpu: Gpu) -> Rate:
    """Return the compute rate for weights in a kind of format.

    NVIDIA's rate halves the width and doubles the rate; that fills a native rate which no source states.

    Raises:
        OutOfRangeError: the GPU's compute rate is not known.
    """
    if gpu.bf16_tflops is None:
        raise OutOfRangeError("gpu", f"the compute rate of {gpu.title} is not known", "Choose another GPU.")
    sixteen = gpu.bf16_tflops * 1e12
    if kind == SIXTEEN_BIT:
        return Rate(SIXTEEN_BIT, sixteen)
    if kind in _NATIVE_CAPABILITY and has_native_units(gpu, kind):
        stated = {"int8": gpu.int8_tops, "fp8": gpu.fp8_tflops, "fp4": gpu.fp4_tflops}[kind]
        return Rate(kind, stated * 1e12 if stated else sixteen * (4 if kind == "fp4" else 2))
    return Rate(WIDENED, sixteen)
