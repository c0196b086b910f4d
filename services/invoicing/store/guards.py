"""Triggers: what no CHECK can see, because it is about two rows or two moments.

- A finalized or skipped invoice, with its lines, coupons, taxes and credits, is never changed or
  deleted; but a finalized one may be voided: then notes that paid it have that back.
- A status only moves on: draft, finalizing, open if it waits for its payment, then finalized or
  skipped.
- From the freeze on, lines, coupons, taxes and what credit notes pay stand, and add up to the
  invoice; at the end credits do too.
"""

PARTS = (
    "invoice_lines",
    "invoice_coupons",
    "invoice_taxes",
    "invoice_credits",
    "credit_note_applications",
    "add_ons",
    "adjusted_fees",
    "progressive_credits",
)

INVOICE_GUARD = """
CREATE FUNCTION guard_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.status = 'finalized' AND NEW.status = 'voided' THEN
    IF to_jsonb(OLD) - 'status' = to_jsonb(NEW) - 'status' THEN
      RETURN NEW;
    END IF;
  END IF;
  IF OLD.status IN ('finalized', 'skipped', 'voided') THEN
    RAISE EXCEPTION 'invoice % is closed and never changes', OLD.invoice_id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'closed_invoices_stand';
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  IF OLD.status = 'finalizing' AND NEW.status = 'draft'
     OR OLD.status = 'draft' AND NEW.status NOT IN ('draft', 'finalizing')
     OR OLD.status = 'open' AND NEW.status NOT IN ('open', 'finalized') THEN
    RAISE EXCEPTION 'invoice % cannot go from % to %', OLD.invoice_id, OLD.status, NEW.status
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'status_moves_on';
  END IF;
  IF NEW.status <> 'draft' THEN
    PERFORM check_invoice_sums(NEW);
  END IF;
  RETURN NEW;
END $$
"""

SUMS = """
CREATE FUNCTION check_invoice_sums(invoice invoices) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  lines record;
  taken bigint;
  early bigint;
  taxed bigint;
  noted bigint;
  credited bigint;
BEGIN
  SELECT coalesce(sum(amount_minor - progressive_credit_minor - coupons_minor), 0) AS amount,
         coalesce(sum(progressive_credit_minor), 0) AS early,
         coalesce(sum(coupons_minor), 0) AS coupons,
         coalesce(sum(tax_share_minor), 0) AS tax,
         coalesce(sum(credit_notes_minor), 0) AS notes,
         coalesce(sum(credits_minor), 0) AS credits
    INTO lines FROM invoice_lines l
    WHERE l.tenant = invoice.tenant AND l.invoice_id = invoice.invoice_id;
  SELECT coalesce(sum(amount_minor), 0) INTO taken FROM invoice_coupons u
    WHERE u.tenant = invoice.tenant AND u.invoice_id = invoice.invoice_id;
  SELECT coalesce(sum(amount_minor), 0) INTO early FROM progressive_credits p
    WHERE p.tenant = invoice.tenant AND p.invoice_id = invoice.invoice_id;
  SELECT coalesce(sum(amount_minor), 0) INTO taxed FROM invoice_taxes t
    WHERE t.tenant = invoice.tenant AND t.invoice_id = invoice.invoice_id;
  SELECT coalesce(sum(amount_minor), 0) INTO noted FROM credit_note_applications n
    WHERE n.tenant = invoice.tenant AND n.invoice_id = invoice.invoice_id;
  SELECT coalesce(sum(amount_minor), 0) INTO credited FROM invoice_credits c
    WHERE c.tenant = invoice.tenant AND c.invoice_id = invoice.invoice_id;
  IF (lines.amount, lines.early, lines.coupons, lines.tax, lines.notes, lines.credits,
      early, taken, taxed, noted, credited)
     IS DISTINCT FROM
     (invoice.subtotal_minor, invoice.progressive_credit_minor, invoice.coupons_minor,
      invoice.tax_minor, invoice.credit_notes_minor, invoice.credits_minor,
      invoice.progressive_credit_minor, invoice.coupons_minor, invoice.tax_minor,
      invoice.credit_notes_minor, invoice.credits_minor) THEN
    RAISE EXCEPTION 'invoice %: lines sum to %, what was billed before to % and %, coupons to %'
      ' and %, tax shares to %, taxes to %, notes to % and %, credits to % and %',
      invoice.invoice_id, lines.amount, lines.early, early, lines.coupons, taken, lines.tax,
      taxed, lines.notes, noted, lines.credits, credited
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'parts_sum_to_invoice';
  END IF;
END $$
"""

# From the freeze on only credits may still come: rows of invoice_credits, and the lines' part.
PART_GUARD = """
CREATE FUNCTION guard_invoice_part() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  part record;
  result record;
  standing text;
BEGIN
  IF TG_OP = 'INSERT' THEN part := NEW; ELSE part := OLD; END IF;
  IF TG_OP = 'DELETE' THEN result := OLD; ELSE result := NEW; END IF;
  SELECT status INTO standing FROM invoices i
    WHERE i.tenant = part.tenant AND i.invoice_id = part.invoice_id;
  IF result.invoice_id = part.invoice_id THEN
    IF standing = 'draft' THEN
      RETURN result;
    END IF;
    IF standing = 'finalizing' AND TG_TABLE_NAME = 'invoice_credits' AND TG_OP = 'INSERT' THEN
      RETURN result;
    END IF;
    IF standing = 'voided' AND TG_TABLE_NAME = 'credit_note_applications' AND TG_OP = 'UPDATE' THEN
      IF to_jsonb(OLD) || '{"returned": true}' = to_jsonb(NEW) THEN
        RETURN result;
      END IF;
    END IF;
    IF standing = 'finalizing' AND TG_TABLE_NAME = 'invoice_lines' AND TG_OP = 'UPDATE' THEN
      IF to_jsonb(OLD) - 'credits_minor' = to_jsonb(NEW) - 'credits_minor' THEN
        RETURN result;
      END IF;
    END IF;
  END IF;
  RAISE EXCEPTION 'a part of invoice % changes while it is %', part.invoice_id, standing
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'frozen_parts_stand';
END $$
"""


def statements() -> list[str]:
    """Return the statements that put the guards up."""
    triggers = [
        "CREATE TRIGGER guard_invoice BEFORE UPDATE OR DELETE ON invoices"
        " FOR EACH ROW EXECUTE FUNCTION guard_invoice()"
    ]
    for table in PARTS:
        triggers.append(
            f"CREATE TRIGGER guard_{table} BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION guard_invoice_part()"
        )
    return [SUMS, INVOICE_GUARD, PART_GUARD, *triggers]
