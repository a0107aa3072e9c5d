{{ config(materialized='incremental', event_time='kpi_date') }}

with events as (

    select
        ticket_id,
        event_id,
        occurred_at,
        cast(occurred_at as date) as kpi_date,
        coalesce(product_line, 'unknown') as product_line,
        case when status not in ('resolved', 'closed') then 1 else 0 end as is_open
    from {{ ref('ticket_events') }}
    where {{ up_to_window('occurred_at') }}

),

transitions as (

    select
        kpi_date,
        product_line,
        is_open,
        lag(product_line) over (partition by ticket_id order by occurred_at, event_id) as product_line_before,
        lag(is_open) over (partition by ticket_id order by occurred_at, event_id) as is_open_before
    from events

),

changes as (

    select
        kpi_date,
        product_line,
        is_open as change
    from transitions
    union all
    select
        kpi_date,
        product_line_before as product_line,
        -is_open_before as change
    from transitions
    where product_line_before is not null

),

daily_changes as (

    select
        kpi_date,
        product_line,
        sum(change) as change
    from changes
    group by kpi_date, product_line

),

product_lines as (

    select
        product_line,
        min(kpi_date) as first_date
    from daily_changes
    group by product_line

),

bounds as (

    select
        min(kpi_date) as first_date,
        {% if window().hi %}date '{{ window().hi }}' - interval 1 day{% else %}max(kpi_date){% endif %} as last_date
    from daily_changes
    having min(kpi_date) is not null

),

calendar as (

    select cast({{ days_between('first_date', 'last_date') }} as date) as kpi_date
    from bounds

),

filled as (

    select
        calendar.kpi_date,
        product_lines.product_line,
        coalesce(daily_changes.change, 0) as change
    from calendar
    inner join product_lines on calendar.kpi_date >= product_lines.first_date
    left join daily_changes
        on
            calendar.kpi_date = daily_changes.kpi_date
            and product_lines.product_line = daily_changes.product_line

),

running as (

    select
        kpi_date,
        product_line,
        cast(change as bigint) as open_tickets_change,
        cast(
            sum(change) over (
                partition by product_line
                order by kpi_date
                rows between unbounded preceding and current row
            ) as bigint
        ) as open_tickets
    from filled

),

final as (

    select
        kpi_date,
        product_line,
        open_tickets,
        open_tickets_change
    from running
    where {{ in_window('kpi_date', 'date') }}

)

select * from final
