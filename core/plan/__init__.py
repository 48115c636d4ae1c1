"""How a model is served: memory estimates, layouts, GPUs to deploy, and what they cost."""
