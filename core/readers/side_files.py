"""Read the files next to a config.json that say how a model is stored, or that replace it.

Sources: NVIDIA Model Optimizer export/unified_export_hf.py (hf_quant_config.json); AutoGPTQ quantization/config.py
(quantize_config.json, quant_config.json); transformers modeling_utils.py (the index of shards); sentence-transformers
SentenceTransformer.py (modules.json); Mistral's params.json as vLLM transformers_utils/configs/mistral.py reads it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from core.errors import UnsupportedModelError
from core.readers.files import read_json_object, read_json_value
from core.readers.quantization import is_quantized

HF_QUANT, GPTQ_FILES = "hf_quant_config.json", ("quantize_config.json", "quant_config.json")
PARAMS_FILE, MODULES_FILE, ADAPTER_FILE = "params.json", "modules.json", "adapter_config.json"
INDEX_FILES = (
    "model.safetensors.index.json", "consolidated.safetensors.index.json", "pytorch_model.bin.index.json",
)  # fmt: skip
_LARGEST_BYTES = 32 * 2**20  # hf_quant_config.json may list every module, an index every tensor
Fields = dict[str, object]


def read_side_file(path: str) -> Fields:
    """Return the JSON object in a file next to config.json.

    Raises:
        UnreadableFileError: it cannot be read.
    """
    return read_json_object(
        path, kind="a JSON file of a model", remedy="Download it again.", largest_bytes=_LARGEST_BYTES
    )


def with_quantization(fields: Mapping[str, object], folder: str) -> Mapping[str, object]:
    """Return the fields of a config.json with the quantization that a file next to it describes, unless it has one.

    Raises:
        UnreadableFileError: the file next to it cannot be read.
    """
    if is_quantized(fields):
        return fields
    for name in (HF_QUANT, *GPTQ_FILES):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            settings = read_side_file(path)
            return {**fields, "quantization_config": settings if name == HF_QUANT else _gptq_or_awq(settings)}
    return fields


def _gptq_or_awq(settings: Fields) -> Fields:
    """Return AutoGPTQ's settings, or AutoAWQ's older ones, with the name of their method."""
    is_awq = "w_bit" in settings or "q_group_size" in settings or settings.get("version") in ("gemm", "gemv", "GEMM")
    return {"quant_method": "awq" if is_awq else "gptq", **settings}


def stated_bytes(path: str) -> int | None:
    """Return the bytes of all tensors that the index of shards at `path`, or in the folder `path`, states.

    Raises:
        UnreadableFileError: the index cannot be read.
    """
    if os.path.isdir(path):
        found = (os.path.join(path, name) for name in INDEX_FILES)
        path = next(filter(os.path.isfile, found), "")
    metadata = read_side_file(path).get("metadata") if path else None
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    return int(total) if isinstance(total, (int, float)) and 0 < total < 2**63 else None


def transformer_folder(folder: str) -> str | None:
    """Return the folder with the config.json of a sentence-transformers model; None if `folder` is none.

    Raises:
        UnreadableFileError: modules.json cannot be read.
    """
    for module in _modules(folder):
        if str(module.get("type")).endswith(".Transformer"):
            return os.path.join(folder, _inside(str(module.get("path") or "")))
    return None


def sentence_transformers_folder(folder: str) -> str | None:
    """Return the folder of the sentence-transformers model whose config.json is in `folder`; None if it is of none.

    Raises:
        UnreadableFileError: modules.json cannot be read.
    """
    here = os.path.abspath(folder)
    for root in (here, os.path.dirname(here)):
        inner = transformer_folder(root)
        if inner is not None and os.path.abspath(inner) == here:
            return root
    return None


def dense_parameters(folder: str) -> tuple[tuple[int, int, bool], ...]:
    """Return rows, columns, and whether there is a bias, of each further linear layer of a sentence-transformers model.

    Raises:
        UnreadableFileError: a file cannot be read.
    """
    found = []
    for module in _modules(folder):
        if str(module.get("type")).endswith(".Dense"):
            fields = read_side_file(os.path.join(folder, _inside(str(module.get("path") or "")), "config.json"))
            rows, columns = fields.get("out_features"), fields.get("in_features")
            if type(rows) is int and type(columns) is int and min(rows, columns) > 0 and max(rows, columns) < 10**7:
                found.append((rows, columns, fields.get("bias") is not False))
    return tuple(found)


def _modules(folder: str) -> list[Fields]:
    path = os.path.join(folder, MODULES_FILE)
    if not os.path.isfile(path):
        return []
    modules = read_json_value(
        path, kind="a list of a sentence-transformers model's parts", remedy="Download it again.",
        largest_bytes=_LARGEST_BYTES,
    )  # fmt: skip
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []


def _inside(path: str) -> str:
    """Return the last part of a module's path: its folder lies directly in the model's."""
    return os.path.basename(path.replace("\\", "/").rstrip("/"))


# params.json → config.json, for Mistral's files.
_NAMES = {
    "dim": "hidden_size", "n_layers": "num_hidden_layers", "hidden_dim": "intermediate_size",
    "n_heads": "num_attention_heads", "n_kv_heads": "num_key_value_heads", "tied_embeddings": "tie_word_embeddings",
    "max_seq_len": "max_position_embeddings",
}  # fmt: skip
_SAME_NAMES = (
    "head_dim", "vocab_size", "sliding_window", "max_position_embeddings", "q_lora_rank", "kv_lora_rank",
    "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
)  # fmt: skip
_MOE_NAMES = {
    "num_experts": "n_routed_experts", "num_experts_per_tok": "num_experts_per_tok",
    "expert_hidden_dim": "moe_intermediate_size", "num_shared_experts": "n_shared_experts",
    "first_k_dense_replace": "first_k_dense_replace", "route_every_n": "moe_layer_freq",
}  # fmt: skip


def config_of_params(params: Mapping[str, object]) -> Fields:
    """Return the config.json fields of a model that Mistral's (or Llama's) params.json describes.

    Raises:
        UnsupportedModelError: it has a field of another kind of model.
    """
    fields: Fields = {"model_type": "mistral", "tie_word_embeddings": False, "sliding_window": None}
    fields["num_key_value_heads"] = params.get("n_heads")  # where n_kv_heads is missing
    fields |= {name: params[name] for name in _SAME_NAMES if name in params}
    fields |= {new: params[old] for old, new in _NAMES.items() if old in params}
    if "hidden_dim" not in params:
        fields["intermediate_size"] = _llama_width(params)
    moe = params.get("moe")
    if isinstance(moe, Mapping):
        fields |= {new: moe[old] for old, new in _MOE_NAMES.items() if old in moe}
        fields["model_type"] = "mixtral"
    if "kv_lora_rank" in params:
        fields["model_type"] = "deepseek_v3"
    if isinstance(fields.get("sliding_window"), list):
        raise UnsupportedModelError("sliding_window", "a window per layer is not supported", "Give the config.json.")
    quantization = params.get("quantization")
    if isinstance(quantization, Mapping) and quantization.get("qformat_weight") == "fp8_e4m3":
        fields["quantization_config"] = {"quant_method": "fp8", "activation_scheme": "static"}
    vision = params.get("vision_encoder")
    if isinstance(vision, Mapping):
        return _with_tower(fields, vision)
    return fields


def _with_tower(text: Fields, vision: Mapping[str, object]) -> Fields:
    tower = {**vision, "model_type": "pixtral"}
    merges = vision.get("spatial_merge_size") or vision.get("mm_projector_id") == "patch_merge"
    outer: Fields = {"model_type": "mistral3" if merges else "llava", "text_config": text, "vision_config": tower}
    if "spatial_merge_size" in vision:
        outer["spatial_merge_size"] = vision["spatial_merge_size"]
    outer["multimodal_projector_bias"] = vision.get("adapter_bias") is True
    if "quantization_config" in text:
        outer["quantization_config"] = text.pop("quantization_config")
    return outer


def _llama_width(params: Mapping[str, object]) -> object:
    """Return the width of Llama's feed-forward block (meta-llama llama/model.py, FeedForward); None if unknown."""
    dim, step, factor = params.get("dim"), params.get("multiple_of"), params.get("ffn_dim_multiplier")
    if type(dim) is not int or type(step) is not int or not 0 < step < 10**7 or not 0 < dim < 10**7:
        return None
    width = int(2 * (4 * dim) / 3)
    if isinstance(factor, float) and 0 < factor < 10**3:
        width = int(factor * width)
    return -(-width // step) * step
