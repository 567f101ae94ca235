"""The images that channels are scored on."""
