"""The only place that changes a Headrace cluster, and only through Kafka's protocol."""

from headrace_operator.admin.clusters import Admin as Admin
