"""What a model is: its specification, tensors, number formats, parameters, weights and KV cache."""
