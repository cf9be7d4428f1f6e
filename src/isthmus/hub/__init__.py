"""`isthmus hub`: judges the members' health, and keeps the set's own things on the hub."""
