-- Three roles and one database, made once by a superuser, with psql:
--   psql -v owner_password=… -v app_password=… -f deploy/postgres/roles.sql postgres
--
-- tocsin      owns the tables: `tocsin migrate`, and the workers, whose store makes and drops partitions.
-- tocsin_app  reads and writes rows: door, bridge, desk, console. It can change no table, and make none.
-- tocsin_viewer  nobody logs in as it: the console becomes it for whoever asks, and then sees their rows alone.
\set ON_ERROR_STOP on

CREATE ROLE tocsin LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
CREATE ROLE tocsin_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'app_password';
CREATE ROLE tocsin_viewer NOLOGIN;
-- They may become it, and have nothing of it before they do.
SELECT current_setting('server_version_num')::integer >= 160000 AS is_modern \gset
\if :is_modern
GRANT tocsin_viewer TO tocsin, tocsin_app WITH INHERIT FALSE, SET TRUE;
\else
GRANT tocsin_viewer TO tocsin, tocsin_app;
\endif

CREATE DATABASE tocsin OWNER tocsin;
REVOKE ALL ON DATABASE tocsin FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE tocsin TO tocsin_app;

\connect tocsin
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO tocsin;
GRANT USAGE ON SCHEMA public TO tocsin_app;

-- For tables that migrations and the store have yet to make.
ALTER DEFAULT PRIVILEGES FOR ROLE tocsin GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tocsin_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tocsin GRANT USAGE, SELECT ON SEQUENCES TO tocsin_app;

-- An extension is made by a superuser; without it Tocsin uses PostgreSQL's own partitions.
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS has_timescaledb \gset
\if :has_timescaledb
CREATE EXTENSION IF NOT EXISTS timescaledb;
\endif
