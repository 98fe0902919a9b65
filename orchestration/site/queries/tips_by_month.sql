/* Tips by fares of trips paid by card, by service and month; tips in cash are not recorded. */
select
    service,
    source_month as month,
    cast(sum(card_trips) as bigint) as card_trips,
    cast(sum(tipped_card_trips) as double precision) / nullif(sum(card_trips), 0) as tipped_share,
    cast(sum(card_tip_usd) as double precision) / nullif(sum(card_fare_usd), 0) as tip_share,
    cast(extract(year from source_month) * 12 + extract(month from source_month) as bigint)
        - row_number() over (partition by service order by source_month) as stretch
from marts.tip_shares
group by service, source_month
order by service, source_month
