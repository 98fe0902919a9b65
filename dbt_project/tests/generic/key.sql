{#
  A row of the result is a key that stands in more than one row, or in a row without one of the values in `not_null`.
  One test a model asks for both, because each test costs time.
#}
{% test key(model, columns, not_null=[]) %}
select
    {{ columns | join(', ') }},
    count(*) as occurrences
from {{ model }}
group by {{ columns | join(', ') }}
having
    count(*) > 1
    {%- for column in not_null %}
    or count({{ column }}) < count(*)
    {%- endfor %}
{% endtest %}
