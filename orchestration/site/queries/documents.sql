/* The pages of the documents in the lake. */
select source_name, document, page, text, reason
from marts.document_pages
order by source_name, document, page
