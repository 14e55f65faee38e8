"""What exists: read from the API server, the brokers and etcd."""
