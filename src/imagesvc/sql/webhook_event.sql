-- webhook_event: inserts a delivery, and the task that sends it, for each webhook that wants an event.
--
-- Runs in the transaction that changes the fact, so an event exists exactly when its fact is committed
-- (docs/decisions/0010). Webhooks that are disabled, or whose owner is disabled, get none.
--
-- Parameters
--   f_owner    owner of the webhooks
--   f_event    name of the event, such as image.ready
--   f_subject  id of the image, batch or job that the event is about
--   f_data     member `data` of the payload
--
-- Locks, in this order: the owner's webhooks, by id (FOR KEY SHARE), so that none is deleted before its deliveries are
--   inserted; then it inserts deliveries and tasks. Webhooks come after image and job in the lock order.
--
-- Called by: webhook_image_moved, webhook_job_finished, webhooks/queries.py.

CREATE OR REPLACE FUNCTION webhook_event(
    f_owner uuid,
    f_event text,
    f_subject uuid,
    f_data jsonb
) RETURNS void LANGUAGE sql AS $$
    WITH wanted AS (
        SELECT w.id FROM webhooks w
        WHERE w.owner_id = f_owner AND w.disabled_at IS NULL AND f_event = ANY(w.events)
          AND EXISTS (SELECT FROM users u WHERE u.id = w.owner_id AND u.disabled_at IS NULL)
        ORDER BY w.id FOR KEY SHARE
    ), made AS (
        INSERT INTO webhook_deliveries (id, webhook_id, event, subject_id, payload)
        SELECT new_uuid7(), id, f_event, f_subject, jsonb_build_object(
            'type', f_event,
            'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'data', f_data)
        FROM wanted RETURNING id, webhook_id
    )
    INSERT INTO tasks (id, kind, payload, turn_of)
    SELECT new_uuid7(), 'deliver_webhook', jsonb_build_object('delivery_id', id), webhook_id FROM made
$$;
