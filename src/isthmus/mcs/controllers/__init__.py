"""When to read and when to write, so that exported services answer across the set."""
