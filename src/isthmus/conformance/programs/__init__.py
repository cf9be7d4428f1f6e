"""What runs in the suite's pods: one-file programs of the standard library, passed to `python3 -c`."""
