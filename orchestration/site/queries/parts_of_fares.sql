/* What the totals of valid trips with a pickup zone consist of, in USD, by service and year. */
with years as (
    select
        service,
        cast(extract(year from source_month) as integer) as year,
        sum(fare_usd) as fare,
        sum(tip_usd) as tips,
        sum(tolls_usd) as tolls,
        coalesce(sum(extra_usd), 0) + coalesce(sum(mta_tax_usd), 0)
        + coalesce(sum(improvement_surcharge_usd), 0) as extras_and_taxes,
        coalesce(sum(congestion_surcharge_usd), 0) + coalesce(sum(cbd_congestion_fee_usd), 0) as congestion,
        sum(airport_fee_usd) as airports,
        sum(unexplained_usd) as unexplained
    from marts.monthly_zone_revenue
    group by service, cast(extract(year from source_month) as integer)
)

select service, year, 1 as place, 'fare' as part, fare as usd from years where fare is not null
union all
select service, year, 2, 'tips', tips from years where tips is not null
union all
select service, year, 3, 'tolls', tolls from years where tolls is not null
union all
select service, year, 4, 'extras and taxes', extras_and_taxes from years where fare is not null
union all
select service, year, 5, 'congestion', congestion from years where fare is not null
union all
select service, year, 6, 'airports', airports from years where airports is not null
union all
select service, year, 7, 'other fees', unexplained from years where unexplained is not null
order by service, year, place
