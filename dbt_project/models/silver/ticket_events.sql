{{ config(materialized='incremental', event_time='occurred_at') }}

with source as (

    select * from {{ source('bronze', 'raw_ticket_events', where=in_window('occurred_at')) }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by event_id, cast(occurred_at as date)
            order by batch_id desc, source_file desc, source_line desc
        ) as recency
    from source

),

final as (

    select
        event_id,
        ticket_id,
        event_type,
        occurred_at,
        customer_id,
        org_id,
        status,
        priority,
        category,
        product_line,
        product_version,
        subject,
        description,
        error_codes,
        asset_ids,
        assignee_id,
        sla_tier,
        sla_due_at,
        created_at,
        updated_at,
        resolved_at,
        first_response_at,
        pii_level,
        pii_redacted,
        tags,
        source_id,
        manifest_id,
        batch_id,
        run_id
    from ranked
    where recency = 1

)

select * from final
