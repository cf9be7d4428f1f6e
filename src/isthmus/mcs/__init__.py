"""The room of the Multi-Cluster Services API (KEP-1645): services that live in several clusters."""
