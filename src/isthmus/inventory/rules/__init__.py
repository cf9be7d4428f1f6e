"""What should be true of members and their profiles; pure."""
