"""`isthmus dns`: answers the cluster set's zone in one cluster, from that cluster's own objects."""
