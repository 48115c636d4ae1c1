def gguf_precision(precision, tensor, model, layer):
    return None
