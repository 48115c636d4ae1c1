"""Programs for developers: `make accuracy`, `make peers`, `make measure`."""
