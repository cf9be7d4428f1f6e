"""What Isthmus claims of its speed, measured: `make bench`. Every figure stands beside a floor of the same run."""
