"""What an answer of Headrace may differ in from Kafka's, each with its reason.

Everything else that differs is a failure of `make compat`.
"""

from e2e.compat.differential.allowance import Allowance, How

ADDRESS = "each broker has its own address"
CLOCK = "taken from the clock or the disk at that moment"
METADATA_LOG = "Kafka's metadata log is not our metadata store: its offsets and nodes differ"

ALLOWED = [
    Allowance(path="throttle_time", why="no quotas yet, and Kafka may throttle when it is busy"),
    Allowance(path="*error_message", how=How.IN_WORDING, why="sentences for people are our own"),
    Allowance(path="cluster_id", why="drawn when a cluster is made"),
    Allowance(path="*port", why=ADDRESS),
    Allowance(path="*host", why=ADDRESS),
    Allowance(api="describe_log_dirs", path="*log_dir", why="each broker has its own folder"),
    Allowance(api="describe_log_dirs", path="*usable_bytes", why=CLOCK),
    Allowance(api="describe_log_dirs", path="*total_bytes", why=CLOCK),
    Allowance(api="api_versions", path="finalized_features_epoch", why=METADATA_LOG),
    Allowance(api="describe_quorum", path="topics*log_end_offset", why=METADATA_LOG),
    Allowance(api="describe_quorum", path="topics*high_watermark", why=METADATA_LOG),
    Allowance(api="describe_quorum", path="topics*_timestamp", why=CLOCK),
]
