-- Test messages: how many went of late, by whom they were asked for and to which number.

-- name: hold_tests
-- One test message at a time is looked at, by whatever console.
SELECT pg_advisory_xact_lock(hashtext('tocsin.trial'), 0)

-- name: number_of_contact
-- To which number a message to a contact would go.
SELECT phone FROM contacts WHERE enterprise = %(enterprise)s AND "order" = %(order)s

-- name: tests_of_late
-- When those went that have to be over before one more may: the last one to the number, the fifth of whom asks counted
-- from now, the twentieth to the number. NULL where there are fewer.
SELECT (SELECT max(at_us) FROM test_messages WHERE address_sha256 = %(address)s AND at_us > %(minute_us)s),
       (SELECT at_us FROM test_messages WHERE who = %(who)s AND at_us > %(hour_us)s
         ORDER BY at_us DESC OFFSET %(most_of_account)s - 1 LIMIT 1),
       (SELECT at_us FROM test_messages WHERE address_sha256 = %(address)s AND at_us > %(day_us)s
         ORDER BY at_us DESC OFFSET %(most_to_address)s - 1 LIMIT 1)

-- name: count_test
-- One more.
INSERT INTO test_messages (at_us, who, address_sha256) VALUES (%(now_us)s, %(who)s, %(address)s)

-- name: forget_tests
-- Those that no bound counts any more.
DELETE FROM test_messages WHERE at_us <= %(day_us)s
