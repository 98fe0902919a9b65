-- Grain: one month and licence class, as TLC's monthly report gives it.

with report as (

    select * from {{ ref('stg_tlc__monthly_report') }}

)

select
    report_month as month,
    cast(license_class as {{ sql_type('text') }}) as license_class,
    cast({{ report_service('license_class', 'report_month') }} as {{ sql_type('text') }})
        as service,
    trips_per_day,
    shared_trips_per_day,
    farebox_usd_per_day,
    cast(vehicles as bigint) as vehicles,
    cast(drivers as bigint) as drivers,
    vehicles_per_day,
    avg_days_per_vehicle,
    avg_days_per_driver,
    avg_hours_per_vehicle_day,
    avg_hours_per_driver_day,
    trips_per_day / nullif(vehicles_per_day, 0) as avg_trips_per_vehicle_day,
    avg_minutes_per_trip,
    pct_paid_by_card
from report
