"""The same requests to both API servers."""
