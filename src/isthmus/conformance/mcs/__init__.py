"""The checks of the Multi-Cluster Services API (KEP-1645): upstream's 28, and effects of our own."""
