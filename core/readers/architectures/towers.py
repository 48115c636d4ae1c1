"""List the towers that are supported, by the model type that a config.json gives them."""

from __future__ import annotations

from collections.abc import Callable

from core.readers.architectures import document_vision, speech, vision
from core.readers.architectures.vision import Tensors
from core.readers.fields import Fields

TOWERS: dict[str, Callable[[Fields], Tensors]] = {
    "clip_vision_model": vision.clip,
    "siglip_vision_model": vision.siglip,
    "siglip2_vision_model": vision.siglip,
    "idefics2_vision": vision.idefics3,
    "idefics3_vision": vision.idefics3,
    "smolvlm_vision": vision.idefics3,
    "pixtral": vision.pixtral,
    "qwen2_vl": vision.qwen2_vl,
    "qwen2_vl_vision": vision.qwen2_vl,
    "qwen2_5_vl": vision.qwen2_5_vl,
    "qwen2_5_vl_vision": vision.qwen2_5_vl,
    "exaone4_5_vision": vision.qwen2_5_vl,
    "qwen3_vl": vision.qwen3_vl,
    "qwen3_vl_vision": vision.qwen3_vl,
    "qwen3_vl_moe": vision.qwen3_vl,
    "qwen3_vl_moe_vision": vision.qwen3_vl,
    "qwen3_5": vision.qwen3_vl,
    "qwen3_5_vision": vision.qwen3_vl,
    "qwen3_5_moe": vision.qwen3_vl,
    "qwen3_5_moe_vision": vision.qwen3_vl,
    "glm4v_vision": vision.glm4v,
    "glm4v_moe_vision": vision.glm4v,
    "llama4_vision_model": vision.llama4,
    "internvl_vision": vision.internvit,
    "mllama_vision_model": vision.mllama,
    "gemma4_vision": vision.gemma4,
    "gemma4_audio": vision.gemma4_audio,
    "gemma4_unified_vision": vision.gemma4_unified,
    "gemma4_unified_audio": vision.no_tower,
    "qwen2_5_omni_vision_encoder": vision.qwen2_5_vl,
    "qwen2_5_omni_audio_encoder": vision.qwen2_5_omni_audio,
    "qwen3_omni_moe_vision_encoder": vision.qwen3_vl,
    "qwen3_omni_moe_audio_encoder": vision.qwen3_omni_audio,
    "glm_ocr_vision": vision.glm_ocr,
    "kimi_k25_vision": vision.moonvit,
    "moonvit": vision.moonvit,
    "kimi_k3_vision": vision.moonvit_v2,
    "phi3_v_vision": vision.phi3_vision,
    "gemma3n_vision": vision.mobilenet_v5,
    "gemma3n_audio": vision.gemma3n_audio,
    "minimax_m3_vl_vision": vision.minimax_m3,
    "step3p5_vision": vision.step3p5,
    "ernie4_5_vl_moe_vision": vision.ernie_vl,
    "intern_vit_6b": vision.internvit_original,
    "paddleocr_vl_vision": document_vision.paddleocr,
    "hunyuan_vl_vision": document_vision.hunyuan,
    "molmo2_vision": document_vision.molmo2,
    "deepseek_vl_v2_vision": document_vision.deepseek,
    "vision": document_vision.deepseek,  # what DeepSeek's own files call it
    "qwen3_asr_encoder": vision.qwen3_omni_audio,
    "qwen3_asr_audio_encoder": vision.qwen3_omni_audio,
    "voxtral_realtime_encoder": speech.voxtral_realtime,
    "voxtral_encoder": vision.whisper,
    "qwen2_audio_encoder": vision.whisper,
}
