-- Grain: one service, month, file version, dispatching base and company: what TLC's reports count.

{{ config(materialized='by_month', built_from='fct_trips') }}

with trips as (

    select * from {{ ref('fct_trips') }}
    -- TLC counts the rows whose pickup lies in the month, whatever else is wrong with them
    where coalesce(invalid_reason, '') not in ('missing_pickup_time', 'pickup_outside_month')

)

select
    service,
    source_month,
    file_key,
    dispatching_base_num,
    company_id,
    count(*) as trips,
    count(case when shared_match_flag = 'Y' or shared_ride_flag = 1 then 1 end) as shared_trips,
    count({{ timed('trip_seconds') }}) as timed_trips,
    cast(coalesce(sum({{ timed('trip_seconds') }}), 0) as bigint) as timed_seconds,
    count(case when payment_type_id = 1 then 1 end) as card_trips,
    -- 0 stands for Flex Fare trips, of which the files do not say how they were paid
    count(case when coalesce(payment_type_id, 0) = 0 then 1 end) as payment_unknown_trips
from trips
group by service, source_month, file_key, dispatching_base_num, company_id
