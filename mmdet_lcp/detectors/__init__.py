"""What is read off mmdet's detectors while they run: feature maps, calls, regions."""
