"""The room of the About API (KEP-2149): who a cluster is."""
