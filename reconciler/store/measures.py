"""The journal's metrics, under etcd's names because users' dashboards know them.

The log's write and fsync are one call into SQLite and measured as one; what etcd calls a backend commit is the
checkpoint that copies the log into the database.
"""

from prometheus_client import Gauge, Histogram

from reconciler.metrics import registry

_journal = registry.of("journal")

FSYNC = Histogram(
    "etcd_disk_wal_fsync_duration_seconds",
    "Time to write and fsync a group of commits to the log.",
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_journal,
)
CHECKPOINT = Histogram(
    "etcd_disk_backend_commit_duration_seconds",
    "Time to copy the log into the database.",
    buckets=registry.FAST_BUCKETS_SECONDS,
    registry=_journal,
)
TOTAL = Gauge("etcd_mvcc_db_total_size_in_bytes", "Size of the database file, free pages included.", registry=_journal)
IN_USE = Gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Size of the database without its free pages.", registry=_journal)
HAS_LEADER = Gauge("etcd_server_has_leader", "1 while the journal takes writes.", registry=_journal)


def sizes(total_bytes: int, in_use_bytes: int) -> None:
    TOTAL.set(total_bytes)
    IN_USE.set(in_use_bytes)
