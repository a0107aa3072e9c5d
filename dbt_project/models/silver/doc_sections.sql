{{ config(materialized='incremental', event_time='snapshot_date') }}

with listings as (

    select
        snapshot_date,
        source_fingerprint,
        source_file,
        asset_type,
        row_number() over (
            partition by source_fingerprint
            order by snapshot_date nulls last, source_file nulls last, asset_type nulls last
        ) as listing
    from {{ ref('int_doc_assets__listed', where=up_to_window('snapshot_date', 'date')) }}
    where not is_tombstone

),

-- Each content on the first day that lists it, by the first of its names.
contents as (

    select
        snapshot_date,
        source_fingerprint,
        source_file,
        asset_type
    from listings
    where listing = 1 and {{ in_window('snapshot_date', 'date') }}

),

parsed as (

    select
        snapshot_date,
        source_fingerprint,
        unnest({{ document_sections('source_fingerprint', 'source_file', 'asset_type') }}) as part
    from contents

),

final as (

    select
        parsed.snapshot_date,
        parsed.source_fingerprint,
        parsed.part.ordinal,
        parsed.part.heading_ordinal,
        parsed.part.heading_level,
        parsed.part.heading_path,
        parsed.part.heading_ids,
        parsed.part.kind,
        parsed.part.text,
        parsed.part.byte_start,
        parsed.part.byte_end,
        parsed.part.page,
        parsed.part.boxes,
        parsed.part.start_seconds,
        parsed.part.end_seconds,
        parsed.part.speaker,
        parsed.part.code_language,
        parsed.part.encoding,
        parsed.part.normalisation,
        parsed.part.parser_version,
        parsed.part.reason
    from parsed

)

select * from final
