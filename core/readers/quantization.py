"""Read the `quantization_config` of a config.json into the formats in which a checkpoint stores its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from core.errors import UnsupportedModelError, quoted
from core.model.precision import Precision
from core.model.quantization import (
    EVERY_MATRIX,
    EVERYTHING,
    LINEAR_GROUPS,
    LINEAR_GROUPS_AND_HEAD,
    NOTHING,
    Modules,
    Quantization,
    modules,
)
from core.model.tensors import EMBEDDING, EXPERT, HEAD, ROUTER

Config = Mapping[str, object]

# Scales have the model's own 16 bits in compressed-tensors, GPTQ and AWQ, and 32 bits in block-wise FP8.
_SCALE_BYTES, _WIDE_SCALE_BYTES = 2, 4
_FIELD = "quantization_config"
_REMEDY = f"Name a precision, such as int4 or fp8 (in a sheet or a CSV file, also remove {_FIELD})."
_UNQUANTIZED_BITS, _FP8_BITS = 16, 8
_MOST_BITS, _MOST_VALUES = 32, 10**6
_TILE_SIDES = range(1, 10**5)


def read(config: Config) -> Quantization | None:
    """Return how the checkpoint stores its weights (None: not quantized).

    Raises:
        UnsupportedModelError: the quantization method, or one of its settings, is not supported.
    """
    settings = _settings(config)
    if settings is None:
        return None
    inner = settings.get("quantization")
    if isinstance(inner, Mapping):  # hf_quant_config.json of NVIDIA's Model Optimizer
        settings = {**inner, "quant_method": "modelopt"}
    settings = {**settings, "model_type": config.get("model_type")}
    if "expert_dtype" in config:
        settings = {**settings, "expert_dtype": config["expert_dtype"]}
    method = str(settings.get("quant_method") or ("modelopt" if "quant_algo" in settings else ""))
    if not method and "bits" in settings and "group_size" in settings:
        return _mlx(settings, raw_routers=_has_raw_routers(config))
    if "BITS" in method.upper():
        method = "bitsandbytes"
    if settings.get("quant_algo") == "MIXED_PRECISION" or (method == "fp8" and settings.get("quantized_layers")):
        return _modelopt_mixed(settings)
    reader = _READERS.get(method.removeprefix("intel/"))
    if reader is None:
        raise _unsupported("quant_method", f"{quoted(method)} is not a supported format")
    return reader(settings)


def read_or_refuse_later(config: Config) -> Quantization | None:
    """Return the same as `read`; an unsupported format is refused once bytes as shipped are asked for."""
    try:
        return read(config)
    except UnsupportedModelError as error:
        method = (_settings(config) or {}).get("quant_method")
        return Quantization(
            method=method if isinstance(method, str) else "an unknown format",
            formats=(),
            refusal=(error.field, error.problem, error.remedy),
        )


def is_quantized(config: Config) -> bool:
    """Return whether a config.json says itself how its weights are quantized."""
    return _settings(config) is not None


_CACHES = ("fp8", "nvfp4")


def cache_precision(config: Config) -> tuple[str, str]:
    """Return the precision of the KV cache that a checkpoint states, and the field that does; ("", "") without one.

    Engines follow it unless a precision is named. Source: vLLM utils/torch_utils.py (resolve_kv_cache_dtype_string:
    Model Optimizer's kv_cache_quant_algo or kv_cache_scheme) and model_executor/layers/attention/attention.py
    (compressed-tensors' kv_cache_scheme); SGLang model_runner.py (configure_kv_cache_dtype).
    """
    settings = _settings(config) or {}
    inner = settings.get("quantization")
    for fields in (inner if isinstance(inner, Mapping) else {}, settings):
        for field in ("kv_cache_scheme", "kv_cache_quant_algo"):
            precision = _cache_named(fields.get(field))
            if precision:
                return precision, field
    return "", ""


def _cache_named(scheme: object) -> str:
    """Return the precision that a scheme for the KV cache names; "" for none that engines know."""
    if isinstance(scheme, Mapping):
        return "fp8" if scheme.get("num_bits") == _FP8_BITS and scheme.get("type") == "float" else ""
    return scheme.lower() if isinstance(scheme, str) and scheme.lower() in _CACHES else ""


def _settings(config: Config) -> Config | None:
    text = config.get("text_config")
    for fields in (config, text if isinstance(text, Mapping) else {}):
        for field in (_FIELD, "compression_config", "hf_quant_config"):
            value = fields.get(field)
            if isinstance(value, Mapping) and value:
                return value
    value = config.get("quantization")  # MLX's name, which may be the only one (mlx-lm utils.py, save_config)
    return value if isinstance(value, Mapping) and value else None


def _unsupported(field: str, problem: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{_FIELD}.{field}", problem, _REMEDY)


def _strings(settings: Config, *fields: str) -> list[str]:
    for field in fields:
        value = settings.get(field)
        if isinstance(value, str):
            return [value]
        if isinstance(value, Sequence):
            return [str(each) for each in value]
    return []


def _whole_number(settings: Config, *fields: str) -> int | None:
    """Return the first number among `fields`: bits, or the values of a group (-1: a whole row)."""
    for field in fields:
        value = settings.get(field)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not -1 <= value <= _MOST_VALUES or value != int(value):
                raise _unsupported(field, f"{quoted(value)} is not a number of bits or values")
            return int(value)
    return None


def _bits(settings: Config, *fields: str) -> int | None:
    bits = _whole_number(settings, *fields)
    if bits is not None and not 0 <= bits <= _MOST_BITS:
        raise _unsupported(fields[0], f"{bits} is not a number of bits")
    return bits


def _tile(settings: Config, field: str) -> tuple[int, int] | None:
    """Return the rows and columns of a tile, or None."""
    tile = settings.get(field)
    if not tile:
        return None
    if isinstance(tile, str) and re.fullmatch(r"\d{1,5}x\d{1,5}", tile):  # compressed-tensors' older spelling
        tile = [int(side) for side in tile.split("x")]
    if not isinstance(tile, Sequence) or len(tile) != 2 or not all(map(_is_side, tile)):
        raise UnsupportedModelError(
            f"{_FIELD}.{field}", f"{quoted(tile)} is not a pair of tile sides", "Write it like [128, 128]."
        )
    return int(tile[0]), int(tile[1])


def _is_side(value: object) -> bool:
    return not isinstance(value, bool) and value in _TILE_SIDES


def _fp8(settings: Config) -> Quantization:
    """Return DeepSeek's FP8: a 32-bit scale per tile of 128 × 128 or per tensor (arXiv:2412.19437)."""
    tile = _tile(settings, "weight_block_size")
    precision = fp8_tiles(*tile) if tile else fp8_tensor()
    skipped = _strings(settings, "modules_to_not_convert", "ignored_layers", "ignore")
    formats = [(EVERYTHING, precision)]
    if settings.get("expert_dtype") == "fp4":  # DeepSeek-V4 has this field outside quantization_config
        formats.insert(0, (modules(["mlp.experts"]), mxfp4()))
    return Quantization(method="fp8", formats=tuple(formats), excluded=modules(skipped))


def fp8_tensor() -> Precision:
    """Return FP8 with one 32-bit scale per tensor."""
    return Precision(name="fp8_tensor", block_bytes=1, tensor_bytes=_WIDE_SCALE_BYTES)


def fp8_tiles(rows: int, columns: int) -> Precision:
    """Return FP8 with one 32-bit scale per tile."""
    return Precision(
        name="fp8_block", block_bytes=1, tile_rows=rows, tile_columns=columns, tile_bytes=_WIDE_SCALE_BYTES
    )


def _fbgemm(settings: Config) -> Quantization:
    """Return FBGEMM's FP8: a 32-bit scale per output channel (transformers integrations/fbgemm_fp8.py)."""
    precision = Precision(name="fp8_channel", block_bytes=1, row_bytes=_WIDE_SCALE_BYTES)
    skipped = _strings(settings, "modules_to_not_convert")
    return Quantization(method="fbgemm_fp8", formats=((EVERYTHING, precision),), excluded=modules(skipped))


def _has_raw_routers(config: Config) -> bool:
    """Return whether MLX's model keeps its routers as arrays, which are not quantized, instead of linear layers.

    It does so for DeepSeek's kind of router: mlx-lm models/deepseek_v3.py, glm4_moe.py, dots1.py, nemotron_h.py,
    mimo_v2_flash.py, class MoEGate. These families name their experts n_routed_experts.
    """
    text = config.get("text_config")
    return any("n_routed_experts" in part for part in (config, text) if isinstance(part, Mapping))


def _mlx(settings: Config, *, raw_routers: bool) -> Quantization:
    """Return MLX's format: groups along a row with a 16-bit scale and bias, in every matrix, embeddings included.

    Modules with another format, or none, have an entry under their name (mlx-lm utils.py, quantize_model).
    """
    exceptions, excluded = [], []
    for name, entry in settings.items():
        if entry is False:
            excluded.append(name)
        elif isinstance(entry, Mapping):
            exceptions.append((modules([name]), _mlx_precision({**settings, **entry})))
    return Quantization(
        method="mlx", formats=(*exceptions, (EVERYTHING, _mlx_precision(settings))), excluded=modules(excluded),
        groups=EVERY_MATRIX - {ROUTER} if raw_routers else EVERY_MATRIX,
    )  # fmt: skip


def _mlx_precision(settings: Config) -> Precision:
    bits, group_size = _bits(settings, "bits"), _whole_number(settings, "group_size")
    mode = settings.get("mode", "affine")
    floats = {"mxfp4": mxfp4, "mxfp8": mxfp8, "nvfp4": nvfp4}
    if str(mode) in floats:
        return floats[str(mode)]()
    if mode != "affine" or not bits or not group_size or bits > 8 or group_size < 0:
        raise UnsupportedModelError("quantization", f"{quoted(mode)}, {bits} bits in groups of {group_size} is not "
                                    "a supported format", _REMEDY)  # fmt: skip
    scales = 2 * _SCALE_BYTES
    return Precision(name=f"mlx_int{bits}_g{group_size}", block_bytes=bits * group_size + 8 * scales,
                     block_values=8 * group_size, block_scale_bytes=8 * scales)  # fmt: skip


def _bitnet(settings: Config) -> Quantization:
    """Return BitNet's: ternary weights, four per byte, one scale per tensor (transformers integrations/bitnet.py)."""
    precision = Precision(name="bitnet", block_bytes=1, block_values=4, tensor_bytes=_SCALE_BYTES)
    skipped = _strings(settings, "modules_to_not_convert")
    if settings.get("quantization_mode", "offline") != "offline":
        raise _unsupported("quantization_mode", "quantizing the weights while they are loaded is not supported")
    return Quantization(method="bitnet", formats=((EVERYTHING, precision),), excluded=modules(skipped))


# Bits of the types that AMD's Quark writes.
_QUARK_TYPES = {"fp8_e4m3": 8, "fp8_e5m2": 8, "int8": 8, "uint8": 8, "int4": 4, "uint4": 4, "fp4": 4}


def _quark(settings: Config) -> Quantization:
    """Return AMD Quark's formats, a global one and exceptions (vLLM model_executor/layers/quantization/quark)."""
    if settings.get("layer_type_quant_config"):
        raise _unsupported("layer_type_quant_config", "a scheme per type of layer is not supported")
    by_layer = settings.get("layer_quant_config")
    entries = by_layer.items() if isinstance(by_layer, Mapping) else ()
    formats = [(modules([str(name)]), found) for name, entry in entries if (found := _quark_scheme(entry))]
    unquantized = [str(name) for name, entry in entries if _quark_scheme(entry) is None]
    global_scheme = _quark_scheme(settings.get("global_quant_config"))
    if global_scheme is not None:
        formats.append((EVERYTHING, global_scheme))
    return Quantization(
        method="quark", formats=tuple(formats), excluded=modules([*_strings(settings, "exclude"), *unquantized]),
        groups=LINEAR_GROUPS_AND_HEAD,
    )  # fmt: skip


def _quark_scheme(entry: object) -> Precision | None:
    weight = entry.get("weight") if isinstance(entry, Mapping) else None
    if isinstance(weight, Sequence) and not isinstance(weight, str) and weight:
        weight = weight[-1]  # of several quantization steps the last one is stored
    if not isinstance(weight, Mapping):
        return None
    dtype, scheme, group_size = weight.get("dtype"), weight.get("qscheme"), _whole_number(weight, "group_size")
    bits = _QUARK_TYPES.get(str(dtype))
    if dtype == "fp4" and group_size == 32:
        return mxfp4()
    if bits is None or dtype == "fp4":
        raise _unsupported("global_quant_config.weight.dtype", f"{quoted(dtype)} is not supported")
    if scheme == "per_group" and group_size:
        return grouped(bits, group_size, zero_points=weight.get("symmetric") is False)
    if scheme == "per_channel":
        return Precision(name=f"w{bits}_channel", block_bytes=bits, block_values=8, row_bytes=_WIDE_SCALE_BYTES)
    if scheme == "per_tensor":
        return Precision(name=f"w{bits}_tensor", block_bytes=bits, block_values=8, tensor_bytes=_WIDE_SCALE_BYTES)
    raise _unsupported("global_quant_config.weight.qscheme", f"{quoted(scheme)} is not supported")


# The parts of fused projections, but for the first of each, by model type; sources: the families' modeling files
# (c_attn, W_pack, qkv_proj and gate_up_proj, query_key_value and dense_h_to_4h, wqkv, Wqkv).
_KEYS_AND_VALUES = ("self_attn.k_proj", "self_attn.v_proj")
_FUSED_PROJECTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("qwen", "baichuan", "internlm2", "gpt2", "gpt_bigcode", "bloom", "falcon", "gpt_neox", "mpt"),
                    _KEYS_AND_VALUES),
    **dict.fromkeys(("phi3", "phi3_v", "chatglm", "glm4", "glm"), (*_KEYS_AND_VALUES, "mlp.up_proj")),
}  # fmt: skip


# The projections with a bias, of families that are otherwise without.
_OWN_BIASES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("llama", "mistral", "mixtral", "baichuan", "internlm2", "yi", "phi3"), ()),
    **dict.fromkeys(("qwen", "qwen2"), ("self_attn.q_proj", *_KEYS_AND_VALUES)),
}


def _gptq(settings: Config) -> Quantization:
    """Return GPTQ's format: packed weights, 16-bit scales, packed zero points, and g_idx (4 bytes per input column).

    Source: AutoGPTQ nn_modules/qlinear; vLLM model_executor/layers/quantization/gptq.py.
    """

    def precision(overrides: Config) -> Precision:
        given = {**settings, **overrides}
        bits, group_size = _bits(given, "bits") or 4, _whole_number(given, "group_size") or 128
        precision = grouped(bits, group_size, zero_points=True, g_idx=given.get("g_idx") is not False)
        adds_bias = stores_biases and given.get("zero_bias") is not False
        return replace(precision, row_bytes=precision.row_bytes + (_SCALE_BYTES if adds_bias else 0))

    # AutoGPTQ before 0.7 stored a bias for every projection, zeros where the model has none: the 1461 tensors of the
    # index of Qwen-VL-Chat-Int4. It wrote this field, and not yet that of later formats.
    model_type = str(settings.get("model_type"))
    fused, own_biases = _FUSED_PROJECTIONS.get(model_type, ()), _OWN_BIASES.get(model_type, ())
    stores_biases = model_type in _OWN_BIASES and (
        "model_file_base_name" in settings and not {"checkpoint_format", "is_marlin_format"} & settings.keys()
    )
    exceptions, excluded = _gptq_exceptions(settings)
    # The columns of a fused projection have one index of groups, not one for each of its parts.
    exceptions += [(name, {"g_idx": False, "zero_bias": name not in own_biases}) for name in fused]
    exceptions += [(name, {"zero_bias": False}) for name in own_biases]
    general = _linear_layers("gptq", precision({}), settings, excluded)
    special = ((modules([name]), precision(entry)) for name, entry in exceptions)
    return replace(general, formats=(*special, *general.formats))


def _auto_round(settings: Config) -> Quantization:
    """Return AutoRound's format: GPTQ's for integers, else MXFP or NVFP4 (intel auto-round, auto_round/data_type)."""
    data_type, bits = str(settings.get("data_type", "int")), _bits(settings, "bits") or 4
    if data_type.startswith("nv_fp"):
        return _linear_layers("auto-round", nvfp4(), settings, _gptq_exceptions(settings)[1])
    if data_type.startswith("mx_fp"):
        return _linear_layers("auto-round", mxfp4() if bits == 4 else mxfp8(), settings, _gptq_exceptions(settings)[1])
    if "awq" in str(settings.get("packing_format")):
        return _awq({**settings, "modules_to_not_convert": _gptq_exceptions(settings)[1]})
    return _gptq(settings)


def _gptq_exceptions(settings: Config) -> tuple[list[tuple[str, Config]], list[str]]:
    """Return the modules with other settings, and those that are not quantized.

    Source: GPTQModel quantization/config.py ("dynamic": patterns; "-:" marks those not quantized); AutoRound's
    extra_config (names or patterns; 16 bits for those not quantized).
    """
    exceptions: list[tuple[str, Config]] = []
    excluded: list[str] = []
    dynamic, extra = settings.get("dynamic"), settings.get("extra_config")
    for pattern, entry in dynamic.items() if isinstance(dynamic, Mapping) else ():
        name = f"re:{pattern.removeprefix('-:').removeprefix('+:')}"
        if pattern.startswith("-:"):
            excluded.append(name)
        elif isinstance(entry, Mapping):
            exceptions.append((name, entry))
    for name, entry in extra.items() if isinstance(extra, Mapping) else ():
        if not isinstance(entry, Mapping):
            continue
        name = f"re:{name}" if "*" in name else name
        if (_bits(entry, "bits") or 0) >= _UNQUANTIZED_BITS:
            excluded.append(name)
        else:
            exceptions.append((name, entry))
    return exceptions, excluded


def _awq(settings: Config) -> Quantization:
    """Return AWQ's format: packed weights, 16-bit scales, packed zero points (vLLM layers/quantization/awq.py)."""
    bits = _bits(settings, "bits", "w_bit") or 4
    precision = grouped(bits, _whole_number(settings, "group_size", "q_group_size") or 128, zero_points=True)
    return _linear_layers("awq", precision, settings)


def _linear_layers(method: str, precision: Precision, settings: Config, excluded: Sequence[str] = ()) -> Quantization:
    groups = LINEAR_GROUPS_AND_HEAD if settings.get("lm_head") else LINEAR_GROUPS
    skipped = [*_strings(settings, "modules_to_not_convert"), *excluded]
    return Quantization(method=method, formats=((EVERYTHING, precision),), excluded=modules(skipped), groups=groups)


def grouped(bits: int, group_size: int, *, zero_points: bool, g_idx: bool = False) -> Precision:
    """Return packed integers with a scale, and maybe a zero point, per group of a row (-1: per whole row)."""
    column_bytes = 4 if g_idx else 0
    if group_size <= 0:
        return Precision(name=f"int{bits}", block_bytes=bits, block_values=8, column_bytes=column_bytes,
                         row_bytes=_SCALE_BYTES + (-(-bits // 8) if zero_points else 0))  # fmt: skip
    group_bits = bits * group_size + 8 * _SCALE_BYTES + (bits if zero_points else 0)
    return Precision(name=f"int{bits}_g{group_size}", block_bytes=group_bits, block_values=8 * group_size,
                     block_scale_bytes=group_bits - bits * group_size, column_bytes=column_bytes)  # fmt: skip


def _bitsandbytes(settings: Config) -> Quantization:
    """Return bitsandbytes' NF4 or INT8 (Dettmers et al. 2023, arXiv:2305.14314; 2022, arXiv:2208.07339)."""
    skipped = modules(_strings(settings, "llm_int8_skip_modules"))
    if settings.get("load_in_8bit") or settings.get("_load_in_8bit"):
        precision = Precision(name="bnb_int8", block_bytes=1, row_bytes=4)
    else:
        precision = nf4(double_quant=bool(settings.get("bnb_4bit_use_double_quant")))
    return Quantization(method="bitsandbytes", formats=((EVERYTHING, precision),), excluded=skipped)


def nf4(*, double_quant: bool) -> Precision:
    """Return NF4: a 32-bit scale per 64 values; with `double_quant`, 8-bit scales and 32 bits per 256 of them."""
    if not double_quant:
        return Precision(name="nf4", block_bytes=64 // 2 + 4, block_values=64, block_scale_bytes=4)
    return Precision(name="nf4_dq", block_bytes=64 * 256 // 2 + 256 + 4, block_values=64 * 256,
                     block_scale_bytes=256 + 4)  # fmt: skip


def mxfp4() -> Precision:
    """Return MXFP4: 4-bit floats, an 8-bit exponent per 32 of them (OCP Microscaling formats 1.0)."""
    return Precision(name="mxfp4", block_bytes=17, block_values=32, block_scale_bytes=1)


def mxfp8() -> Precision:
    """Return MXFP8: 8-bit floats, an 8-bit exponent per 32 of them (OCP Microscaling formats 1.0)."""
    return Precision(name="mxfp8", block_bytes=33, block_values=32, block_scale_bytes=1)


def nvfp4() -> Precision:
    """Return NVIDIA's NVFP4: 4-bit floats, an 8-bit scale per 16 of them, and two 32-bit scales per tensor."""
    return Precision(name="nvfp4", block_bytes=9, block_values=16, block_scale_bytes=1, tensor_bytes=8)


def _mxfp4(settings: Config) -> Quantization:
    """Return gpt-oss's formats: experts in MXFP4, the rest not quantized (arXiv:2508.10925, section 2.1)."""
    skipped = modules(_strings(settings, "modules_to_not_convert"))
    return Quantization(method="mxfp4", formats=((EVERYTHING, mxfp4()),), excluded=skipped, groups=frozenset({EXPERT}))


def _compressed_tensors(settings: Config) -> Quantization:
    """Return llm-compressor's formats: groups of modules, each with a scheme (compressed-tensors, quant_scheme.py)."""
    sparsity = settings.get("sparsity_config")
    sparse = sparsity.get("format") if isinstance(sparsity, Mapping) else None
    for field, value in (("sparsity_config.format", sparse), ("format", settings.get("format"))):
        if isinstance(value, str) and any(word in value for word in ("sparse", "24")):
            raise _unsupported(field, f"{quoted(value)} does not store zero weights, which is not supported")
    schemes = settings.get("config_groups")
    if not isinstance(schemes, Mapping) or not schemes:
        raise _unsupported("config_groups", "it is missing")
    formats = []
    for scheme in schemes.values():
        weights = scheme.get("weights") if isinstance(scheme, Mapping) else None
        if not isinstance(weights, Mapping):
            continue
        formats.append((_targets(_strings(scheme, "targets")), _scheme(weights)))
    return Quantization(
        method="compressed-tensors", formats=tuple(formats), excluded=modules(_strings(settings, "ignore"), exact=True),
        groups=LINEAR_GROUPS_AND_HEAD,
    )  # fmt: skip


def _targets(targets: Sequence[str]) -> Modules:
    return EVERYTHING if not targets or any(t in ("Linear", "FusedMoE") for t in targets) else modules(targets)


def _scheme(weights: Config) -> Precision:
    bits, group_size = _bits(weights, "num_bits") or 8, _whole_number(weights, "group_size")
    floats, strategy = weights.get("type") == "float", weights.get("strategy")
    asymmetric = weights.get("symmetric") is False
    if floats and bits == 4:
        return mxfp4() if group_size == 32 else nvfp4()
    if strategy == "block":
        rows, columns = _tile(weights, "block_structure") or (128, 128)
        return Precision(name="fp8_block", block_bytes=1, tile_rows=rows, tile_columns=columns,
                         tile_bytes=_SCALE_BYTES)  # fmt: skip
    if group_size and group_size > 0:
        return grouped(bits, group_size, zero_points=asymmetric)
    if strategy == "channel" or (strategy is None and group_size == -1):
        return Precision(name=f"w{bits}_channel", block_bytes=bits, block_values=8,
                         row_bytes=_SCALE_BYTES + (1 if asymmetric else 0))  # fmt: skip
    return Precision(name=f"w{bits}_tensor", block_bytes=bits, block_values=8, tensor_bytes=_SCALE_BYTES)


_ALGORITHMS: dict[str, Callable[[], Precision]] = {
    "FP8": fp8_tensor,
    "FP8_PER_CHANNEL_PER_TOKEN": lambda: Precision(name="fp8_channel", block_bytes=1, row_bytes=_WIDE_SCALE_BYTES),
    "FP8_PB_WO": lambda: fp8_tiles(128, 128),
    "NVFP4": nvfp4,
    "W4A16_NVFP4": nvfp4,
    "NVFP4_AWQ": nvfp4,
    "MXFP4": mxfp4,
    "MXFP8": mxfp8,
    "W4A16_AWQ": lambda: grouped(4, 128, zero_points=False),
    "W4A8_AWQ": lambda: grouped(4, 128, zero_points=False),
    "INT8_SQ": lambda: Precision(name="int8_channel", block_bytes=1, row_bytes=_WIDE_SCALE_BYTES),
}


def _algorithm(name: object) -> Precision:
    known = _ALGORITHMS.get(str(name).upper())
    if known is None:
        raise _unsupported("quant_algo", f"{quoted(name)} is not a supported format")
    return known()


def _modelopt(settings: Config) -> Quantization:
    """Return NVIDIA Model Optimizer's format (vLLM model_executor/layers/quantization/modelopt.py)."""
    skipped = modules(_strings(settings, "exclude_modules", "ignore"))
    return Quantization(
        method="modelopt", formats=((EVERYTHING, _algorithm(settings.get("quant_algo"))),), excluded=skipped,
        groups=LINEAR_GROUPS_AND_HEAD if skipped != NOTHING else LINEAR_GROUPS,
    )  # fmt: skip


def _modelopt_mixed(settings: Config) -> Quantization:
    """Return Model Optimizer's format per module; other modules stay in FP8 (`quant_method`) or are not quantized."""
    by_algorithm: dict[str, list[str]] = {}
    layers = settings.get("quantized_layers")
    for name, entry in (layers if isinstance(layers, Mapping) else {}).items():
        algorithm = entry.get("quant_algo") if isinstance(entry, Mapping) else entry
        by_algorithm.setdefault(str(algorithm), []).append(str(name))
    formats = [(modules(names), _algorithm(algorithm)) for algorithm, names in by_algorithm.items()]
    if settings.get("quant_method") == "fp8":
        formats.append((EVERYTHING, _fp8(settings).formats[-1][1]))
        # vLLM's Fp8Config.from_config reads these two lists; "ignore" lists what Model Optimizer left in FP8.
        skipped = modules(_strings(settings, "modules_to_not_convert", "ignored_layers"))
        return Quantization(method="modelopt", formats=tuple(formats), excluded=skipped)
    skipped = modules(_strings(settings, "exclude_modules", "ignore"))
    return Quantization(method="modelopt", formats=tuple(formats), excluded=skipped, groups=LINEAR_GROUPS_AND_HEAD)


# torchao's configuration classes and its older names for them: bits, and whether they are floats. Source: torchao
# quantization/quant_api.py; transformers quantizers/quantizer_torchao.py.
_TORCHAO = {
    "int4weightonly": (4, False), "int8weightonly": (8, False), "float8weightonly": (8, True),
    "int8dynamicactivationint4weight": (4, False), "int8dynamicactivationint8weight": (8, False),
    "float8dynamicactivationfloat8weight": (8, True), "float8dynamicactivationint4weight": (4, False),
    "float8staticactivationfloat8weight": (8, True), "gemliteuintxweightonly": (4, False),
    "intxweightonly": (8, False), "int8dynamicactivationintxweight": (4, False),
}  # fmt: skip
_TORCHAO_GROUP = 128  # Int4WeightOnlyConfig.group_size
_TORCHAO_SKIPS = ("embed_tokens", "lm_head")  # unless include_input_output_embeddings


def _torchao(settings: Config) -> Quantization:
    """Return torchao's formats: integers with a 16-bit scale and zero point per group or row, or floats with scales."""
    kind = settings.get("quant_type")
    chosen = kind.get("default") if isinstance(kind, Mapping) else None
    if not isinstance(chosen, Mapping):
        chosen = {"_type": kind, "_data": settings.get("quant_type_kwargs")}
    data = chosen.get("_data")
    by_module = (data.get("module_fqn_to_config") or data.get("fqn_to_config")) if isinstance(data, Mapping) else None
    skipped = [] if settings.get("include_input_output_embeddings") else list(_TORCHAO_SKIPS)
    skipped += _strings(settings, "modules_to_not_convert")
    formats = []
    if isinstance(by_module, Mapping):
        named = {str(name): entry for name, entry in by_module.items() if name != "_default"}
        formats = [(modules([name]), _torchao_scheme(entry)) for name, entry in named.items() if entry]
        skipped = [name for name in skipped if name not in {each.rpartition(".")[2] for each in named}]
        skipped += [name for name, entry in named.items() if not entry]
        chosen = by_module.get("_default")
    if chosen or not isinstance(by_module, Mapping):
        formats.append((EVERYTHING, _torchao_scheme(chosen)))
    return Quantization(method="torchao", formats=tuple(formats), excluded=modules(skipped),
                        groups=LINEAR_GROUPS_AND_HEAD | {EMBEDDING})  # fmt: skip


def _torchao_scheme(entry: object) -> Precision:
    written = entry.get("_type") if isinstance(entry, Mapping) else entry
    data = entry.get("_data") if isinstance(entry, Mapping) else None
    data = data if isinstance(data, Mapping) else {}
    name = str(written).removesuffix("Config").replace("_", "").lower()
    if name in ("nvfp4weightonly", "nvfp4dynamicactivationnvfp4weight", "nvfp4inference"):
        return nvfp4()
    if name not in _TORCHAO:
        raise _unsupported("quant_type", f"{quoted(written)} is not a supported format")
    bits, floats = _TORCHAO[name]
    if floats:
        by_row = "PerRow" in str(data.get("granularity"))
        return Precision(name="fp8_channel", block_bytes=1, row_bytes=_WIDE_SCALE_BYTES) if by_row else fp8_tensor()
    width = re.search(r"int(\d)", str(data.get("weight_dtype")))
    bits = int(width[1]) if width else bits
    stated = data.get("granularity") or data.get("weight_granularity")
    inner = stated.get("_data") if isinstance(stated, Mapping) else None
    group = _whole_number(inner if isinstance(inner, Mapping) else data, "group_size")
    group = group or (_TORCHAO_GROUP if bits < _FP8_BITS and "PerAxis" not in str(stated) else -1)
    return _scaled(f"int{bits}", bits, group)


def _scaled(name: str, bits: int, group: int) -> Precision:
    """Return integers with a 16-bit scale and a 16-bit zero point per group; with a scale per row if `group` is -1."""
    if group < 1:
        return Precision(name=f"{name}_channel", block_bytes=bits, block_values=8, row_bytes=_SCALE_BYTES)
    scale_bits = 8 * 2 * _SCALE_BYTES
    return Precision(name=f"{name}_g{group}", block_bytes=bits * group + scale_bits, block_values=8 * group,
                     block_scale_bytes=scale_bits)  # fmt: skip


def _hqq(settings: Config) -> Quantization:
    """Return HQQ's format: groups with a 16-bit scale and zero point (mobiusml hqq/core/quantize.py)."""
    inner = settings.get("quant_config")
    inner = inner if isinstance(inner, Mapping) else settings
    found = inner.get("weight_quant_params")
    found = found if isinstance(found, Mapping) else inner
    bits, group = _bits(found, "nbits", "bits") or 4, _whole_number(found, "group_size") or 64
    precision = _scaled(f"hqq_int{bits}", bits, group)
    skipped = [*_strings(settings, "skip_modules", "modules_to_not_convert"), "lm_head"]
    return Quantization(method="hqq", formats=((EVERYTHING, precision),), excluded=modules(skipped))


def _aqlm(settings: Config) -> Quantization:
    """Return AQLM's format: codes for groups of inputs, codebooks per tensor, a scale per output (arXiv:2401.06118)."""
    inputs, outputs = _whole_number(settings, "in_group_size") or 8, _whole_number(settings, "out_group_size") or 1
    books, bits = _whole_number(settings, "num_codebooks") or 1, _bits(settings, "nbits_per_codebook") or 16
    if outputs != 1 or inputs < 1 or not 0 < books <= _MOST_BITS:
        raise _unsupported("out_group_size", f"groups of {inputs} × {outputs} in {books} codebooks are not supported")
    stored = -(-bits // 8)  # codes are 8- or 16-bit integers
    precision = Precision(
        name=f"aqlm_{books}x{bits}", block_bytes=books * stored, block_values=inputs, row_bytes=_SCALE_BYTES,
        tensor_bytes=books * 2**bits * inputs * _SCALE_BYTES,
    )  # fmt: skip
    skipped = [name.removesuffix(".weight") for name in _strings(settings, "linear_weights_not_to_quantize")]
    return Quantization(method="aqlm", formats=((EVERYTHING, precision),), excluded=modules(skipped))


_EXL_STEPS = 1000  # mean bits have up to three decimals


def _exl(settings: Config) -> Quantization:
    """Return ExLlama's formats by their mean bits, and those of the head; EXL3 adds 16 bits per row and column.

    Source: turboderp exllamav2 conversion/compile.py, exllamav3 modules/quant/exl3.py (suh, svh).
    """
    exl3 = settings.get("quant_method") == "exl3"

    def of_bits(field: str, usual: float) -> Precision:
        given = settings.get(field)
        bits = float(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else usual
        if not 1 <= bits <= _UNQUANTIZED_BITS:
            raise _unsupported(field, f"{quoted(given)} is not a number of bits")
        name = f"{settings['quant_method']}_{bits:g}"
        extra = _SCALE_BYTES if exl3 else 0
        return Precision(name=name, block_bytes=round(bits * _EXL_STEPS), block_values=8 * _EXL_STEPS, row_bytes=extra,
                         column_bytes=extra)  # fmt: skip

    formats = ((modules(["lm_head"]), of_bits("head_bits", 6)), (EVERYTHING, of_bits("bits", 4)))
    return Quantization(method=str(settings["quant_method"]), formats=formats, groups=LINEAR_GROUPS | {HEAD})


_READERS: dict[str, Callable[[Config], Quantization]] = {
    "fp8": _fp8,
    "fbgemm_fp8": _fbgemm,
    "gptq": _gptq,
    "gptq_marlin": _gptq,
    "auto-round": _auto_round,
    "auto_round": _auto_round,
    "bitnet": _bitnet,
    "torchao": _torchao,
    "hqq": _hqq,
    "aqlm": _aqlm,
    "exl2": _exl,
    "exl3": _exl,
    "quark": _quark,
    "awq": _awq,
    "awq_marlin": _awq,
    "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4,
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
}
