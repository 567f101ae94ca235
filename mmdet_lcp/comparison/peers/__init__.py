"""Other packages' own pruners, whose choice of channels goes through the same runs as ours."""
