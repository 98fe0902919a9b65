{# trip_id: dataset code, year and month, and the row's ordinal in its file from 0, in 18 digits.
   2 202401 00000012345 is row 12345 of green 2024-01. Unique, stable across re-runs, the same on
   every engine; with the month's file_key it leads back to the raw row. Only this file knows the
   digits; int_trip_months gives the first id of each month to those who look a trip up. #}
{% macro trip_id(service) -%}
    {%- set dataset_code = {'yellow': 1, 'green': 2, 'fhv': 3, 'fhvhv': 4}[service] -%}
    cast({{ dataset_code }} as bigint) * 100000000000000000
    + cast(
        extract(year from source_month) * 100 + extract(month from source_month) as bigint
    ) * 100000000000
    + row_ordinal
{%- endmacro %}
