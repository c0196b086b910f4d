-- The databases and roles of the four services, made when the volume is empty: what
-- deploy/embedded/databases.py does for the embedded stack. The passwords come from the environment.
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;

\set service ingest
\getenv owner_password INGEST_OWNER_PASSWORD
\getenv app_password INGEST_APP_PASSWORD
\getenv worker_password INGEST_WORKER_PASSWORD
\ir service.psql

\set service rating
\getenv owner_password RATING_OWNER_PASSWORD
\getenv app_password RATING_APP_PASSWORD
\getenv worker_password RATING_WORKER_PASSWORD
\ir service.psql

\set service invoicing
\getenv owner_password INVOICING_OWNER_PASSWORD
\getenv app_password INVOICING_APP_PASSWORD
\getenv worker_password INVOICING_WORKER_PASSWORD
\ir service.psql

\set service wallet
\getenv owner_password WALLET_OWNER_PASSWORD
\getenv app_password WALLET_APP_PASSWORD
\getenv worker_password WALLET_WORKER_PASSWORD
\ir service.psql
