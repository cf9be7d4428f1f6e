"""What Prometheus and Grafana are told to make of the metrics of agents, hub and DNS servers."""
