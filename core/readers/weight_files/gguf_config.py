"""Convert GGUF metadata back to the fields of the Hugging Face config.json that the file was made from.

Source, in ggml-org/llama.cpp: gguf-py/gguf/constants.py for the keys, convert_hf_to_gguf.py for the fields they come
from, src/models/*.cpp (`load_arch_hparams`) for what llama.cpp assumes where a file says nothing.
"""

from __future__ import annotations

from core.checks import whole
from core.errors import PlannerError, UnsupportedModelError, quoted
from core.readers.weight_files.gguf_header import Gguf, LongArray

# `general.architecture` → `model_type`, where they differ.
_MODEL_TYPES = {
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "qwen3next": "qwen3_next",
    "gemma3": "gemma3_text",
    "command-r": "cohere",
    "deepseek2": "deepseek_v3",
    "glm4moe": "glm4_moe",
    "gpt-oss": "gpt_oss",
    "llama4": "llama4_text",
}

# Key, without the architecture's name in front → field with the same value.
_FIELDS = {
    "embedding_length": "hidden_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.sliding_window": "sliding_window",
    "attention.shared_kv_layers": "num_kv_shared_layers",
    "expert_used_count": "num_experts_per_tok",
    "expert_shared_count": "n_shared_experts",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "leading_dense_block_count": "first_k_dense_replace",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
}

# model_type → its field for the number of experts; "num_experts" for all others.
_EXPERTS_FIELDS = {
    "mixtral": "num_local_experts",
    "gpt_oss": "num_local_experts",
    "llama4_text": "num_local_experts",
    "phimoe": "num_local_experts",
    "deepseek_v3": "n_routed_experts",
    "glm4_moe": "n_routed_experts",
}

# Families in which `intermediate_size` is the width of one expert.
_EXPERT_WIDTH_ONLY = ("mixtral", "gpt_oss", "phimoe", "llama4_text")

# Architecture → n where every n-th layer uses full attention and the file does not say (`set_swa_pattern`, src/models).
_WINDOW_PERIODS = {
    "gemma2": 2, "gpt-oss": 2, "cohere2": 4, "llama4": 4, "olmo2": 4, "exaone4": 4, "gemma3n": 5, "gemma3": 6,
}  # fmt: skip
_LLAMA4_CHUNK = 8192  # src/models/llama4.cpp: n_swa, for both Scout and Maverick
_QWEN3_NEXT_PERIOD = 4  # convert_hf_to_gguf.py, Qwen3NextModel: default of full_attention_interval


def config_of_gguf(gguf: Gguf) -> dict[str, object]:
    """Return the config.json fields of the model in a GGUF file, with `params_b`, the parameters of its tensors.

    Raises:
        UnsupportedModelError: the file is not a language model, or its layers differ in an unsupported way.
    """
    return _Metadata(gguf).config()


class _Metadata:
    def __init__(self, gguf: Gguf) -> None:
        self._all = gguf.metadata
        self._tensors = {tensor.name: tensor for tensor in gguf.stored.tensors}
        self._parameters = sum(tensor.parameters or 0 for tensor in gguf.stored.tensors)
        architecture = gguf.metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            raise UnsupportedModelError(
                "general.architecture", "it is missing", "Give the GGUF file of a language model."
            )
        self._architecture = architecture

    def config(self) -> dict[str, object]:
        model_type = self._model_type()
        layers = self._layers()
        fields: dict[str, object] = {
            "model_type": model_type,
            "params_b": self._parameters / 10**9,
            "num_hidden_layers": layers,
            "vocab_size": self._vocab_size(),
            "tie_word_embeddings": "output.weight" not in self._tensors,
            **{field: self._uniform(key) for key, field in _FIELDS.items()},
            **self._heads(),
            **self._feed_forward(model_type),
            **self._windows(layers),
            **self._linear_attention(layers),
        }
        return {field: value for field, value in fields.items() if value is not None}

    def _model_type(self) -> str:
        # Mistral and Mixtral are converted with the architecture "llama": convert_hf_to_gguf.py, LlamaModel.
        if self._architecture == "llama" and self._whole("expert_count"):
            return "mixtral"
        if self._architecture == "llama" and self._whole("attention.sliding_window"):
            return "mistral"
        return _MODEL_TYPES.get(self._architecture, self._architecture)

    def _layers(self) -> int:
        """Return the number of layers without those that only draft tokens, which `block_count` includes."""
        blocks = self._whole("block_count")
        if blocks is None:
            raise UnsupportedModelError(
                f"{self._architecture}.block_count", "it is missing", "Give the GGUF file of a language model."
            )
        return whole("num_hidden_layers", blocks - (self._whole("nextn_predict_layers") or 0))

    def _vocab_size(self) -> int | None:
        embedding = self._tensors.get("token_embd.weight")
        if embedding is not None and len(embedding.shape) == 2:
            return embedding.shape[1]
        stated = self._whole("vocab_size")
        if stated is not None:
            return stated
        tokens = self._all.get("tokenizer.ggml.tokens")
        return tokens.length if isinstance(tokens, LongArray) else None

    def _heads(self) -> dict[str, object]:
        if self._get("attention.key_length_swa") is not None:
            raise self._unsupported("attention.key_length_swa", "heads have another size in layers with a window")
        key, value = self._whole("attention.key_length"), self._whole("attention.value_length")
        if self._whole("attention.kv_lora_rank") is not None:
            return self._latent_heads(key, value)
        return {"head_dim": key, "v_head_dim": value if value != key else None}

    def _latent_heads(self, key: int | None, value: int | None) -> dict[str, object]:
        # Files older than llama.cpp's latent KV cache have the sizes of the heads under the plain keys.
        key = self._whole("attention.key_length_mla") or key
        rotary = self._whole("rope.dimension_count")
        if key is None or rotary is None or key <= rotary:
            raise UnsupportedModelError(
                f"{self._architecture}.attention.key_length_mla",
                f"heads of {quoted(key)} values are too small for a rotary part of {quoted(rotary)}",
                "Give the model's config.json instead.",
            )
        return {
            "num_key_value_heads": self._uniform("attention.head_count"),
            "qk_rope_head_dim": rotary,
            "qk_nope_head_dim": key - rotary,
            "v_head_dim": self._whole("attention.value_length_mla") or value,
        }

    def _feed_forward(self, model_type: str) -> dict[str, object]:
        length = self._get("feed_forward_length")
        if isinstance(length, (list, LongArray)):
            # No field holds different widths, and none is needed: the parameters are counted from the tensors.
            length = length[0] if isinstance(length, list) and len(set(length)) == 1 else None
        expert_length = self._whole("expert_feed_forward_length")
        widths = {"intermediate_size": length, "moe_intermediate_size": expert_length}
        if model_type in _EXPERT_WIDTH_ONLY:
            widths = {"intermediate_size": expert_length or length}
        if model_type == "llama4_text":
            widths |= {
                "intermediate_size_mlp": length,
                "interleave_moe_layer_step": self._whole("interleave_moe_layer_step"),
            }
        return {**widths, _EXPERTS_FIELDS.get(model_type, "num_experts"): self._whole("expert_count") or None}

    def _windows(self, layers: int) -> dict[str, object]:
        pattern = self._get("attention.sliding_window_pattern")
        kind_with_window = "sliding_attention"
        chunk = _LLAMA4_CHUNK if self._architecture == "llama4" else None
        if chunk is not None:
            kind_with_window = "chunked_attention"
        elif not self._whole("attention.sliding_window"):
            return {}
        if isinstance(pattern, list):
            if len(pattern) < layers:
                problem = f"it has {len(pattern)} entries for {layers} layers"
                raise self._unsupported("attention.sliding_window_pattern", problem)
            has_window = [bool(window) for window in pattern[:layers]]
        else:
            period = pattern or _WINDOW_PERIODS.get(self._architecture)
            if period is None:
                return {}
            period = self._checked_whole("attention.sliding_window_pattern", period)
            has_window = [layer % period < period - 1 for layer in range(layers)]
        return {
            "attention_chunk_size": chunk,
            "layer_types": [kind_with_window if window else "full_attention" for window in has_window],
        }

    def _linear_attention(self, layers: int) -> dict[str, object]:
        if self._architecture != "qwen3next":
            return {}
        value_heads, inner = self._whole("ssm.time_step_rank"), self._whole("ssm.inner_size")
        period = self._whole("full_attention_interval") or _QWEN3_NEXT_PERIOD
        return {
            "linear_conv_kernel_dim": self._whole("ssm.conv_kernel"),
            "linear_key_head_dim": self._whole("ssm.state_size"),
            "linear_num_key_heads": self._whole("ssm.group_count"),
            "linear_num_value_heads": value_heads,
            "linear_value_head_dim": inner // value_heads if inner and value_heads else None,
            "layer_types": [
                "full_attention" if layer % period == period - 1 else "linear_attention" for layer in range(layers)
            ],
        }

    def _get(self, key: str) -> object:
        return self._all.get(f"{self._architecture}.{key}")

    def _whole(self, key: str) -> int | None:
        value = self._uniform(key)
        return None if value is None else self._checked_whole(key, value)

    def _checked_whole(self, key: str, value: object) -> int:
        if type(value) is not int or value < 0:
            raise UnsupportedModelError(
                f"{self._architecture}.{key}", f"{quoted(value)} is not a whole number", "Download the file again."
            )
        return value

    def _uniform(self, key: str) -> object:
        """Return the value of `key`, which some files repeat for each layer."""
        value = self._get(key)
        if isinstance(value, list):
            if len(set(value)) != 1:
                raise self._unsupported(key, "it differs between layers")
            return value[0]
        if isinstance(value, LongArray):
            raise self._unsupported(key, f"it has {value.length} values")
        return value

    def _unsupported(self, key: str, problem: str) -> PlannerError:
        return UnsupportedModelError(
            f"{self._architecture}.{key}",
            f"{problem}, which is not supported for GGUF files",
            "Give the model's config.json instead.",
        )
