"""What the readers' campaigns begin with: small right files of every kind, made here, and the words that matter."""

from __future__ import annotations

import json
import random
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import xlsxwriter
from safetensors.numpy import save

from core.catalog.offers import COLUMNS
from core.catalog.rows import row_of, with_row
from tests.core.readers import gguf_files
from tools import golden_tables
from workbook.labels import Labels
from workbook.planner_reader import RESULTS
from workbook.scenario import FIELDS
from workbook.sheets.scenarios import TABLE

LLAMA = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 512, "vocab_size": 320,
    "num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 4096, "torch_dtype": "bfloat16",
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
}  # fmt: skip
SCENARIO = {
    "scenario": "first", "model": "llama-3.1-70b", "context": 32768, "users": 10, "precision": "fp16",
    "kv_precision": "fp8", "output_tokens": 512, "allocation": "paged", "average_tokens": 9000, "engine": "vllm",
    "gpu": "h100-sxm", "gpu_memory_gb": 80, "attention_dp": 8, "shared_tokens": 100, "lora_adapters": 2, "lora_rank": 8,
}  # fmt: skip
MOST_CONFIG_BYTES = 8192

WORDS = {
    "config": ["null", "true", "1e999", "-1", "0", "1.5", "[]", "{}", '"x"', "999999999999999999999", "NaN",
    "text_config",
               "vision_config", "layer_types", "sliding_attention", "full_attention", "quantization_config",
               "quant_method", "gptq", "awq", "fp8", "weight_block_size", "num_experts", "kv_lora_rank",
               "rope_scaling"],
    "safetensors": ["dtype", "shape", "data_offsets", "__metadata__", "F32", "BF16", "F4", "F8_E8M0", "U8", "I64",
    "[0,0]"],
    "index": ["weight_map", "metadata", ".safetensors", "../", "/etc/passwd", "model-00001-of-00002.safetensors"],
    "gguf": ["GGUF", "general.architecture", "general.alignment", "split.count", "split.no", "llama.block_count",
             "llama.expert_count", "token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate_exps.weight"],
    "prices_csv": ["sep=;", '"', ",", ";", "\r\n", "1e999", "nan", "-1", "0", "1,5", "h100", "dgx-h100", "spot", "list",
                   "rent reserved", "2026-13-01", "1899-12-30", "EUR", "=1+1", "'"],
    "models_csv": ["name,", "other_fields", '"', '""', "\r\n", ";", "TRUE", "1e999", "nan", "=1+1", "{", "}",
    "params_b"],
    "scenarios_csv": ["sep=;", '"', '""', ",", ";", "\t", "|", "\r\n", "1.234,5", "10%", "１２", "'=", "\ufeff", "\0"],
    "planner": ["<v>", "</v>", "<f>", "</f>", 't="s"', 't="e"', 't="str"', 't="inlineStr"', 't="shared" si="0"',
    "<row ",
                'r="XFD1048576"', 'ref="A1:XFD1048576"', "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/hosts'>]>", "&a;",
                "&#0;", "]]>", "xmlns=", 'r="0"', 's="999999999"', "1e999", "NaN", "mergeCell", "totalsRowCount"],
}  # fmt: skip
WORDS["audit"], WORDS["imported"] = WORDS["planner"], WORDS["prices_csv"]


def configs() -> list[bytes]:
    """Small configs of many families."""
    found = [LLAMA, {**LLAMA, "text_config": LLAMA}, {"params_b": 70, "num_hidden_layers": 80, "hidden_size": 8196}]
    found += [golden_tables.config(row) for row in golden_tables.rows("parameters")]
    by_family = {str(config.get("model_type")): json.dumps(config).encode() for config in found}
    return [seed for seed in by_family.values() if len(seed) <= MOST_CONFIG_BYTES]


def safetensors_files() -> list[bytes]:
    matrices = {
        "model.embed_tokens.weight": np.zeros((4, 3), np.float16),
        "lm_head.weight": np.zeros((2, 2), np.float32),
    }
    packed = {"q.qweight": np.zeros((8, 2), np.int32), "q.scales": np.zeros(2, np.float16), "none": np.zeros((0, 3))}
    return [save(matrices), save(packed, {"format": "pt"}), save({})]


def indexes() -> list[bytes]:
    shards = {f"layer.{i}": f"model-0000{i}-of-00002.safetensors" for i in (1, 2)}
    return [json.dumps({"metadata": {"total_size": 10}, "weight_map": shards}).encode()]


def gguf_headers() -> list[bytes]:
    """Whole files with small tensors, and headers of a few bytes."""
    made = [
        gguf_files.raw([gguf_files.string(b"general.architecture", b"llama"), gguf_files.u32(b"llama.block_count", 2)]),
        gguf_files.raw([gguf_files.array(b"a", 4, 2, bytes(8))], [gguf_files.tensor(b"t", (32, 2), 8)], bytes(68)),
        gguf_files.raw(version=2),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        for big_endian in (False, True):
            small = {"context_length": 64, "embedding_length": 32, "block_count": 1, "feed_forward_length": 32,
                     "attention.head_count": 2, "attention.head_count_kv": 1}  # fmt: skip
            tensors = {"token_embd.weight": (4, 32), "output_norm.weight": (32,), "blk.0.attn_q.weight": (32, 32)}
            q8_0 = gguf_files.GGMLQuantizationType.Q8_0
            gguf_files.write(path, fields=small, tensors=tensors, matrix_type=q8_0, tokens=4, big_endian=big_endian)
            made.append(path.read_bytes())
    return made


def model_rows() -> list[bytes]:
    row = row_of(LLAMA, name="mine", title="Mine", source="here", as_of="2026-11-26")
    other = row_of({"params_b": 7, "num_hidden_layers": 32, "hidden_size": 4096, "model_type": "llama"}, name="other",
                   title="Other", source="there", as_of="2026-11-26")  # fmt: skip
    return [with_row(b"", row), with_row(with_row(b"", row), other)]


def offer_files() -> list[bytes]:
    """Offers with our own columns: plain, and as Excel writes them where a comma is decimal."""
    offer = {"gpu": "h200-sxm", "gpus": "8", "vendor": "Vendor A", "quote": "4711", "kind": "own quote", "terms": "buy",
             "date": "2026-05-01", "valid_until": "2026-12-31", "smallest": "8", "low": "190000", "typical": "200000.5",
             "high": "210000", "currency": "EUR", "source": "here"}  # fmt: skip
    rented = offer | {"gpu": "dgx-h100", "gpus": "", "terms": "rent on demand", "typical": "2.35", "currency": "USD"}
    rows = [",".join(COLUMNS), *(",".join(row.get(name, "") for name in COLUMNS) for row in (offer, rented))]
    plain = "\n".join(rows)
    german = "\r\n".join(row.replace(",", ";").replace(".", ",") for row in rows)
    return [plain.encode(), german.encode("utf-8-sig"), plain.replace(",", "\t").encode("utf-16")]


def price_files() -> list[bytes]:
    """Files of other catalogs too: SkyPilot's and gpuhunt's."""
    skypilot = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice
p4d.24xlarge,A100,8.0,96.0,1152.0,20.0,us-east-1,"{'Gpus': [{'MemoryInfo': {'SizeInMiB': 40960}}]}",8.0
g6f.large,L4,0.125,2.0,8.0,0.2,us-east-1,,
trn1.2xlarge,Trainium,1.0,8.0,32.0,1.34,us-east-1,,
"""
    gpuhunt = """instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags
gpu_1x,us-1,2.5,26,200,1,H100,80.0,False,,nvidia,
gpu_1x,us-1,1.5,26,200,1,H100,80.0,True,,nvidia,
"""
    return [skypilot.encode(), gpuhunt.encode(), *offer_files()]


def scenario_files() -> list[bytes]:
    header = ",".join(field.name for field in FIELDS)
    short = {"scenario": "'=1+1", "model": "gemma-3-27b", "context": 8192, "precision": "int4", "gpu_memory_gb": 24}
    values, others = (",".join(str(row.get(field.name, "")) for field in FIELDS) for row in (SCENARIO, short))
    plain = f"{header}\n{values}\n{others}\n"
    chinese = ";".join(Labels("zh")(field.label) for field in FIELDS)
    row = values.replace(",", ";").replace(".", ",")
    german = f'sep=;\r\n{chinese}\r\n{row}\r\n"x;""y""";lama;1e3;1.000;2;1;10 %;79,5\r\n'
    by_rule = plain.replace("paged,9000", "reserved,").replace("vllm,", "rule,0.1")
    return [
        plain.encode(), by_rule.encode(), german.encode("utf-8-sig"), german.encode("gb18030"), plain.encode("utf-16"),
    ]  # fmt: skip


def small_planner() -> bytes:
    """A planner of two rows with the columns and the table of the real one; XlsxWriter shares texts, as Excel does."""
    out, labels = BytesIO(), Labels("en")
    keys = [*(field.label for field in FIELDS), *(f"scenarios.{result}" for result in RESULTS)]
    headers = [labels(key) for key in keys]
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        ws = book.add_worksheet("Scenarios")
        ws.write(0, 0, "A title above")
        ws.add_table(1, 0, 3, len(headers) - 1, {"name": TABLE, "columns": [{"header": header} for header in headers]})
        for column, field in enumerate(FIELDS):
            ws.write(2, column, SCENARIO.get(field.name))
        formulas = ("=1+1", "=D3*2", "=SUM(J3:L3)", "=ROUNDUP(M3/H3,0)")
        for column, formula in enumerate(formulas[: len(RESULTS)], start=len(FIELDS)):
            ws.write_formula(2, column, formula, value=column)
        for column, value in enumerate(("=A3", "lama", "32K", None, 2, 1.5, "10 %", True)):
            ws.write(3, column, value)
        ws.merge_range(8, 0, 8, 3, "merged")
        book.add_worksheet("Other").write(0, 0, "text")
    return out.getvalue()


PLANNER = small_planner()
PARTS: dict[str, bytes] = {}
with zipfile.ZipFile(BytesIO(PLANNER)) as _package:
    for _name in sorted(_package.namelist()):
        PARTS[_name] = _package.read(_name)
WHOLE_FILE = 255


def package_parts() -> list[bytes]:
    """The number of a part of the planner, and that part; 255 and the file itself."""
    return [bytes([i]) + content for i, content in enumerate(PARTS.values())] + [bytes([WHOLE_FILE]) + PLANNER]


def package_of(data: bytes) -> bytes:
    """The planner with one part replaced, as `package_parts` writes it."""
    if not data or data[0] == WHOLE_FILE:
        return data[1:]
    name = list(PARTS)[data[0] % len(PARTS)]
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        for part, content in PARTS.items():
            package.writestr(part, data[1:] if part == name else content)
    return out.getvalue()


def mutated(draw: random.Random, seeds: list[bytes], words: list[str], *, keep: int = 0) -> bytes:
    """One of `seeds` with a few changes: bytes, numbers, words, pieces cut, doubled or taken from another seed.

    Args:
        keep: how many bytes at the beginning stay.
    """
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        at, length = draw.randint(min(keep, len(data)), len(data)), draw.choice((1, 1, 2, 4, 8, 16, 64))
        how = draw.randrange(8)
        if how == 0:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif how == 1:
            number = draw.choice((0, 1, 255, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1))
            data[at : at + 8] = number.to_bytes(8, "little")
        elif how == 2:
            del data[at : at + length]
        elif how == 3:
            data[at:at] = data[at : at + length] * draw.choice((1, 1, 2, 100))
        elif how == 4:
            other = draw.choice(seeds)
            start = draw.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        elif how == 5:
            data[at : at + length] = draw.randbytes(draw.randint(0, 8))
        else:
            data[at : at + draw.choice((0, 1, length))] = draw.choice(words).encode()
    return bytes(data)
