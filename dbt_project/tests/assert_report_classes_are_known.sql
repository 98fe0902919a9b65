-- A row here is a licence class of TLC's report that stands for none of the services: its figures
-- are compared with nothing. TLC has renamed it or has a new one: name it in tlc_reconciliation.
-- depends_on: {{ ref('tlc_reconciliation') }}

with report as (

    select * from {{ ref('stg_tlc__monthly_report') }}

)

select
    license_class,
    min(report_month) as first_month,
    max(report_month) as last_month,
    count(*) as months
from report
where
    lower(license_class) not in ('yellow', 'green')
    and lower(license_class) not like 'fhv%'
group by license_class
