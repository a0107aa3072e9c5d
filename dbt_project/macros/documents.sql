{# Versions of documents from their listings: one row per (collection, doc_id) and change.
   A replace listing that lacks a document listed before deletes it as of that day; a tombstone deletes; a merge listing
   leaves absent documents as they are; a listing that says the same of the same bytes adds no version; a document may
   reappear. #}
{% macro document_versions(listings) %}
with replace_days as (

    select distinct
        collection,
        snapshot_date
    from {{ listings }}
    where disposition = 'replace'

),

documents as (

    select
        collection,
        doc_id,
        min(snapshot_date) as first_listed
    from {{ listings }}
    group by collection, doc_id

),

absences as (

    select
        documents.collection,
        documents.doc_id,
        replace_days.snapshot_date
    from documents
    inner join replace_days
        on
            documents.collection = replace_days.collection
            and documents.first_listed < replace_days.snapshot_date
    left join {{ listings }} as listed
        on
            documents.collection = listed.collection
            and documents.doc_id = listed.doc_id
            and replace_days.snapshot_date = listed.snapshot_date
    where listed.doc_id is null

),

observations as (

    select
        collection,
        doc_id,
        snapshot_date,
        is_tombstone as is_deleted,
        case when not is_tombstone then source_fingerprint end as source_fingerprint,
        case when not is_tombstone then raw_object_path end as raw_object_path,
        title,
        language,
        doc_version,
        product_line,
        license_tag,
        pii_level,
        owner
    from {{ listings }}
    union all
    select
        collection,
        doc_id,
        snapshot_date,
        true as is_deleted,
        cast(null as string) as source_fingerprint,
        cast(null as string) as raw_object_path,
        cast(null as string) as title,
        cast(null as string) as language,
        cast(null as string) as doc_version,
        cast(null as string) as product_line,
        cast(null as string) as license_tag,
        cast(null as string) as pii_level,
        cast(null as string) as owner
    from absences

),

states as (

    select
        *,
        case
            when is_deleted then 'deleted'
            else concat_ws(
                '|',
                source_fingerprint,
                coalesce(title, ''),
                coalesce(language, ''),
                coalesce(doc_version, ''),
                coalesce(product_line, ''),
                coalesce(license_tag, ''),
                coalesce(pii_level, ''),
                coalesce(owner, '')
            )
        end as state
    from observations

),

compared as (

    select
        *,
        coalesce(lag(state) over (partition by collection, doc_id order by snapshot_date nulls last), 'deleted') as state_before
    from states

),

changes as (

    select
        *,
        cast(
            row_number() over (partition by collection, doc_id order by snapshot_date nulls last) as bigint
        ) as version_number,
        lag(source_fingerprint) over (partition by collection, doc_id order by snapshot_date nulls last) as previous_fingerprint,
        lead(snapshot_date) over (partition by collection, doc_id order by snapshot_date nulls last) as valid_to
    from compared
    where state <> state_before

)

select
    collection,
    doc_id,
    version_number,
    snapshot_date as valid_from,
    valid_to,
    valid_to is null as is_current,
    is_deleted,
    source_fingerprint,
    previous_fingerprint,
    raw_object_path,
    title,
    language,
    doc_version,
    product_line,
    license_tag,
    pii_level,
    owner
from changes
{% endmacro %}
