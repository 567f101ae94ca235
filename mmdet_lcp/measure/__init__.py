"""What a detector costs and what it finds: counts, latency, metrics, the machine."""
