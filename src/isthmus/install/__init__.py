"""What is installed on hub and members beside processes: roles and policies, as manifests."""
