-- webhook_batch_begun: trigger that inserts the task `announce_batch`, when the owner has a webhook for batch.finished.
--
-- No row says when a request has brought its last file. The web process makes the task due when the request ends
-- (webhooks/batch_events.py); if that process is killed, the task becomes due after ten minutes.
--
-- Parameters: none; NEW is the row of batches that was inserted.
--
-- Locks nothing that exists: the task is inserted under a dedupe key that contains the new batch's id.
--
-- Called by: trigger webhook_batch_begun, after each insert into batches.

CREATE OR REPLACE FUNCTION webhook_batch_begun() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks
               WHERE owner_id = NEW.owner_id AND disabled_at IS NULL AND 'batch.finished' = ANY(events)) THEN
        -- The ten minutes are also in webhooks/batch_events.py.
        INSERT INTO tasks (id, kind, payload, dedupe_key, due_at) VALUES (
            new_uuid7(), 'announce_batch', jsonb_build_object('batch_id', NEW.id), 'announce_batch:' || NEW.id,
            now() + interval '10 minutes');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER webhook_batch_begun AFTER INSERT ON batches
FOR EACH ROW EXECUTE FUNCTION webhook_batch_begun();
