"""The processes of a cluster. Each runs some of the parts that `tocsin/one_process.py` runs all of.

What differs is at the edges only: the log is Kafka, a part's neighbours are in other processes and wake it through
PostgreSQL, and each process answers for its own parts on `/readyz` and `/metrics`.
"""
