"""A long past of ended alarms, put where the desk would have put them: what lists are measured over."""

from __future__ import annotations

import psycopg

_PAST = """
    INSERT INTO alarms (key, partition, enterprise, device, kind, state, grade, peak, step, raised_step, raised_us,
                        active, latched, acked_step, acked_by, body)
    SELECT key, 0, enterprise, device, kind, 'cleared', grade, grade, 2, 1, raised_us, false, false, 1, 'officer',
           jsonb_build_object(
               'key', key, 'step', 2, 'partition', 0, 'seq', n, 'state', 'cleared',
               'subject', enterprise || '/' || device || '/' || measure, 'enterprise', enterprise, 'device', device,
               'measure', measure, 'family', measure, 'kind', kind, 'grade', grade, 'previous', grade, 'active', false,
               'latched', false, 'onset_us', raised_us - 10000000, 'event_us', raised_us + 600000000,
               'received_us', raised_us + 600000000, 'now_us', raised_us + 600000000, 'entry', n,
               'evidence', jsonb_build_object('rule', measure || '.past', 'pack', 'past', 'value', 1.0))
      FROM (SELECT n, md5('past ' || n) AS key, 'hall' AS device,
                   'past-' || lpad((n * 7919 %% %(enterprises)s)::text, 5, '0') AS enterprise,
                   (ARRAY['fire', 'gas', 'electrical', 'fault'])[1 + n %% 4] AS kind,
                   (ARRAY['smoke', 'gas', 'current', 'battery'])[1 + n %% 4] AS measure,
                   (1 + (n * 31 / 7) %% 4)::smallint AS grade, %(now_us)s - n * 30000000 AS raised_us
              FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS past
"""
_AT_ONCE = 100_000
_ENTERPRISES = 20_000


def fill(dsn: str, alarms: int, seed: int) -> None:
    """`alarms` that have ended, one every half minute back from now, spread over 20,000 enterprises."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT (extract(epoch FROM now()) * 1e6)::bigint").fetchone()
        assert row is not None
        for first in range(1 + seed, alarms + seed + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, alarms + seed)
            told = {"enterprises": _ENTERPRISES, "now_us": row[0], "first": first, "last": last}
            connection.execute(_PAST, told)
        connection.execute("VACUUM ANALYZE alarms")
