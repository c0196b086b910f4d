"""Triggers: what no CHECK can see, because it is about several rows or two moments.

- Rows of the ledger are only ever inserted.
- At the commit, the entries of a transaction sum to zero in each currency.
"""

from __future__ import annotations

from services.wallet.store.schema import LEDGER_TABLES

FORBID = """
CREATE FUNCTION forbid_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are only ever inserted', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ledger_rows_stand';
END $$
"""

BALANCE = """
CREATE FUNCTION check_transaction_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM entries e
      WHERE e.tenant = NEW.tenant AND e.transaction_id = NEW.transaction_id
      GROUP BY e.currency HAVING sum(e.amount_minor) <> 0
  ) THEN
    RAISE EXCEPTION 'the entries of transaction % do not sum to zero', NEW.transaction_id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'transaction_balances';
  END IF;
  RETURN NULL;
END $$
"""

BALANCE_TRIGGER = """
CREATE CONSTRAINT TRIGGER transaction_balances AFTER INSERT ON entries
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transaction_balances()
"""


def statements() -> list[str]:
    """Return the statements that put the guards up."""
    forbidding = [
        f"CREATE TRIGGER {name} BEFORE {action} ON {table}"
        f" FOR EACH {each} EXECUTE FUNCTION forbid_change()"
        for table in LEDGER_TABLES
        for name, action, each in (
            ("ledger_rows_stand", "UPDATE OR DELETE", "ROW"),
            ("ledger_stands", "TRUNCATE", "STATEMENT"),
        )
    ]
    return [FORBID, BALANCE, BALANCE_TRIGGER, *forbidding]
