"""Real processes under load, and what is done to them."""
