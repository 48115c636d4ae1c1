"""`make bench`: how fast things are, each as a ratio to a baseline that is measured in the same run."""
