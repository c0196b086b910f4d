"""Triggers of credit notes: what no CHECK can see.

- A note is made whole, on a finalized invoice: its items sum up to it, and stand.
- Notes that are not voided never give back more than a line, or the invoice, was billed for.
- Only status, balance and the instant of voiding change: what was applied is what is missing of the
  balance, and a note of which anything was applied is not voided. A voided one stands.
"""

LIMITS = """
CREATE FUNCTION check_note_limits(note credit_notes) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  billed record;
  given bigint;
  items bigint;
  line record;
BEGIN
  SELECT status, subtotal_minor + tax_minor AS gross INTO billed FROM invoices i
    WHERE i.tenant = note.tenant AND i.invoice_id = note.invoice_id;
  SELECT coalesce(sum(total_minor), 0) INTO given FROM credit_notes n
    WHERE n.tenant = note.tenant AND n.invoice_id = note.invoice_id AND n.status <> 'voided';
  IF billed.status <> 'finalized' OR given > billed.gross THEN
    RAISE EXCEPTION 'notes give back % of the % invoice % of %',
      given, billed.status, note.invoice_id, billed.gross
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'notes_within_invoice';
  END IF;
  SELECT coalesce(sum(amount_minor), 0) INTO items FROM credit_note_items i
    WHERE i.tenant = note.tenant AND i.credit_note_id = note.credit_note_id;
  IF items <> note.items_minor THEN
    RAISE EXCEPTION 'the items of note % sum to %, not %', note.number, items, note.items_minor
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'items_sum_to_note';
  END IF;
  FOR line IN
    SELECT l.line_id, l.amount_minor AS billed, sum(o.amount_minor) AS given
      FROM credit_note_items mine
      JOIN invoice_lines l USING (tenant, invoice_id, line_id)
      JOIN credit_note_items o USING (tenant, invoice_id, line_id)
      JOIN credit_notes n ON n.tenant = o.tenant AND n.credit_note_id = o.credit_note_id
      WHERE mine.tenant = note.tenant AND mine.credit_note_id = note.credit_note_id
        AND n.status <> 'voided'
      GROUP BY l.line_id, l.amount_minor HAVING sum(o.amount_minor) > l.amount_minor
  LOOP
    RAISE EXCEPTION 'notes give back % of line %, which has %', line.given, line.line_id,
      line.billed
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'items_within_line';
  END LOOP;
END $$
"""

# Deferred: a note comes before its items.
MADE_WHOLE = """
CREATE FUNCTION guard_note_made() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  note credit_notes;
BEGIN
  SELECT * INTO note FROM credit_notes n
    WHERE n.tenant = NEW.tenant AND n.credit_note_id = NEW.credit_note_id;
  PERFORM check_note_limits(note);
  RETURN NULL;
END $$
"""

BALANCE = """
CREATE FUNCTION check_note_balance(note credit_notes) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  applied bigint;
  used bigint := CASE note.status WHEN 'voided' THEN 0
                 ELSE note.total_minor - note.balance_minor END;
BEGIN
  SELECT coalesce(sum(amount_minor), 0) INTO applied FROM credit_note_applications a
    WHERE a.tenant = note.tenant AND a.credit_note_id = note.credit_note_id AND NOT a.returned;
  IF applied <> used THEN
    RAISE EXCEPTION 'the % note % of % has % left, and % was applied', note.status, note.number,
      note.total_minor, note.balance_minor, applied
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'balance_is_not_applied';
  END IF;
END $$
"""

APPLIED = """
CREATE FUNCTION guard_note_applied() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  of_row record;
  note credit_notes;
BEGIN
  IF TG_OP = 'DELETE' THEN of_row := OLD; ELSE of_row := NEW; END IF;
  SELECT * INTO note FROM credit_notes n
    WHERE n.tenant = of_row.tenant AND n.credit_note_id = of_row.credit_note_id;
  PERFORM check_note_balance(note);
  RETURN NULL;
END $$
"""

STANDS = """
CREATE FUNCTION guard_credit_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.status <> 'voided' THEN
    IF to_jsonb(OLD) - 'status' - 'balance_minor' - 'voided_at'
       = to_jsonb(NEW) - 'status' - 'balance_minor' - 'voided_at' THEN
      PERFORM check_note_balance(NEW);
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'note % stands', OLD.number
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'notes_stand';
END $$
"""

ITEMS_STAND = """
CREATE FUNCTION guard_credit_note_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'an item of note % stands', OLD.credit_note_id
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'note_items_stand';
END $$
"""


def statements() -> list[str]:
    """Return the statements that put the guards up."""
    triggers = [
        "CREATE TRIGGER guard_credit_note BEFORE UPDATE OR DELETE ON credit_notes"
        " FOR EACH ROW EXECUTE FUNCTION guard_credit_note()",
        "CREATE TRIGGER guard_credit_note_item BEFORE UPDATE OR DELETE ON credit_note_items"
        " FOR EACH ROW EXECUTE FUNCTION guard_credit_note_item()",
        "CREATE CONSTRAINT TRIGGER guard_note_applied AFTER INSERT OR UPDATE OR DELETE"
        " ON credit_note_applications DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION guard_note_applied()",
    ]
    for table in ("credit_notes", "credit_note_items"):
        triggers.append(
            f"CREATE CONSTRAINT TRIGGER guard_made_{table} AFTER INSERT ON {table}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION guard_note_made()"
        )
    return [LIMITS, MADE_WHOLE, BALANCE, APPLIED, STANDS, ITEMS_STAND, *triggers]
