-- Grain: one month and licence class of TLC's monthly report.

with report as (

    select * from {{ source('tlc', 'monthly_report') }}

)

-- rows that stand there twice, word for word, are one; blank rows are none
select distinct
    cast({{ text_to_timestamp("month_year || '-01 00:00:00'") }} as date) as report_month,
    {{ text_without_blanks('license_class') }} as license_class,
    -- 1,234 and 75% are numbers; a dash stands for none
    {{ number_without_blanks('trips_per_day') }} as trips_per_day,
    {{ number_without_blanks('trips_per_day_shared') }} as shared_trips_per_day,
    {{ number_without_blanks('farebox_per_day') }} as farebox_usd_per_day,
    {{ number_without_blanks('unique_vehicles') }} as vehicles,
    {{ number_without_blanks('unique_drivers') }} as drivers,
    {{ number_without_blanks('vehicles_per_day') }} as vehicles_per_day,
    {{ number_without_blanks('avg_days_vehicles_on_road') }} as avg_days_per_vehicle,
    {{ number_without_blanks('avg_days_drivers_on_road') }} as avg_days_per_driver,
    {{ number_without_blanks('avg_hours_per_day_per_vehicle') }} as avg_hours_per_vehicle_day,
    {{ number_without_blanks('avg_hours_per_day_per_driver') }} as avg_hours_per_driver_day,
    -- of FHV to 2017-05, and of some yellow months, it says 0.0: dropoffs were not known
    nullif({{ number_without_blanks('avg_minutes_per_trip') }}, 0) as avg_minutes_per_trip,
    {{ number_without_blanks('percent_of_trips_paid_with_credit_card') }} as pct_paid_by_card
from report
where {{ text_without_blanks("coalesce(month_year, '') || coalesce(license_class, '')") }} <> ''
