-- Grain: one page of the current version of a document; a document without text has page 0.

{{ config(materialized='by_content', post_hook='{{ index_text(this, "text") }}') }}

with tlc_pages as (

    select * from {{ ref('stg_tlc_documents__pages') }}

),

pages as (

    select
        'tlc_documents' as source_name,
        'tlc_documents' as dataset,
        document,
        document_id,
        media_type,
        extractor,
        page,
        page_text,
        reason,
        file_key
    from tlc_pages
    {%- for dataset, view in page_views(but_for='tlc_documents') %}
    union all
    select
        '{{ view.schema }}' as source_name,
        '{{ dataset }}' as dataset,
        document,
        document_id,
        media_type,
        extractor,
        cast(page as integer) as page,
        text as page_text,
        reason,
        file_key
    from {{ view }}
    {%- endfor %}

)

select
    cast(source_name as {{ sql_type('text') }}) as source_name,
    cast(dataset as {{ sql_type('text') }}) as dataset, -- noqa: RF04
    cast(document as {{ sql_type('text') }}) as document, -- noqa: RF04
    cast(document_id as {{ sql_type('text') }}) as version, -- noqa: RF04
    cast(media_type as {{ sql_type('text') }}) as media_type,
    cast(extractor as {{ sql_type('text') }}) as extractor,
    page,
    cast(page_text as {{ sql_type('text') }}) as text, -- noqa: RF04
    cast(reason as {{ sql_type('text') }}) as reason,
    file_key
from pages
