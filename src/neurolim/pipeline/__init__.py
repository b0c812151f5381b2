"""From a study to its results: digests, chunks, dataset, statistics, tables, figures."""
