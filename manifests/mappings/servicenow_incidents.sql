-- A ServiceNow incident audit log (UCI 498) as ticket events: one row per change, with the incident's state after it.
--
-- What the export says, and what is made of it:
-- * `?` is unknown. Times are day first, to the minute, without zone: taken as UTC.
-- * The number of a change (sys_mod_count) repeats within a ticket, so it is no identity. The event_id is the ticket,
--   the time, the number and a hash of the row, in this order: it sorts changes of one minute by their number, which
--   is how the models break ties, and a row exported twice is one event.
-- * The export was enriched when it was made: resolved_at, closed_at, resolved_by and closed_code stand on every row of
--   a ticket with their last value. They are no part of an event's identity, and are kept as `final_*` beside it.
--   resolved_at of an event is known only while the ticket is resolved or closed: the export's own value where that is
--   not after the event, else when the ticket last turned resolved or closed (so an earlier resolution of a ticket that
--   was reopened has its own time).
-- * The event type follows from the ticket's row before. The first row counts as `created`, even where the export
--   begins later in the ticket's life (258 of 890 tickets do not begin as New).
-- * A value that cannot be read (a new state, a broken time) is passed on as it is, so that the contract quarantines it
--   with its line; it never becomes null in silence.
with known as (

    select
        source_line,
        nullif(columns(* exclude (source_line)), '?')
    from raw

),

identified as (

    select
        source_line,
        md5(concat_ws('|', *columns(* exclude (
            source_line, resolved_at, closed_at, resolved_by, closed_code
        )))) as row_hash
    from raw

),

read_rows as (

    select
        known.*,
        identified.row_hash,
        strftime(try_strptime(known.sys_updated_at, '%d-%m-%Y %H:%M'), '%Y-%m-%dT%H:%M:00Z') as changed_at,
        strftime(try_strptime(known.sys_created_at, '%d-%m-%Y %H:%M'), '%Y-%m-%dT%H:%M:00Z') as recorded_at,
        strftime(try_strptime(known.opened_at, '%d-%m-%Y %H:%M'), '%Y-%m-%dT%H:%M:00Z') as reported_at,
        strftime(try_strptime(known.resolved_at, '%d-%m-%Y %H:%M'), '%Y-%m-%dT%H:%M:00Z') as last_resolved_at,
        strftime(try_strptime(known.closed_at, '%d-%m-%Y %H:%M'), '%Y-%m-%dT%H:%M:00Z') as last_closed_at
    from known
    inner join identified on known.source_line = identified.source_line

),

events as (

    select
        *,
        concat_ws('-', number, changed_at, lpad(sys_mod_count, 6, '0'), left(row_hash, 16)) as event_id,
        case
            when incident_state = 'New' then 'new'
            when incident_state = 'Active' then 'open'
            when incident_state like 'Awaiting %' then 'pending'
            when incident_state = 'Resolved' then 'resolved'
            when incident_state = 'Closed' then 'closed'
            else incident_state
        end as status,
        coalesce(incident_state in ('Resolved', 'Closed'), false) as is_done
    from read_rows

),

-- One row per event: a row exported twice must not look like a change after itself.
states as (

    select distinct
        event_id,
        number,
        changed_at,
        status,
        is_done,
        last_resolved_at
    from events

),

compared as (

    select
        *,
        lag(status) over (partition by number order by changed_at, event_id) as status_before,
        lag(is_done) over (partition by number order by changed_at, event_id) as was_done
    from states

),

transitions as (

    select
        event_id,
        case
            when status_before is null then 'created'
            when status = 'resolved' and status_before <> 'resolved' then 'resolved'
            when status = 'closed' and status_before <> 'closed' then 'closed'
            when was_done and not is_done then 'reopened'
            when status <> status_before then 'status_changed'
            else 'updated'
        end as event_type,
        case
            when is_done and last_resolved_at <= changed_at then last_resolved_at
            when is_done
                then max(case when is_done and not coalesce(was_done, false) then changed_at end) over (
                    partition by number
                    order by changed_at, event_id
                    rows between unbounded preceding and current row
                )
        end as known_resolved_at
    from compared

),

final as (

    select
        events.source_line,
        events.event_id,
        events.number as ticket_id,
        transitions.event_type,
        coalesce(events.changed_at, events.sys_updated_at, '?') as occurred_at,
        events.caller_id as customer_id,
        events.status,
        case
            when regexp_matches(events.priority, '^[1-4] - ') then 'P' || left(events.priority, 1)
            else events.priority
        end as priority,
        events.category,
        case when events.cmdb_ci is not null then [events.cmdb_ci] end as asset_ids,
        events.assigned_to as assignee_id,
        coalesce(events.recorded_at, events.reported_at) as created_at,
        events.changed_at as updated_at,
        transitions.known_resolved_at as resolved_at,
        -- The publishers replaced every name by a number.
        'none' as pii_level,
        true as pii_redacted,
        events.assignment_group as owner,
        -- Beyond the contract: kept in `extra`.
        events.incident_state,
        events.active,
        events.made_sla,
        events.reassignment_count,
        events.reopen_count,
        events.sys_mod_count,
        events.opened_by,
        events.reported_at as opened_at,
        events.sys_created_by,
        events.sys_updated_by,
        events.contact_type,
        events.location,
        events.subcategory,
        events.u_symptom,
        events.impact,
        events.urgency,
        events.knowledge,
        events.u_priority_confirmation,
        events.notify,
        events.problem_id,
        events.rfc,
        events.vendor,
        events.caused_by,
        events.closed_code as final_closed_code,
        events.resolved_by as final_resolved_by,
        events.last_resolved_at as final_resolved_at,
        events.last_closed_at as final_closed_at
    from events
    inner join transitions on events.event_id = transitions.event_id

)

select * from final
