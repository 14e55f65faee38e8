"""The operator: Cluster, Topic and Quota resources become running brokers, topics and limits."""
