"""Write small GGUF files with the reference library (gguf-py) or byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFEndian, GGUFWriter

LLAMA = {
    "context_length": 4096, "embedding_length": 256, "block_count": 2, "feed_forward_length": 512,
    "attention.head_count": 8, "attention.head_count_kv": 2,
}  # fmt: skip
# The tensors of this model: name → shape in numpy's order.
LLAMA_TENSORS = {
    "token_embd.weight": (320, 256),
    "output.weight": (320, 256),
    "output_norm.weight": (256,),
    "rope_freqs.weight": (16,),
    **{
        f"blk.{layer}.{name}.weight": shape
        for layer in range(2)
        for name, shape in {
            "attn_norm": (256,), "attn_q": (256, 256), "attn_k": (64, 256), "attn_v": (64, 256),
            "attn_output": (256, 256), "ffn_norm": (256,), "ffn_gate": (512, 256), "ffn_up": (512, 256),
            "ffn_down": (256, 512),
        }.items()
    },
}  # fmt: skip
# Counted by hand: 2 × (2·256·256 + 2·64·256 + 3·512·256 + 2·256) + 2·320·256 + 256; the rotary table has no parameters.
LLAMA_PARAMETERS = 2 * (131_072 + 32_768 + 393_216 + 512) + 163_840 + 256


def write(
    path: Path,
    architecture: str = "llama",
    fields: dict[str, object] | None = None,
    tensors: dict[str, tuple[int, ...]] | None = None,
    *,
    matrix_type: GGMLQuantizationType = GGMLQuantizationType.Q4_K,
    tokens: int = 320,
    big_endian: bool = False,
    tensors_a_file: int = 0,
) -> None:
    """Write a model with matrices of `matrix_type` and 32-bit vectors, like llama.cpp's quantizer."""
    order = GGUFEndian.BIG if big_endian else GGUFEndian.LITTLE
    writer = GGUFWriter(path, architecture, endianess=order, split_max_tensors=tensors_a_file)
    for key, value in (LLAMA if fields is None else fields).items():
        key = f"{architecture}.{key}"
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        else:
            writer.add_uint32(key, value)
    if tokens:
        writer.add_token_list([f"token {i}" for i in range(tokens)])
    writer.add_chat_template("{{ messages }}" * 500)
    block_values, block_bytes = GGML_QUANT_SIZES[matrix_type]
    for name, shape in (LLAMA_TENSORS if tensors is None else tensors).items():
        if len(shape) == 1:
            writer.add_tensor(name, np.zeros(shape, np.float32))
        else:
            packed = (*shape[:-1], shape[-1] // block_values * block_bytes)
            writer.add_tensor(name, np.zeros(packed, np.uint8), raw_dtype=matrix_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def u32(key: bytes, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


def string(key: bytes, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def array(key: bytes, kind: int, length: int, items: bytes = b"") -> bytes:
    return text(key) + struct.pack("<IIQ", 9, kind, length) + items


def tensor(name: bytes, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def raw(
    entries: list[bytes] = (),
    tensors: list[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    entry_count: int | None = None,
    tensor_count: int | None = None,
    alignment: int = 32,
) -> bytes:
    """Return a file with exactly these parts, valid or not."""
    counts = [
        len(tensors) if tensor_count is None else tensor_count,
        len(entries) if entry_count is None else entry_count,
    ]
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join(entries) + b"".join(tensors)
    return header + bytes(-len(header) % alignment) + data
