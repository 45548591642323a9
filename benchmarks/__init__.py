"""Accuracy and speed of Greenline's search beside what one would otherwise use. Run `python -m benchmarks`."""
