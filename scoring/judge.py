"""Judge a batch: each reading's fate, filters, signals, lives of rules; `docs/reference/detection.md`, line by line.

A quiet sensor, one without timers whose signals all lie within its plan's quiet bands, costs its one cache line and no
look at a rule. Rules are looked at one by one only for the others.
"""

from __future__ import annotations

import math
from typing import Any

from schemas.readings import Origin, Quality
from schemas.rules import Signal
from scoring.compiled import kernel
from scoring.keeping import keep
from scoring.layout import (
    AGE_ABLE,
    AGE_MASK,
    BACKFILL,
    BACKFILL_ENDS,
    BASE_AT,
    CHANGED,
    CHUNK_BITS,
    CLOCK,
    CONFLICTING,
    DEVICE_SILENT,
    DUPLICATE,
    FAULTS_AT,
    FROZEN,
    GAPS_AT,
    HEARD,
    JUDGED,
    LATE,
    MALFORMED,
    N_ABLE,
    N_BITS,
    NONE,
    RANGE_AT,
    RATE_AT,
    SAME_ABLE,
    SAME_AT,
    SMOKE_AT,
    UNKNOWN,
    Memory,
)
from scoring.lives import (
    ABOVE,
    BASELINE,
    CLOCK_ROW,
    MOST_STEPS,
    RANGE,
    RATE,
    RATED,
    STUCK,
    VALUE,
    complete,
    is_loud,
    live,
    signal_of,
    tell,
    tier0_holds,
    used_of,
)
from scoring.prefetch import prefetch
from scoring.watches import f32, f64, i64, open_watch, settle, u32

AHEAD = 12
"""Readings between the request of a record and its use: about the time of one miss."""
LATE_US = 300_000_000
STEADY_US = 10_000_000
GAP_LEAST_S = 60.0
FAST_S, SLOW_S = 5.0, 30.0
SMOKE_SLEW = 0.2
SMOKE_FREEZE = 1.0
SMOKE_WEEK_S = 604_800.0
SMOKE_CLEAN = f32(0.1)
Z_HOUR_S = 3_600.0
Z_REACH = 3.0
SCORE_HALF = 36.0
FAULTS_MOST = 255
LONGEST_S = 1e9

Z = int(Signal.Z)
OUT_OF_RANGE, CLOCK_QUALITY = int(Quality.OUT_OF_RANGE), int(Quality.CLOCK)
LIVE, REPLAY_END = int(Origin.LIVE), int(Origin.REPLAY_END)


@kernel
def judge(
    m: Memory,
    numbers: Any,
    times: Any,
    arrivals: Any,
    values: Any,
    qualities: Any,
    origins: Any,
    slots: Any,
    begin: Any,
    now: Any,
    out: Any,
    scores: Any,
) -> tuple[int, int]:
    """Judge readings `begin` … in order, while `out` has room; returns (next reading, transitions written).

    m: Memory.  numbers … origins: the columns of a batch, (n,).  slots: (n,) int32, NONE where unknown.  now: µs.
    out: TRANSITION records, overwritten from 0.  scores: (n,) float64 to fill, or of length 0.  `m` is changed.
    """
    n_readings = len(numbers)
    head = m.head
    wanted = len(scores) > 0
    k = i64(0)
    for i in range(n_readings):
        if i >= AHEAD:
            break
        if begin + i < n_readings and slots[begin + i] != NONE:
            prefetch(m.sensors, slots[begin + i])
    for i in range(begin, n_readings):
        ahead = i + AHEAD
        if ahead < n_readings and slots[ahead] != NONE:
            prefetch(m.sensors, slots[ahead])
        slot = i64(slots[i])
        if wanted:
            scores[i] = math.nan
        if slot == NONE:
            head[UNKNOWN] += 1
            continue
        value = values[i]
        if not math.isfinite(value):
            head[MALFORMED] += 1
            continue
        r = m.sensors[slot]
        plan = m.plans[r["plan"]]
        rules = i64(plan["rules"])
        if k + rules + MOST_STEPS > len(out):
            return i, k
        t = times[i]
        arrival = arrivals[i]
        origin = origins[i]
        chunk = slot >> CHUNK_BITS
        if m.dirty[chunk] & FROZEN:
            keep(m, slot)
        m.dirty[chunk] |= CHANGED

        # Last heard, whatever becomes of the reading.
        r["arrival"] = max(r["arrival"], arrival)
        age = i64(r["age"])
        if age & DEVICE_SILENT:
            k = tell(out, k, slot, i, i64(NONE), i64(HEARD), arrival, arrival)
        if arrival < now:  # before the tick up to which the device's due time was worked out
            m.due[m.cold[slot]["device"]] = 0

        # Its fate.
        flags = i64(r["flags"])
        n = flags & ((1 << N_BITS) - 1)
        newest = r["newest"]
        number = i64(r["watch"])
        x = min(max(value, plan["x_low"]), plan["x_high"])
        x32 = f32(x)
        lag = arrival - t
        ends = origin == REPLAY_END
        by_arrival = (flags >> BASE_AT) & 1
        wrong = False
        judged = True
        if n > 0 and t == newest:
            head[DUPLICATE] += 1
            if x32 != r["last"]:
                head[CONFLICTING] += 1
            judged = False
        else:
            if lag > LATE_US and origin == LIVE:
                if number == NONE:
                    number = open_watch(m, slot, rules)
                w = m.watches[number]
                steady = (
                    w["row"] > 0
                    and abs(lag - w["lag"]) <= STEADY_US
                    and 2 * (arrival - w["lag_arrival"]) >= t - (w["lag_arrival"] - w["lag"])
                )
                w["row"] = min(w["row"] + 1, 3) if steady else 1
                w["lag"] = lag
                w["lag_arrival"] = arrival
                wrong = w["row"] >= 3
            elif number != NONE:
                m.watches[number]["row"] = 0
            if wrong:
                t = arrival
            elif n > 0 and t < newest:
                head[LATE] += 1
                judged = False
        if not judged:
            if number != NONE:
                w = m.watches[number]
                if ends and w["open"]:
                    w["open"] = 0
                    k = tell(out, k, slot, i, i64(NONE), i64(BACKFILL_ENDS), t, arrival)
                settle(m, number)
            continue

        late = not wrong and lag > LATE_US
        changed = n > 0 and i64(wrong) != by_arrival
        dt = i64(0)
        if n > 0 and not changed:
            dt = max(t - newest, i64(0))
        head[JUDGED] += 1
        if late:
            head[BACKFILL] += 1
            if number == NONE:
                number = open_watch(m, slot, rules)
            m.watches[number]["open"] = 1
            m.watches[number]["backfill_now"] = now
        elif number != NONE and m.watches[number]["open"]:
            m.watches[number]["open"] = 0
            k = tell(out, k, slot, i, i64(NONE), i64(BACKFILL_ENDS), t, arrival)

        # Faults that are counted.
        faults = (flags >> FAULTS_AT) & FAULTS_MOST
        if wrong or qualities[i] == CLOCK_QUALITY:
            head[CLOCK] += 1
            faults = min(faults + 1, FAULTS_MOST)
        else:
            faults = 0
        outside = (((flags >> RANGE_AT) & 15) << 1) | i64(qualities[i] == OUT_OF_RANGE)
        same = (flags >> SAME_AT) & 127
        if n > 0 and not changed and x32 == r["last"]:
            same = min(same + 1, SAME_ABLE)
        else:
            r["last"] = x32
            r["same_since"] = t
            same = 1

        # Filters.
        learned = f64(r["period"])
        period = plan["declared_period"]
        if period == 0.0:
            period = min(learned, LONGEST_S) if learned > 0.0 else plan["usual_period"]
        gap_s = max(GAP_LEAST_S, 2.5 * period)
        dt_s = dt / 1e6
        d_s = min(dt_s, gap_s)
        signals = plan["signals"]
        rate = math.nan
        above = math.nan
        base = math.nan
        rate_samples = (flags >> RATE_AT) & 3
        smoke_samples = (flags >> SMOKE_AT) & 3
        if signals & (1 << RATE):
            if rate_samples == 0 or dt_s > gap_s or changed:
                fast = x32
                slow = x32
                rate_samples = 1
            else:
                fast = m.extra[slot, 0] if plan["is_smoke"] else r["a"]
                slow = m.extra[slot, 1] if plan["is_smoke"] else r["b"]
                fast = f32(f64(fast) + dt_s / (FAST_S + dt_s) * (x - f64(fast)))
                slow = f32(f64(slow) + dt_s / (SLOW_S + dt_s) * (x - f64(slow)))
                rate_samples = min(rate_samples + 1, 3)
            if plan["is_smoke"]:
                m.extra[slot, 0] = fast
                m.extra[slot, 1] = slow
            else:
                r["a"] = fast
                r["b"] = slow
            if rate_samples >= 3:
                rate = 60.0 * (f64(fast) - f64(slow)) / 25.0
        if signals & ((1 << ABOVE) | (1 << BASELINE)):
            dec32 = SMOKE_CLEAN
            base32 = SMOKE_CLEAN
            if smoke_samples > 0:
                dec32 = r["a"] if plan["is_smoke"] else m.extra[slot, 0]
                base32 = r["b"] if plan["is_smoke"] else m.extra[slot, 1]
            reach = SMOKE_SLEW * d_s
            dec = f64(dec32)
            dec32 = f32(dec + max(-reach, min(reach, x - dec)))
            base = f64(base32)
            if f64(dec32) - base <= SMOKE_FREEZE:
                base32 = f32(base + (x - base) * d_s / (SMOKE_WEEK_S + d_s))
            if plan["is_smoke"]:
                r["a"] = dec32
                r["b"] = base32
            else:
                m.extra[slot, 0] = dec32
                m.extra[slot, 1] = base32
            smoke_samples = min(smoke_samples + 1, 2)
            base = f64(base32)
            above = f64(dec32) - base
            if smoke_samples < 2:
                base = math.nan
                above = math.nan

        # Robust z.
        seen = min((age & AGE_MASK) + dt, AGE_ABLE)
        z = math.nan
        mean = 0.0
        var = 0.0
        sigma = 0.0
        if not plan["is_flag"]:
            if n == 0:
                mean = f64(x32)
                var = f64(f32(plan["prior"] * plan["prior"]))
            else:
                mean = f64(r["mean"])
                var = f64(r["var"])
            if n >= N_ABLE:
                floor = max(plan["resolution"] / 2.0, plan["prior"] / 4.0, 1e-6 * (1.0 + abs(mean)))
                sigma = max(math.sqrt(var), floor)
                if seen >= AGE_ABLE:
                    z = (x - mean) / sigma
                    if wanted:
                        scores[i] = z * z / (z * z + SCORE_HALF)

        # Rules.
        rated = x / plan["rated"] if plan["rated"] > 0.0 else math.nan
        in_range = f64(
            (outside & 1) + ((outside >> 1) & 1) + ((outside >> 2) & 1) + ((outside >> 3) & 1) + ((outside >> 4) & 1)
        )
        stuck = (t - r["same_since"]) / 1e6 if same >= SAME_ABLE else 0.0
        frozen = False
        if number == NONE and rules > 0:
            loud = is_loud(plan, i64(VALUE), x) or is_loud(plan, i64(Z), abs(z))
            loud = loud or is_loud(plan, i64(STUCK), stuck) or is_loud(plan, i64(RANGE), in_range)
            loud = loud or is_loud(plan, i64(CLOCK_ROW), f64(faults)) or is_loud(plan, i64(RATED), rated)
            loud = loud or (is_loud(plan, i64(RATE), rate) and x >= plan["rate_floor"])
            loud = loud or is_loud(plan, i64(ABOVE), above) or is_loud(plan, i64(BASELINE), base)
            if loud:
                number = open_watch(m, slot, rules)
        if number != NONE:
            m.watches[number]["arrival"] = arrival
            before = k
            gap = i64(2.5 * period * 1e6)
            for j in range(rules):
                signal = m.rules[plan["rules_at"] + j]["signal"]
                s = signal_of(signal, x, rated, rate, above, base, in_range, stuck, f64(faults), z)
                if not math.isnan(s):
                    reached = used_of(plan, x, mean, base) if signal == Z else x
                    k = live(m, number, i, t, dt, gap, reached, s, z, arrival, out, k, j)
            if k > before:
                complete(m, number, out, before, k)
            frozen = tier0_holds(m, number)

        # Learning.
        if not plan["is_flag"]:
            if not frozen:
                e = x - mean
                alpha = d_s / (Z_HOUR_S + d_s)
                if n < N_ABLE:
                    alpha = max(alpha, 1.0 / (n + 1))
                else:
                    e = max(-Z_REACH * sigma, min(Z_REACH * sigma, e))
                mean = mean + alpha * e
                var = var + alpha * (e * e - var)
            r["mean"] = f32(mean)
            r["var"] = f32(var)
        gaps = (flags >> GAPS_AT) & 3
        if dt > 0 and not plan["on_change"]:
            if learned > 0.0:
                r["period"] = f32(learned + (min(dt_s, 4.0 * learned) - learned) / 8.0)
            else:
                r["period"] = f32(dt_s)
            gaps = min(gaps + 1, 3)
        r["newest"] = t if n == 0 or changed else max(newest, t)
        r["age"] = u32((age & DEVICE_SILENT) | seen)
        r["flags"] = u32(
            min(n + 1, N_ABLE)
            | (same << SAME_AT)
            | (outside << RANGE_AT)
            | (gaps << GAPS_AT)
            | (rate_samples << RATE_AT)
            | (smoke_samples << SMOKE_AT)
            | (i64(wrong) << BASE_AT)
            | (faults << FAULTS_AT)
        )
        if number != NONE:
            if ends and m.watches[number]["open"]:
                m.watches[number]["open"] = 0
                k = tell(out, k, slot, i, i64(NONE), i64(BACKFILL_ENDS), t, arrival)
            settle(m, number)
    return n_readings, k
