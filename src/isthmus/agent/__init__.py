"""`isthmus agent`: one per member, which dials out to its hub and its cluster, and listens to nobody."""
