"""Mimic: a small detector learns the features of a large one."""
