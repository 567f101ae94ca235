"""The results of a comparison: cells, tables, pictures."""
