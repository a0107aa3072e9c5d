{# What is made of stored contents by functions of Python (orchestration/dbt_documents.py), which answer for
   the version that is asked for and no other: a version is part of a model's logic, so that a
   new one makes STALE what the old one built. #}
{% macro document_sections(fingerprint, file, asset_type) %}
  {%- set parsers = 'html-1 markdown-1 pdf-1 plain-1 restructuredtext-1 transcript-1 markdown-it-py-4.3.0 pypdfium2-5.15.2 '
      'turbohtml-1.15.4' -%}
  {{ return("document_sections(" ~ fingerprint ~ ", " ~ file ~ ", " ~ asset_type ~ ", '" ~ parsers ~ "')") }}
{% endmacro %}

{% macro document_passages(fingerprint, sections, most_tokens) %}
  {%- set cutter = 'passages-1 uax29-1 py3langid-0.4.0 sentencex-1.0.32 unicode-segmentation-rs-1.0.0' -%}
  {{ return("document_passages(" ~ fingerprint ~ ", " ~ sections ~ ", " ~ most_tokens ~ ", '" ~ cutter ~ "')") }}
{% endmacro %}

{# Ordinals of the anchors of a content that do not give their text. #}
{% macro unresolved_anchors(fingerprint, anchors) %}
  {{ return("unresolved_anchors(" ~ fingerprint ~ ", " ~ anchors ~ ", 'anchors-1 pypdfium2-5.15.2')") }}
{% endmacro %}

{# Id of a passage: whose it is, what it says, and which of those of the document that say the same.
   documents, passages: names of what has the columns. #}
{% macro passage_id(documents, passages) %}
  {%- set words = "concat_ws('|', " ~ documents ~ ".collection, " ~ passages ~ ".text_sha256, cast(" ~ passages
      ~ ".occurrence as string), " ~ documents ~ ".doc_id)" -%}
  {{ return(omni.in_both("substr(sha256(" ~ words ~ "), 1, 32)", "substr(sha2(" ~ words ~ ", 256), 1, 32)")) }}
{% endmacro %}

{# Whether a retriever may have it: what its source was cleared of, or has little of; what nobody has looked for is not. #}
{% macro may_be_indexed(pii_level) %}{{ return("coalesce(" ~ pii_level ~ " in ('none', 'low'), false)") }}{% endmacro %}

{# The contents that each day of this run's window lists, each once. #}
{% macro listed_contents(listing) %}
    select distinct
        snapshot_date,
        source_fingerprint
    from {{ listing }}
    where {{ in_window('snapshot_date', 'date') }} and not is_tombstone
{% endmacro %}

{# The contents that a day lists without a row in doc_sections, of that day or an earlier one: neither sections nor a reason.
   of: the listing. #}
{% test sections_complete(model, of) %}
with listed as (
    {{ listed_contents(of) }}
)

select listed.*
from listed
left join {{ ref('doc_sections') }} as parsed
    on listed.source_fingerprint = parsed.source_fingerprint and listed.snapshot_date >= parsed.snapshot_date
where parsed.source_fingerprint is null
{% endtest %}

{# The days of whose listed contents too few have sections.
   of: the listing; at_least: the share of them that must have some. #}
{% test parse_share(model, of, at_least) %}
with listed as (
    {{ listed_contents(of) }}
),

unparsed as (
    select distinct source_fingerprint
    from {{ ref('doc_sections') }}
    where reason is not null
)

select
    listed.snapshot_date,
    count(*) as contents,
    count(unparsed.source_fingerprint) as without_sections
from listed
left join unparsed on listed.source_fingerprint = unparsed.source_fingerprint
group by listed.snapshot_date
having count(unparsed.source_fingerprint) > (1 - {{ at_least }}) * count(*)
{% endtest %}

{# The rows whose text does not stand in the stored bytes where their anchor says.
   parts: of the anchor; has_anchor: which rows have one. #}
{% test anchors_resolve(model, parts='parts', has_anchor='true') %}
with contents as (
    select
        source_fingerprint,
        list({
            'ordinal': ordinal,
            'text': text,
            'page': page,
            'encoding': encoding,
            'normalisation': normalisation,
            'parts': {{ parts }}
        } order by ordinal) as anchors
    from {{ model }}
    where {{ has_anchor }}
    group by source_fingerprint
)

select
    source_fingerprint,
    unnest({{ unresolved_anchors('source_fingerprint', 'anchors') }}) as ordinal
from contents
{% endtest %}

{# The passages of a content between which a section is missing, and the contents whose last section is in none. #}
{% test sections_all_cut(model) %}
with passages as (
    select
        source_fingerprint,
        ordinal,
        first_section,
        last_section,
        lag(last_section) over (partition by source_fingerprint order by ordinal nulls last) as section_before
    from {{ model }}
),

cut as (
    select
        source_fingerprint,
        max(last_section) as last_section
    from passages
    group by source_fingerprint
),

sections as (
    select
        source_fingerprint,
        max(ordinal) as last_section
    from {{ ref('doc_sections') }}
    where {{ in_window('snapshot_date', 'date') }} and reason is null
    group by source_fingerprint
)

select
    source_fingerprint,
    ordinal as passage
from passages
where coalesce(first_section not in (section_before, section_before + 1), first_section <> 0)
union all
select
    coalesce(sections.source_fingerprint, cut.source_fingerprint) as source_fingerprint,
    cut.last_section as passage
from sections
full outer join cut on sections.source_fingerprint = cut.source_fingerprint
where sections.last_section is null or cut.last_section is null or sections.last_section <> cut.last_section
{% endtest %}

{# Documents of now that have no row. #}
{% test documents_present(model) %}
select documents.collection, documents.doc_id
from {{ ref('knowledge_doc') }} as documents
left join {{ model }} as found
    on documents.collection = found.collection and documents.doc_id = found.doc_id
where found.doc_id is null
{% endtest %}

{# Documents of now that have passages and no sections, or sections and no passages. #}
{% test passages_follow_sections(model) %}
with parsed as (
    select distinct source_fingerprint from {{ ref('doc_sections') }} where reason is null
),

sections as (
    select documents.collection, documents.doc_id
    from {{ ref('knowledge_doc') }} as documents
    inner join parsed on documents.source_fingerprint = parsed.source_fingerprint
),

passages as (
    select distinct collection, doc_id from {{ model }}
)

select
    coalesce(sections.collection, passages.collection) as collection,
    coalesce(sections.doc_id, passages.doc_id) as doc_id
from sections
full outer join passages on sections.collection = passages.collection and sections.doc_id = passages.doc_id
where sections.doc_id is null or passages.doc_id is null
{% endtest %}
