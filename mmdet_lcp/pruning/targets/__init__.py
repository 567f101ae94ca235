"""How many channels of each group go, so that a target is met."""
