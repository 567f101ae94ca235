"""Configs: reading them, the keys that may stand in them, and what two runs differ in."""
