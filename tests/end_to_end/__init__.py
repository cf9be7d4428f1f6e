"""The command line, used as a user does."""
