"""Members that turned on their set, and what they got."""
