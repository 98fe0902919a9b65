/* Our trips of for-hire vehicles beside the sum of TLC's FHV Base Aggregate Report, by service and month. */
select
    service,
    month,
    trips,
    tlc_trips,
    diff_pct,
    tolerance_pct,
    status,
    known_divergence
from marts.base_reconciliation_monthly
order by service, month
