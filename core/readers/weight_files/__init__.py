"""Headers of safetensors and GGUF files: names, shapes and types of tensors, never their values."""
