"""Several runs of compression, one after the other, in one config."""
