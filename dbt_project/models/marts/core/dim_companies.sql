-- Grain: one company of high-volume records.

with companies as (

    select * from {{ ref('companies') }}

)

select
    company_id,
    cast(company as text) as company,
    cast(hvfhs_license_num as text) as hvfhs_license_num,
    first_month,
    last_month,
    cast(source as text) as source
from companies
