/* Minutes, card shares and shared trips beside TLC's monthly report, by measure, service and month. */
select
    measure,
    service,
    month,
    figure,
    tlc_figure,
    diff_pct,
    tolerance_pct,
    status,
    known_divergence
from marts.report_measures
order by measure, service, month
