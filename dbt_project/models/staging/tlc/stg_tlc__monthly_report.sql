-- Grain: one month and licence class of TLC's monthly report.

with report as (

    select * from {{ source('tlc', 'monthly_report') }}

)

select
    cast({{ text_to_timestamp("month_year || '-01 00:00:00'") }} as date) as report_month,
    license_class,
    -- 1,234 and 75% are numbers; a dash stands for none
    {{ text_to_number('trips_per_day') }} as trips_per_day,
    {{ text_to_number('farebox_per_day') }} as farebox_usd_per_day,
    {{ text_to_number('avg_minutes_per_trip') }} as avg_minutes_per_trip,
    {{ text_to_number('percent_of_trips_paid_with_credit_card') }} as pct_paid_by_card
from report
