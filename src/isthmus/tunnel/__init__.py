"""`isthmus tunnel`: leads consumers to the API servers of members that accept no connections from outside."""
