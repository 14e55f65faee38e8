"""From a Cluster's spec to the Kubernetes objects that it stands for, as plain dicts. Pure."""
