"""What should be true of a cluster's identity: values in, values out."""
