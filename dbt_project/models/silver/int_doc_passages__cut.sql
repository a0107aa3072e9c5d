{{ config(materialized='incremental', event_time='snapshot_date') }}

{% set most_tokens = 200 %}

with sections as (

    select * from {{ ref('doc_sections', where=in_window('snapshot_date', 'date')) }}
    where reason is null

),

contents as (

    select
        snapshot_date,
        source_fingerprint,
        list({
            'ordinal': ordinal,
            'heading_ordinal': heading_ordinal,
            'heading_level': heading_level,
            'heading_path': heading_path,
            'heading_ids': heading_ids,
            'kind': kind,
            'text': text,
            'byte_start': byte_start,
            'byte_end': byte_end,
            'boxes': boxes,
            'page': page,
            'start_seconds': start_seconds,
            'end_seconds': end_seconds,
            'speaker': speaker,
            'code_language': code_language,
            'encoding': encoding,
            'normalisation': normalisation,
            'parser_version': parser_version,
            'reason': reason
        } order by ordinal) as parts
    from sections
    group by snapshot_date, source_fingerprint

),

cut as (

    select
        snapshot_date,
        source_fingerprint,
        unnest({{ document_passages('source_fingerprint', 'parts', most_tokens) }}) as part
    from contents

),

final as (

    select
        cut.snapshot_date,
        cut.source_fingerprint,
        cut.part.ordinal,
        cut.part.heading_path,
        cut.part.first_section,
        cut.part.last_section,
        cut.part.text,
        cut.part.text_sha256,
        cut.part.occurrence,
        cut.part.byte_start,
        cut.part.byte_end,
        cut.part.page,
        cut.part.boxes,
        cut.part.parts,
        cut.part.start_seconds,
        cut.part.end_seconds,
        cut.part.token_count,
        cut.part.language,
        cut.part.encoding,
        cut.part.normalisation,
        cut.part.parser_version
    from cut

)

select * from final
