"""Turn the fields of a config.json into a `ModelSpec`, with one module per group of model families."""
