#!/bin/sh
# Run once by the image of PostgreSQL, in an empty data directory: the roles with the passwords of the files.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres \
    -v owner_password="$(cat /run/secrets/owner_password)" \
    -v app_password="$(cat /run/secrets/app_password)" \
    -f /etc/tocsin/roles.sql
