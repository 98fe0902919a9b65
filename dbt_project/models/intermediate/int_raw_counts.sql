-- Grain: one service, month and file version as the read views give it.

{{ config(materialized='by_month') }}

with yellow as (

    select * from {{ ref('stg_tlc__yellow_trips') }}

),

green as (

    select * from {{ ref('stg_tlc__green_trips') }}

),

fhv as (

    select * from {{ ref('stg_tlc__fhv_trips') }}

),

fhvhv as (

    select * from {{ ref('stg_tlc__fhvhv_trips') }}

),

origins as (

    select
        service,
        source_month,
        file_key
    from yellow
    union all
    select
        service,
        source_month,
        file_key
    from green
    union all
    select
        service,
        source_month,
        file_key
    from fhv
    union all
    select
        service,
        source_month,
        file_key
    from fhvhv

)

select
    service,
    source_month,
    file_key,
    count(*) as raw_rows
from origins
group by service, source_month, file_key
