"""What `device_table.py` does, a file a table."""
