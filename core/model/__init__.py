"""Describe a model: its specification, tensors, number formats, parameters, weights and KV cache."""
