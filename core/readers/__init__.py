"""From what people have (a config.json, a labelled range of cells, three numbers) to a `ModelSpec`."""
