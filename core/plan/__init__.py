"""Plan how a model is served: memory, layouts, the GPUs to deploy, and their costs."""
