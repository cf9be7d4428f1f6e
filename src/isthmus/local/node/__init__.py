"""One node of an embedded cluster: pods as processes of this machine, and the kubelet API."""
