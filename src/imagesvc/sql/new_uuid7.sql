-- new_uuid7: makes a UUIDv7 (RFC 9562) in the database, for rows that triggers insert.
--
-- Everywhere else the service makes the ids (db.new_id). Ids sort by time to the millisecond.
--
-- Parameters: none. Locks nothing. Returns the id: milliseconds since 1970 in 48 bits, the version, the variant, and
-- the random bits of gen_random_uuid().
--
-- Called by: webhook_event, webhook_batch_begun.

CREATE OR REPLACE FUNCTION new_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    -- Bits 52 and 53 turn version 4 into version 7.
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6
    ), 52, 1), 53, 1), 'hex')::uuid
$$;
