{{ config(materialized='incremental', event_time='kpi_date') }}

with events as (

    select
        *,
        cast(occurred_at as date) as kpi_date
    from {{ ref('ticket_events', where=in_window('occurred_at')) }}

),

ranked as (

    select
        *,
        row_number() over (partition by ticket_id, kpi_date order by occurred_at desc, event_id desc) as from_last,
        row_number() over (
            partition by ticket_id, kpi_date, cast(first_response_at as date)
            order by occurred_at nulls last, event_id nulls last
        ) as of_response
    from events

),

measured as (

    select
        kpi_date,
        coalesce(product_line, 'unknown') as product_line,
        coalesce(priority, 'unknown') as priority,
        coalesce(category, 'unknown') as category,
        coalesce(org_id, 'unknown') as org_id,
        case when event_type = 'created' then 1 else 0 end as is_created,
        case when event_type = 'resolved' then 1 else 0 end as is_resolved,
        case when event_type = 'reopened' then 1 else 0 end as is_reopened,
        case when event_type = 'escalated' then 1 else 0 end as is_escalated,
        case when event_type = 'created' and priority = 'P1' then 1 else 0 end as is_p1_created,
        case
            when
                from_last = 1
                and cast(sla_due_at as date) = kpi_date
                and (resolved_at is null or resolved_at > sla_due_at)
                then 1
            else 0
        end as is_sla_breach,
        case
            when event_type = 'resolved' then {{ whole_minutes('created_at', 'resolved_at') }}
        end as resolution_minutes,
        case
            when cast(first_response_at as date) = kpi_date and of_response = 1
                then {{ whole_minutes('created_at', 'first_response_at') }}
        end as first_response_minutes
    from ranked

),

final as (

    select
        kpi_date,
        product_line,
        priority,
        category,
        org_id,
        count(*) as events,
        cast(sum(is_created) as bigint) as tickets_created,
        cast(sum(is_resolved) as bigint) as tickets_resolved,
        cast(sum(is_reopened) as bigint) as tickets_reopened,
        cast(sum(is_escalated) as bigint) as tickets_escalated,
        cast(sum(is_p1_created) as bigint) as p1_created,
        cast(sum(is_sla_breach) as bigint) as sla_breaches,
        cast(coalesce(sum(resolution_minutes), 0) as bigint) as resolution_minutes_sum,
        count(resolution_minutes) as resolution_count,
        cast(coalesce(sum(first_response_minutes), 0) as bigint) as first_response_minutes_sum,
        count(first_response_minutes) as first_response_count
    from measured
    group by kpi_date, product_line, priority, category, org_id

)

select * from final
