-- Grain: one base and month of TLC's report of trips by base.

with report as (

    select * from {{ source('nyc_open_data', 'fhv_base_report') }}

),

-- rows that stand there twice, word for word, are one
bases as (

    select distinct
        base_name,
        dba,
        year,
        month,
        total_dispatched_trips,
        total_dispatched_shared_trips,
        unique_dispatched_vehicles,
        file_key,
        upper(trim(base_license_number)) as base_number
    from report

)

select
    base_number,
    base_name,
    dba,
    total_dispatched_trips as trips,
    total_dispatched_shared_trips as shared_trips,
    unique_dispatched_vehicles as vehicles,
    file_key,
    cast(
        cast(year as {{ dbt.type_string() }}) || '-'
        || lpad(cast(month as {{ dbt.type_string() }}), 2, '0') || '-01' as date
    ) as report_month
from bases
