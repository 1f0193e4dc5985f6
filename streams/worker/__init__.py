"""A cluster's worker: a Faust app that brings the log's partitions to those who judge them, and takes them away again.

Only here is Faust imported. What runs for a partition is handed in (`life.PartitionLife`).
"""
