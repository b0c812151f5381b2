"""Studies: validated grids, noise keys, chunks of equal cost, zarr files."""
