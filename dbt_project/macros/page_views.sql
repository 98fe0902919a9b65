{# The read views of the text of documents, as (dataset of the documents, relation): those of all
   sources that are landed, but for the dataset whose staging model is read by its name. #}
{% macro page_views(but_for) %}
    {%- set given = [] -%}
    {%- for dataset, view in read_views(by_month=false) if dataset.endswith('_pages') -%}
        {%- set columns = adapter.get_columns_in_relation(view) | map(attribute='name') | list -%}
        {%- set documents = dataset[:-6] -%}
        {# a dataset of any source may be called so #}
        {%- if documents != but_for and 'document_id' in columns and 'extractor' in columns -%}
            {%- do given.append((documents, view)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(given) }}
{% endmacro %}
