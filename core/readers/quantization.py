"""`quantization_config` of a config.json → the formats in which a checkpoint stores its weights."""

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
from core.model.tensors import EXPERT

Config = Mapping[str, object]

# compressed-tensors, GPTQ and AWQ keep their scales in the model's own 16 bits; block-wise FP8 keeps them in 32.
_SCALE_BYTES, _WIDE_SCALE_BYTES = 2, 4
_FIELD = "quantization_config"
_UNQUANTIZED_BITS = 16
_MOST_BITS, _MOST_VALUES = 32, 10**6
_TILE_SIDES = range(1, 10**5)


def read(config: Config) -> Quantization | None:
    """How the checkpoint stores its weights, if its config.json says that they are quantized.

    Raises:
        UnsupportedModelError: the method is not understood.
    """
    settings = _settings(config)
    if settings is None:
        return None
    inner = settings.get("quantization")
    if isinstance(inner, Mapping):  # hf_quant_config.json of NVIDIA's Model Optimizer
        settings = {**inner, "quant_method": "modelopt"}
    if "expert_dtype" in config:
        settings = {**settings, "expert_dtype": config["expert_dtype"]}
    method = str(settings.get("quant_method") or ("modelopt" if "quant_algo" in settings else ""))
    if not method and "bits" in settings and "group_size" in settings:
        return _mlx(settings)
    if "BITS" in method.upper():
        method = "bitsandbytes"
    if settings.get("quant_algo") == "MIXED_PRECISION" or (method == "fp8" and settings.get("quantized_layers")):
        return _modelopt_mixed(settings)
    reader = _READERS.get(method.removeprefix("intel/"))
    if reader is None:
        raise UnsupportedModelError(
            f"{_FIELD}.quant_method", f"{quoted(method)} is not a format that is understood",
            f"Understood are {', '.join(sorted(_READERS))}; or name a precision.",
        )  # fmt: skip
    return reader(settings)


def _settings(config: Config) -> Config | None:
    text = config.get("text_config")
    for where in (config, text if isinstance(text, Mapping) else {}):
        for field in (_FIELD, "compression_config", "hf_quant_config"):
            value = where.get(field)
            if isinstance(value, Mapping) and value:
                return value
    return _mlx_settings(config)


def _mlx_settings(config: Config) -> Config | None:
    """MLX's word for it, which may stand alone (mlx-lm utils.py, save_config)."""
    value = config.get("quantization")
    return value if isinstance(value, Mapping) and value else None


def _strings(settings: Config, *fields: str) -> list[str]:
    for field in fields:
        value = settings.get(field)
        if isinstance(value, str):
            return [value]
        if isinstance(value, Sequence):
            return [str(each) for each in value]
    return []


def _whole(settings: Config, *fields: str) -> int | None:
    """The number in the first of these fields that has one: of bits, or of values in a group (-1: a whole row)."""
    for field in fields:
        value = settings.get(field)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not -1 <= value <= _MOST_VALUES or value != int(value):
                raise UnsupportedModelError(
                    f"{_FIELD}.{field}", f"{quoted(value)} is no number of bits or values", "Name a precision."
                )
            return int(value)
    return None


def _bits(settings: Config, *fields: str) -> int | None:
    bits = _whole(settings, *fields)
    if bits is not None and not 0 <= bits <= _MOST_BITS:
        raise UnsupportedModelError(f"{_FIELD}.{fields[0]}", f"{bits} is no number of bits", "Name a precision.")
    return bits


def _tile(settings: Config, field: str) -> tuple[int, int] | None:
    """Rows and columns of a tile, or None."""
    tile = settings.get(field)
    if not tile:
        return None
    if isinstance(tile, str) and re.fullmatch(r"\d{1,5}x\d{1,5}", tile):  # compressed-tensors' older spelling
        tile = [int(side) for side in tile.split("x")]
    if not isinstance(tile, Sequence) or len(tile) != 2 or not all(map(_is_side, tile)):
        raise UnsupportedModelError(
            f"{_FIELD}.{field}", f"{quoted(tile)} is not two sides of a tile", "Write [128, 128]."
        )
    return int(tile[0]), int(tile[1])


def _is_side(value: object) -> bool:
    return not isinstance(value, bool) and value in _TILE_SIDES


def _fp8(settings: Config) -> Quantization:
    """DeepSeek's FP8: a 32-bit scale for each tile of 128 × 128, else one per tensor (arXiv:2412.19437)."""
    tile = _tile(settings, "weight_block_size")
    precision = fp8_tiles(*tile) if tile else fp8_tensor()
    skipped = _strings(settings, "modules_to_not_convert", "ignored_layers", "ignore")
    formats = [(EVERYTHING, precision)]
    if settings.get("expert_dtype") == "fp4":  # DeepSeek-V4, whose config.json says so outside quantization_config
        formats.insert(0, (modules(["mlp.experts"]), mxfp4()))
    return Quantization(method="fp8", formats=tuple(formats), excluded=modules(skipped))


def fp8_tensor() -> Precision:
    """FP8 with one 32-bit scale per tensor."""
    return Precision(name="fp8_tensor", block_bytes=1, tensor_bytes=_WIDE_SCALE_BYTES)


def fp8_tiles(rows: int, columns: int) -> Precision:
    """FP8 with a 32-bit scale per tile."""
    return Precision(
        name="fp8_block", block_bytes=1, tile_rows=rows, tile_columns=columns, tile_bytes=_WIDE_SCALE_BYTES
    )


def _fbgemm(settings: Config) -> Quantization:
    """FBGEMM's FP8: a 32-bit scale per output channel (transformers integrations/fbgemm_fp8.py)."""
    precision = Precision(name="fp8_channel", block_bytes=1, row_bytes=_WIDE_SCALE_BYTES)
    skipped = _strings(settings, "modules_to_not_convert")
    return Quantization(method="fbgemm_fp8", formats=((EVERYTHING, precision),), excluded=modules(skipped))


def _mlx(settings: Config) -> Quantization:
    """MLX: groups along a row with a scale and a bias in 16 bits, of every matrix, the embedding and routers included.

    Modules that are quantized otherwise, or not at all, have an entry by their name (mlx-lm utils.py, quantize_model).
    """
    own, excluded = [], []
    for name, entry in settings.items():
        if entry is False:
            excluded.append(name)
        elif isinstance(entry, Mapping):
            own.append((modules([name]), _mlx_precision({**settings, **entry})))
    return Quantization(
        method="mlx", formats=(*own, (EVERYTHING, _mlx_precision(settings))), excluded=modules(excluded),
        groups=EVERY_MATRIX,
    )  # fmt: skip


def _mlx_precision(settings: Config) -> Precision:
    bits, group_size, mode = _bits(settings, "bits"), _whole(settings, "group_size"), settings.get("mode", "affine")
    floats = {"mxfp4": mxfp4, "mxfp8": mxfp8, "nvfp4": nvfp4}
    if str(mode) in floats:
        return floats[str(mode)]()
    if mode != "affine" or not bits or not group_size or bits > 8 or group_size < 0:
        raise UnsupportedModelError("quantization", f"{quoted(mode)}, {bits} bits in groups of {group_size} is not "
                                    "a format that is understood", "Name a precision.")  # fmt: skip
    scales = 2 * _SCALE_BYTES
    return Precision(name=f"mlx_int{bits}_g{group_size}", block_bytes=bits * group_size + 8 * scales,
                     block_values=8 * group_size, block_scale_bytes=8 * scales)  # fmt: skip


def _bitnet(settings: Config) -> Quantization:
    """BitNet: ternary weights, four to a byte, one scale per tensor (transformers integrations/bitnet.py)."""
    precision = Precision(name="bitnet", block_bytes=1, block_values=4, tensor_bytes=_SCALE_BYTES)
    skipped = _strings(settings, "modules_to_not_convert")
    if settings.get("quantization_mode", "offline") != "offline":
        raise UnsupportedModelError(f"{_FIELD}.quantization_mode", "weights that are quantized while they are loaded "
                                    "are not understood", "Name a precision.")  # fmt: skip
    return Quantization(method="bitnet", formats=((EVERYTHING, precision),), excluded=modules(skipped))


# AMD's Quark: bits of the types that it writes.
_QUARK_TYPES = {"fp8_e4m3": 8, "fp8_e5m2": 8, "int8": 8, "uint8": 8, "int4": 4, "uint4": 4, "fp4": 4}


def _quark(settings: Config) -> Quantization:
    """AMD's Quark (vLLM model_executor/layers/quantization/quark): a scheme for all, and others for some modules."""
    if settings.get("layer_type_quant_config"):
        raise UnsupportedModelError(f"{_FIELD}.layer_type_quant_config", "schemes by type of layer are not understood",
                                    "Name a precision.")  # fmt: skip
    by_layer = settings.get("layer_quant_config")
    entries = by_layer.items() if isinstance(by_layer, Mapping) else ()
    formats = [(modules([str(name)]), found) for name, entry in entries if (found := _quark_scheme(entry))]
    plain = [str(name) for name, entry in entries if _quark_scheme(entry) is None]
    everywhere = _quark_scheme(settings.get("global_quant_config"))
    if everywhere is not None:
        formats.append((EVERYTHING, everywhere))
    return Quantization(
        method="quark", formats=tuple(formats), excluded=modules([*_strings(settings, "exclude"), *plain]),
        groups=LINEAR_GROUPS_AND_HEAD,
    )  # fmt: skip


def _quark_scheme(entry: object) -> Precision | None:
    weight = entry.get("weight") if isinstance(entry, Mapping) else None
    if isinstance(weight, Sequence) and not isinstance(weight, str) and weight:
        weight = weight[-1]  # several steps, of which the last is what is stored
    if not isinstance(weight, Mapping):
        return None
    dtype, scheme, group_size = weight.get("dtype"), weight.get("qscheme"), _whole(weight, "group_size")
    bits = _QUARK_TYPES.get(str(dtype))
    if dtype == "fp4" and group_size == 32:
        return mxfp4()
    if bits is None or dtype == "fp4":
        raise UnsupportedModelError(f"{_FIELD}.global_quant_config.weight.dtype",
                                    f"{quoted(dtype)} is not understood", "Name a precision.")  # fmt: skip
    if scheme == "per_group" and group_size:
        return grouped(bits, group_size, zero_points=weight.get("symmetric") is False)
    if scheme == "per_channel":
        return Precision(name=f"w{bits}_channel", block_bytes=bits, block_values=8, row_bytes=_WIDE_SCALE_BYTES)
    if scheme == "per_tensor":
        return Precision(name=f"w{bits}_tensor", block_bytes=bits, block_values=8, tensor_bytes=_WIDE_SCALE_BYTES)
    raise UnsupportedModelError(f"{_FIELD}.global_quant_config.weight.qscheme",
                                f"{quoted(scheme)} is not understood", "Name a precision.")  # fmt: skip


def _gptq(settings: Config) -> Quantization:
    """GPTQ's layout: packed weights, 16-bit scales, packed zero points, and g_idx, 4 bytes an input column.

    Source: AutoGPTQ nn_modules/qlinear; vLLM model_executor/layers/quantization/gptq.py.
    """

    def precision(own: Config) -> Precision:
        given = {**settings, **own}
        return grouped(_bits(given, "bits") or 4, _whole(given, "group_size") or 128, zero_points=True, g_idx=True)

    own, excluded = _gptq_rules(settings)
    plain = _of_layers("gptq", precision({}), settings, excluded)
    return replace(plain, formats=(*((modules([name]), precision(entry)) for name, entry in own), *plain.formats))


def _gptq_rules(settings: Config) -> tuple[list[tuple[str, Config]], list[str]]:
    """Modules with bits of their own, and those that stay as they were.

    Source: GPTQModel quantization/config.py ("dynamic": patterns, "-:" before those left out); AutoRound's extra_config
    (names or patterns, 16 bits for those left out).
    """
    own: list[tuple[str, Config]] = []
    excluded: list[str] = []
    dynamic, extra = settings.get("dynamic"), settings.get("extra_config")
    for pattern, entry in dynamic.items() if isinstance(dynamic, Mapping) else ():
        name = f"re:{pattern.removeprefix('-:').removeprefix('+:')}"
        if pattern.startswith("-:"):
            excluded.append(name)
        elif isinstance(entry, Mapping):
            own.append((name, entry))
    for name, entry in extra.items() if isinstance(extra, Mapping) else ():
        if not isinstance(entry, Mapping):
            continue
        name = f"re:{name}" if "*" in name else name
        if (_bits(entry, "bits") or 0) >= _UNQUANTIZED_BITS:
            excluded.append(name)
        else:
            own.append((name, entry))
    return own, excluded


def _awq(settings: Config) -> Quantization:
    """AWQ's layout: packed weights, 16-bit scales, packed zero points (vLLM layers/quantization/awq.py)."""
    bits = _bits(settings, "bits", "w_bit") or 4
    precision = grouped(bits, _whole(settings, "group_size", "q_group_size") or 128, zero_points=True)
    return _of_layers("awq", precision, settings)


def _of_layers(method: str, precision: Precision, settings: Config, excluded: Sequence[str] = ()) -> Quantization:
    groups = LINEAR_GROUPS_AND_HEAD if settings.get("lm_head") else LINEAR_GROUPS
    skipped = [*_strings(settings, "modules_to_not_convert"), *excluded]
    return Quantization(method=method, formats=((EVERYTHING, precision),), excluded=modules(skipped), groups=groups)


def grouped(bits: int, group_size: int, *, zero_points: bool, g_idx: bool = False) -> Precision:
    """Integers of few bits with a scale, and if so a zero point, for each group along a row; -1 is the whole row."""
    column_bytes = 4 if g_idx else 0
    if group_size <= 0:
        return Precision(name=f"int{bits}", block_bytes=bits, block_values=8, column_bytes=column_bytes,
                         row_bytes=_SCALE_BYTES + (-(-bits // 8) if zero_points else 0))  # fmt: skip
    group_bits = bits * group_size + 8 * _SCALE_BYTES + (bits if zero_points else 0)
    return Precision(name=f"int{bits}_g{group_size}", block_bytes=group_bits, block_values=8 * group_size,
                     block_scale_bytes=group_bits - bits * group_size, column_bytes=column_bytes)  # fmt: skip


def _bitsandbytes(settings: Config) -> Quantization:
    """NF4 or INT8 of bitsandbytes (Dettmers et al. 2023, arXiv:2305.14314; 2022, arXiv:2208.07339)."""
    skipped = modules(_strings(settings, "llm_int8_skip_modules"))
    if settings.get("load_in_8bit") or settings.get("_load_in_8bit"):
        precision = Precision(name="bnb_int8", block_bytes=1, row_bytes=4)
    else:
        precision = nf4(double_quant=bool(settings.get("bnb_4bit_use_double_quant")))
    return Quantization(method="bitsandbytes", formats=((EVERYTHING, precision),), excluded=skipped)


def nf4(*, double_quant: bool) -> Precision:
    """4 bits a value and a 32-bit scale for 64 values; with double quantization 8 bits, and 32 for 256 of those."""
    if not double_quant:
        return Precision(name="nf4", block_bytes=64 // 2 + 4, block_values=64, block_scale_bytes=4)
    return Precision(name="nf4_dq", block_bytes=64 * 256 // 2 + 256 + 4, block_values=64 * 256,
                     block_scale_bytes=256 + 4)  # fmt: skip


def mxfp4() -> Precision:
    """OCP Microscaling formats 1.0: 4-bit floats, an 8-bit exponent for 32 of them."""
    return Precision(name="mxfp4", block_bytes=17, block_values=32, block_scale_bytes=1)


def mxfp8() -> Precision:
    """OCP Microscaling formats 1.0: 8-bit floats, an 8-bit exponent for 32 of them."""
    return Precision(name="mxfp8", block_bytes=33, block_values=32, block_scale_bytes=1)


def nvfp4() -> Precision:
    """NVIDIA's 4-bit floats: an 8-bit scale for 16 of them, and two 32-bit scales per tensor."""
    return Precision(name="nvfp4", block_bytes=9, block_values=16, block_scale_bytes=1, tensor_bytes=8)


def _mxfp4(settings: Config) -> Quantization:
    """gpt-oss: experts in MXFP4, all else as it was (arXiv:2508.10925, section 2.1)."""
    skipped = modules(_strings(settings, "modules_to_not_convert"))
    return Quantization(method="mxfp4", formats=((EVERYTHING, mxfp4()),), excluded=skipped, groups=frozenset({EXPERT}))


def _compressed_tensors(settings: Config) -> Quantization:
    """The format of llm-compressor: groups of modules, each with its scheme (compressed-tensors, quant_scheme.py)."""
    sparsity = settings.get("sparsity_config")
    sparse = sparsity.get("format") if isinstance(sparsity, Mapping) else None
    for field, value in (("sparsity_config.format", sparse), ("format", settings.get("format"))):
        if isinstance(value, str) and any(word in value for word in ("sparse", "24")):
            raise UnsupportedModelError(f"{_FIELD}.{field}", f"{quoted(value)} leaves out weights that are 0, which is "
                                        "not understood", "Name a precision.")  # fmt: skip
    schemes = settings.get("config_groups")
    if not isinstance(schemes, Mapping) or not schemes:
        raise UnsupportedModelError(f"{_FIELD}.config_groups", "it is missing", "Name a precision.")
    formats = []
    for scheme in schemes.values():
        weights = scheme.get("weights") if isinstance(scheme, Mapping) else None
        if not isinstance(weights, Mapping):
            continue
        formats.append((_targets(_strings(scheme, "targets")), _scheme(weights)))
    return Quantization(
        method="compressed-tensors", formats=tuple(formats), excluded=modules(_strings(settings, "ignore")),
        groups=LINEAR_GROUPS_AND_HEAD,
    )  # fmt: skip


def _targets(targets: Sequence[str]) -> Modules:
    return EVERYTHING if not targets or any(t in ("Linear", "FusedMoE") for t in targets) else modules(targets)


def _scheme(weights: Config) -> Precision:
    bits, group_size = _bits(weights, "num_bits") or 8, _whole(weights, "group_size")
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
        raise UnsupportedModelError(
            f"{_FIELD}.quant_algo", f"{quoted(name)} is not a format that is understood",
            f"Understood are {', '.join(_ALGORITHMS)}; or name a precision.",
        )  # fmt: skip
    return known()


def _modelopt(settings: Config) -> Quantization:
    """NVIDIA's Model Optimizer (vLLM model_executor/layers/quantization/modelopt.py)."""
    skipped = modules(_strings(settings, "exclude_modules", "ignore"))
    return Quantization(
        method="modelopt", formats=((EVERYTHING, _algorithm(settings.get("quant_algo"))),), excluded=skipped,
        groups=LINEAR_GROUPS_AND_HEAD if skipped != NOTHING else LINEAR_GROUPS,
    )  # fmt: skip


def _modelopt_mixed(settings: Config) -> Quantization:
    """Model Optimizer with a format for each module; the others as `weight_block_size` says, or as they were."""
    by_algorithm: dict[str, list[str]] = {}
    layers = settings.get("quantized_layers")
    for name, entry in (layers if isinstance(layers, Mapping) else {}).items():
        algorithm = entry.get("quant_algo") if isinstance(entry, Mapping) else entry
        by_algorithm.setdefault(str(algorithm), []).append(str(name))
    formats = [(modules(names), _algorithm(algorithm)) for algorithm, names in by_algorithm.items()]
    if settings.get("quant_method") == "fp8":
        formats.append((EVERYTHING, _fp8(settings).formats[-1][1]))
        # vLLM's Fp8Config.from_config reads these two lists; "ignore" is what Model Optimizer itself left in FP8.
        skipped = modules(_strings(settings, "modules_to_not_convert", "ignored_layers"))
        return Quantization(method="modelopt", formats=tuple(formats), excluded=skipped)
    skipped = modules(_strings(settings, "exclude_modules", "ignore"))
    return Quantization(method="modelopt", formats=tuple(formats), excluded=skipped, groups=LINEAR_GROUPS_AND_HEAD)


_READERS: dict[str, Callable[[Config], Quantization]] = {
    "fp8": _fp8,
    "fbgemm_fp8": _fbgemm,
    "gptq": _gptq,
    "gptq_marlin": _gptq,
    "auto-round": _gptq,
    "auto_round": _gptq,
    "bitnet": _bitnet,
    "quark": _quark,
    "awq": _awq,
    "awq_marlin": _awq,
    "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4,
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
}
