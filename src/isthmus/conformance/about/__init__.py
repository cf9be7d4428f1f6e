"""The checks of the About API (KEP-2149)."""
