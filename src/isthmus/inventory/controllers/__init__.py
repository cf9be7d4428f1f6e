"""When the inventory reads and writes."""
