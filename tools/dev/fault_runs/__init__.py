"""What tools/dev/faults.py is made of."""
