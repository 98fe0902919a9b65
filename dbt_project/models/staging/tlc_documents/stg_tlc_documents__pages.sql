-- Grain: one page of the current version of a document; a document without text has page 0.

with pages as (

    select * from {{ source('tlc_documents', 'tlc_documents_pages') }}

)

select
    document,
    document_id,
    media_type,
    extractor,
    cast(page as integer) as page,
    text as page_text,
    reason,
    file_key
from pages
