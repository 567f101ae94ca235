"""Mimic in a runner: its config, the teacher that it names, the runner of plain students."""
