{{ config(materialized='incremental', event_time='snapshot_date') }}

with listings as (

    select * from {{ ref('int_doc_assets__listed', where=up_to_window('snapshot_date', 'date')) }}

),

passages as (

    select * from {{ ref('int_doc_passages__cut', where=up_to_window('snapshot_date', 'date')) }}

),

versions as (

    {{ document_versions('listings') }}

),

compared as (

    select
        valid_from as snapshot_date,
        collection,
        doc_id,
        source_fingerprint,
        previous_fingerprint,
        {{ may_be_indexed('pii_level') }} as is_allowed,
        {{ may_be_indexed('lag(pii_level) over (partition by collection, doc_id order by version_number nulls last)') }}
            as was_allowed
    from versions

),

changes as (

    select * from compared
    where {{ in_window('snapshot_date', 'date') }}

),

passages_now as (

    select
        changes.snapshot_date,
        changes.collection,
        changes.doc_id,
        {{ passage_id('changes', 'passages') }} as passage_id,
        passages.source_fingerprint,
        passages.ordinal,
        passages.heading_path,
        passages.text,
        passages.token_count,
        passages.language
    from changes
    inner join passages on changes.source_fingerprint = passages.source_fingerprint
    where changes.is_allowed

),

passages_before as (

    select
        changes.snapshot_date,
        changes.collection,
        changes.doc_id,
        {{ passage_id('changes', 'passages') }} as passage_id
    from changes
    inner join passages on changes.previous_fingerprint = passages.source_fingerprint
    where changes.was_allowed

),

-- Of the documents of a collection that end on a day, the first with the bytes of one that begins.
ended as (

    select
        snapshot_date,
        collection,
        previous_fingerprint as source_fingerprint,
        min(doc_id) as doc_id
    from changes
    where source_fingerprint is null and was_allowed
    group by snapshot_date, collection, previous_fingerprint

),

begun as (

    select
        snapshot_date,
        collection,
        doc_id,
        source_fingerprint
    from changes
    where previous_fingerprint is null

),

moves as (

    select
        begun.snapshot_date,
        begun.collection,
        begun.doc_id,
        ended.doc_id as moved_from
    from begun
    inner join ended
        on
            begun.snapshot_date = ended.snapshot_date
            and begun.collection = ended.collection
            and begun.source_fingerprint = ended.source_fingerprint

),

final as (

    select
        coalesce(passages_now.snapshot_date, passages_before.snapshot_date) as snapshot_date,
        coalesce(passages_now.passage_id, passages_before.passage_id) as passage_id,
        coalesce(passages_now.collection, passages_before.collection) as collection,
        coalesce(passages_now.doc_id, passages_before.doc_id) as doc_id,
        case when passages_now.passage_id is null then 'forget' else 'embed' end as change_type,
        passages_now.source_fingerprint,
        passages_now.ordinal,
        passages_now.heading_path,
        passages_now.text,
        passages_now.token_count,
        passages_now.language,
        moves.moved_from
    from passages_now
    full outer join passages_before
        on
            passages_now.snapshot_date = passages_before.snapshot_date
            and passages_now.passage_id = passages_before.passage_id
    left join moves
        on
            passages_now.snapshot_date = moves.snapshot_date
            and passages_now.collection = moves.collection
            and passages_now.doc_id = moves.doc_id
    where passages_now.passage_id is null or passages_before.passage_id is null

)

select * from final
