/* Our trips a day beside those of TLC's monthly report, by service and month. */
select
    service,
    month,
    trips_per_day,
    tlc_trips_per_day,
    diff_pct,
    tolerance_pct,
    status,
    known_divergence
from marts.tlc_reconciliation
order by service, month
