{# The column or row of the grid over the shapes of the zones in which a longitude or latitude lies:
   CELLS_PER_DEGREE of ingestion/sources/tlc/shapes/reader.py is this number. Null for what is no place on
   earth: it could not be cast. #}
{% macro grid_cell(degrees) -%}
    case when {{ degrees }} between -180 and 180 then cast(floor({{ degrees }} * 1000) as integer) end
{%- endmacro %}
