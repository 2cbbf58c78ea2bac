-- webhook_job_finished: trigger that makes the event job.finished.
--
-- Parameters: none; NEW is the row of jobs after finished_at was set.
--
-- Locks: those of webhook_event, when the owner has a webhook; without one it costs one look into an index.
--
-- Called by: trigger webhook_job_finished, after each update that sets jobs.finished_at.

CREATE OR REPLACE FUNCTION webhook_job_finished() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE owner_id = NEW.owner_id AND disabled_at IS NULL) THEN
        PERFORM webhook_event(NEW.owner_id, 'job.finished', NEW.id, jsonb_build_object(
            'job_id', NEW.id, 'status', NEW.status, 'total', NEW.total, 'done', NEW.done, 'failed', NEW.failed,
            'cancelled', NEW.cancelled, 'url', '/v1/jobs/' || NEW.id));
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER webhook_job_finished AFTER UPDATE OF finished_at ON jobs
FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL) EXECUTE FUNCTION webhook_job_finished();
