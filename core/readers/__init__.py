"""Read descriptions of models (config.json, safetensors, GGUF, labelled cells, three numbers) into a `ModelSpec`."""
